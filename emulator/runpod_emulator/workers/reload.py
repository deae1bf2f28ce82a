"""Reload: watches the files that handlers come from, and brings changed ones into use."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runpod_emulator.core.endpoint.workforce import Workforce
from runpod_emulator.core.time.clock import turn

log = logging.getLogger("runpod_emulator.reload")

_GATHER = 300
"""Milliseconds in which changes are taken as one; an editor writes a file in several steps."""
_FOREIGN = {"site-packages", "dist-packages", "node_modules", "__pycache__"}
_NO_GOOD_WORKER = (
    "%s: the new code can't be started, and no worker with good code is left: jobs wait for one that can be imported"
)

Look = tuple[int, int] | None


@dataclass(slots=True)
class _Code:
    """The files of one endpoint, and how they looked when they were last tried."""

    endpoint: Workforce
    find: Callable[[], Iterable[str]]
    """Files that are its code, whatever its workers import."""
    imported: set[str] = field(default_factory=set)
    broken: bool = False
    """Whether it could not be started: then any file beside its own may be what it lacks."""
    looks: dict[str, Look] = field(default_factory=dict)

    def files(self) -> set[str]:
        """Every file that is, or may be, its code."""
        files = {*self.find(), *self.imported}
        if self.broken:
            files |= {file for folder in {os.path.dirname(file) for file in files} for file in _beside(folder)}
        return files

    def add(self, files: Iterable[str], newer: Iterable[str] = ()) -> None:
        """Its workers have imported these files; `newer` ones may have been saved since."""
        self.imported.update(files)
        for file in self.files():
            self.looks.setdefault(file, None if file in newer else _look(file))
        for file in newer:
            self.looks[file] = None

    def changed(self) -> list[str]:
        """The files that look different now, new and lost ones too; the next call compares with this one."""
        now = {file: _look(file) for file in {*self.files(), *self.looks}}
        changed = sorted(os.path.relpath(file) for file, look in now.items() if look != self.looks.get(file))
        self.looks = now
        return changed

    def tried(self, good: bool) -> None:
        """Its present state could be started, or not."""
        self.broken = not good
        self.add(())
        files = self.files()
        self.looks = {file: look for file, look in self.looks.items() if file in files}


class Reloader:
    """Brings an endpoint's workers to new code when a file of theirs changed."""

    def __init__(self) -> None:
        self._codes: dict[str, _Code] = {}
        self._folders: set[str] = set()
        self._moved = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._reloads: set[asyncio.Task[None]] = set()

    def add(self, endpoint: Workforce, find: Callable[[], Iterable[str]]) -> None:
        """Watch what `find` returns, and what the endpoint's workers import."""
        code = self._codes[endpoint.id] = _Code(endpoint, find)
        code.add(())
        if not endpoint.settings.workers_max:
            return
        if endpoint.launcher.over_http and not code.looks:
            log.warning("%s: its command names no Python file, so nothing is watched", endpoint.id)

    def imported(self, endpoint: str, files: Iterable[str], newer: Iterable[str]) -> None:
        """A worker has told which files its code comes from, and which of them were saved meanwhile."""
        code = self._codes.get(endpoint)
        if code is None:
            return
        code.add(files, newer)
        self._follow()
        if newer:
            self._look()

    def renew(self, endpoint: Workforce) -> None:
        """What the workers of an endpoint run has changed, though no file has: bring those that are there to it."""
        if any(worker.ours for worker in endpoint.fleet.workers.values()):
            self._begin(self._renew(endpoint))
        else:
            endpoint.fleet.version += 1

    async def _renew(self, endpoint: Workforce) -> None:
        good = await endpoint.reload()
        if good:
            log.info("%s: new jobs run the new release", endpoint.id)
        elif good is not None:
            log.error(
                "%s: the new release can't be started; the last good workers stay until there is another", endpoint.id
            )

    def forget(self, endpoint: str) -> None:
        """The endpoint is served no more."""
        if self._codes.pop(endpoint, None) is not None:
            self._follow()

    def watches(self, endpoint: str) -> bool:
        """Whether the endpoint's code comes into use when it changes."""
        return endpoint in self._codes

    def failed(self, endpoint: str) -> None:
        """The endpoint's code could not be started."""
        if endpoint in self._codes:
            self._codes[endpoint].tried(False)

    def start(self) -> None:
        """Watch from now on, if there is anything to watch."""
        self._follow()
        if self._codes and self._watching is None:
            self._watching = asyncio.ensure_future(self._watch())

    async def close(self) -> None:
        """Watch no more."""
        tasks = [task for task in (self._watching, *self._reloads) if task is not None]
        self._moved.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        try:
            while True:
                await self._watch_folders()
        except Exception as error:
            log.exception("files can't be watched any more (%s): changed code is in use after a restart only", error)

    async def _watch_folders(self) -> None:
        """Look at the files whenever something happens in their folders, until these are others."""
        from watchfiles import awatch

        self._moved.clear()
        self._folders = self._all_folders()
        if not self._folders:
            await self._moved.wait()
            return
        changes = awatch(
            *self._folders, watch_filter=None, recursive=False, debounce=_GATHER, step=50,
            stop_event=self._moved, ignore_permission_denied=True,
        )  # fmt: skip
        change = asyncio.ensure_future(anext(changes, None))
        await turn()  # the watch begins with the first step; what changed before is looked for now
        self._look()
        while await change is not None:
            self._look()
            change = asyncio.ensure_future(anext(changes, None))

    def _all_folders(self) -> set[str]:
        folders = {os.path.dirname(file) for code in self._codes.values() for file in code.looks}
        return {folder for folder in folders if os.path.isdir(folder)}

    def _follow(self) -> None:
        if self._all_folders() != self._folders:
            self._moved.set()

    def _look(self) -> None:
        for code in list(self._codes.values()):
            changed = code.changed()
            if changed:
                self._begin(self._reload(code, changed))
        self._follow()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self, code: _Code, changed: list[str]) -> None:
        endpoint = code.endpoint
        log.info("%s: %s changed", endpoint.id, ", ".join(changed))
        flaw = endpoint.flaw
        good = await endpoint.reload()
        if good is None:
            return
        code.tried(good)
        self._follow()
        if good:
            log.info("%s: new jobs run the new code", endpoint.id)
        elif flaw and endpoint.flaw == flaw:
            return  # that it is still broken is told already
        elif endpoint.has_good_worker:
            log.error("%s: the new code can't be started; the last good workers stay until a file changes", endpoint.id)
        else:
            log.error(_NO_GOOD_WORKER, endpoint.id)


def _beside(folder: str) -> list[str]:
    """The source files in a folder."""
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".py")]
    except OSError:
        return []


def python_files(folder: Path) -> list[str]:
    """Every source file below a folder, but for packages installed there and hidden folders."""
    files: list[str] = []
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in _FOREIGN and not name.startswith(".")]
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        files += [os.path.join(place, name) for name in names if name.endswith(".py")]
    return files


def _look(file: str) -> Look:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
