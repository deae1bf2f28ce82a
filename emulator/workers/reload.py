"""Reload: watches the files that handlers come from, and brings changed ones into use."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from emulator.core.endpoint import Endpoint

log = logging.getLogger("emulator.reload")

_GATHER = 300
"""Milliseconds in which changes are taken as one; an editor writes a file in several steps."""
_FOREIGN = {"site-packages", "dist-packages", "node_modules", "__pycache__"}

Look = tuple[int, int] | None


@dataclass(slots=True)
class _Code:
    """The files of one endpoint, and how they looked when they were last tried."""

    endpoint: Endpoint
    find: Callable[[], Iterable[str]]
    """Files that are its code, whatever else is known."""
    looks: dict[str, Look] = field(default_factory=dict)

    def add(self, files: Iterable[str]) -> None:
        """More files are its code."""
        for file in files:
            self.looks.setdefault(file, _look(file))

    def changed(self) -> list[str]:
        """The files that look different now; the next call compares with this one."""
        self.add(self.find())
        now = {file: _look(file) for file in self.looks}
        changed = [os.path.relpath(file) for file, look in now.items() if look != self.looks[file]]
        self.looks = now
        return changed


class Reloader:
    """Brings an endpoint's workers to new code when a file of theirs changed."""

    def __init__(self) -> None:
        self._codes: dict[str, _Code] = {}
        self._folders: set[str] = set()
        self._moved = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._reloads: set[asyncio.Task[None]] = set()

    def add(self, endpoint: Endpoint, find: Callable[[], Iterable[str]]) -> None:
        """Watch what `find` answers, and what the endpoint's workers import."""
        code = self._codes[endpoint.id] = _Code(endpoint, find)
        code.add(find())

    def imported(self, endpoint: str, files: Iterable[str]) -> None:
        """A worker of the endpoint has told which files its code comes from."""
        self._codes[endpoint].add(files)
        if self._all_folders() != self._folders:
            self._moved.set()

    def start(self) -> None:
        """Watch from now on, if there is anything to watch."""
        if self._codes:
            self._watching = asyncio.ensure_future(self._watch())

    async def close(self) -> None:
        """Watch no more."""
        tasks = [task for task in (self._watching, *self._reloads) if task is not None]
        self._moved.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        from watchfiles import awatch

        while True:
            self._moved.clear()
            self._folders = self._all_folders()
            if not self._folders:
                await self._moved.wait()
                continue
            changes = awatch(
                *self._folders, watch_filter=None, recursive=False, debounce=_GATHER, step=50,
                stop_event=self._moved, ignore_permission_denied=True,
            )  # fmt: skip
            async for _ in changes:
                self._look()
            self._look()  # what changed while nobody watched

    def _all_folders(self) -> set[str]:
        folders = {os.path.dirname(file) for code in self._codes.values() for file in code.looks}
        return {folder for folder in folders if os.path.isdir(folder)}

    def _look(self) -> None:
        for code in self._codes.values():
            changed = code.changed()
            if changed:
                task = asyncio.ensure_future(self._reload(code.endpoint, changed))
                self._reloads.add(task)
                task.add_done_callback(self._reloads.discard)

    async def _reload(self, endpoint: Endpoint, changed: list[str]) -> None:
        log.info("%s: %s changed", endpoint.id, ", ".join(changed))
        good = await endpoint.reload()
        if good:
            log.info("%s: new jobs run the new code", endpoint.id)
        elif good is False:
            log.error("%s: the new code can't be started; the last good workers stay until a file changes", endpoint.id)


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
