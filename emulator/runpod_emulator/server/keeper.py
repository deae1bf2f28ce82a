"""What keeps a server's worlds in its file: it loads them at the start, and saves them each minute and at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from runpod_emulator.core.errors import ConfigurationError, RequestError
from runpod_emulator.doors.snapshots import go_on_from
from runpod_emulator.server.state_file import StateFile
from runpod_emulator.world.covers import Cover
from runpod_emulator.world.saving import Loaded, taken
from runpod_emulator.world.snapshot import Snapshot, Taken
from runpod_emulator.world.snapshot_json import NoSnapshot, pieces_of
from runpod_emulator.world.worlds import Worlds

log = logging.getLogger("runpod_emulator")

EVERY = 60.0
"""Seconds between two saves of what has changed."""


class Keeper:
    """Keeps the worlds of one server; made before anything is served. Raises ConfigurationError."""

    def __init__(self, file: StateFile) -> None:
        self._file = file
        file.lock()
        try:
            self._snapshots, problem = file.read()
        except ConfigurationError:
            file.unlock()
            raise
        if problem:
            log.error("%s", problem)
        self._worlds: Worlds | None = None
        self._saved: list[Taken] = []
        self._problem = ""
        """What went wrong at the last save, "" for nothing."""
        self._over = asyncio.Event()
        self._saving: asyncio.Task[None] | None = None

    async def begin(self, worlds: Worlds) -> None:
        """Load what is in the file, write it once, and go on saving; raises ConfigurationError where that fails."""
        snapshots, self._snapshots = self._snapshots, []
        for snapshot in snapshots:
            await self._load(worlds, snapshot)
        self._worlds = worlds
        try:
            await self._save(worlds)
        except OSError as error:
            self._worlds = None
            raise ConfigurationError(f"--state {self._file.given}: {error.strerror}") from error
        self._saving = asyncio.ensure_future(self._go_on(worlds))

    async def end(self) -> None:
        """Save the worlds as they are at the end, and leave the file to others."""
        self._over.set()
        if self._saving is not None:
            await self._saving
        if self._worlds is not None:
            self._saved = []
            await self._try(self._worlds)
        self._file.unlock()

    async def _load(self, worlds: Worlds, snapshot: Snapshot) -> None:
        where = f"namespace {worlds.shown(snapshot.namespace)} of " if snapshot.namespace else ""
        try:
            world = worlds.named(snapshot.namespace) if snapshot.namespace else worlds.first
            loaded = await go_on_from(world, snapshot)
        except (NoSnapshot, RequestError) as error:
            raise ConfigurationError(f"--state {self._file.given}: {where}{error}") from error
        self._tell(where, loaded)

    def _tell(self, where: str, loaded: Loaded) -> None:
        whose = "its worker" if loaded.lost == 1 else "their workers"
        ran = f", of which {loaded.lost} ran and lost {whose}" if loaded.lost else ""
        jobs = "1 job is" if loaded.jobs == 1 else f"{loaded.jobs} jobs are"
        log.info("%s back from %s%s%s", jobs, where, self._file.given, ran)
        for endpoint, count in loaded.unserved.items():
            log.warning(
                "%s%s has %d %s of endpoint %s, which nobody serves here: kept in the file until somebody does",
                where, self._file.given, count, "job" if count == 1 else "jobs", endpoint,
            )  # fmt: skip

    async def _go_on(self, worlds: Worlds) -> None:
        while not self._over.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._over.wait(), EVERY)
            if not self._over.is_set():
                await self._try(worlds)

    async def _try(self, worlds: Worlds) -> None:
        """Save; what goes wrong is logged, once for each reason."""
        try:
            await self._save(worlds)
        except OSError as error:
            problem = error.strerror or str(error)
            if problem != self._problem:
                log.error(
                    "--state %s: %s: the file is as it was, and the next save may be better", self._file.given, problem
                )
            self._problem = problem
        except Exception:
            log.exception("--state %s: what there is could not be saved", self._file.given)
        else:
            if self._problem:
                log.info("--state %s: saved again", self._file.given)
            self._problem = ""

    async def _save(self, worlds: Worlds) -> None:
        named = (taken(world, name) for name, world in worlds.items())
        now = [taken(worlds.first), *(one for one in named if one.unserved or not one.inside.is_empty)]
        if len(now) == len(self._saved) and all(one.is_as(other) for one, other in zip(now, self._saved, strict=True)):
            return
        cover = Cover(worlds.first.masks)
        await asyncio.to_thread(lambda: self._file.write(pieces_of((one.snapshot() for one in now), cover)))
        self._saved = now
