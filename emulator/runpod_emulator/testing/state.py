"""All that is in a world, taken at one moment, to be brought back: before each test, or from a report of a bug."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.doors.snapshots import replace_by
from runpod_emulator.testing import records
from runpod_emulator.world.covers import Cover
from runpod_emulator.world.saving import taken
from runpod_emulator.world.snapshot_json import NoSnapshot, pieces_of

if TYPE_CHECKING:
    from runpod_emulator.testing.thread import Link


class Snapshot:
    """A world as it was. What it shows of itself is how large it is: secrets are in it."""

    def __init__(self, data: bytes, jobs: int) -> None:
        self.data = data
        """Its JSON."""
        self.jobs = jobs
        """How many jobs are in it."""

    def __repr__(self) -> str:
        return f"<snapshot of {self.jobs} job{'' if self.jobs == 1 else 's'}>"

    def save(self, path: str | Path) -> None:
        """Write it into a file that nobody else can read; raises OSError."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self.data)


class State:
    """Takes what is in a world (jobs, queues, chunks, owed webhooks, stubs, faults, histories), and brings it back."""

    def __init__(self, link: Link, asserted: set[int]) -> None:
        self._link = link
        self._asserted = asserted

    def take(self) -> Snapshot:
        """The world as it is now.

        >>> from runpod_emulator import Emulator
        >>> with Emulator("llm") as emu:
        ...     emu.state.take()
        <snapshot of 0 jobs>
        """
        copied = self._link.ask(taken)
        data = b"".join(pieces_of([copied.snapshot()], Cover(Masks())))
        return Snapshot(data, copied.inside.jobs)

    def load(self, snapshot: Snapshot | str | Path) -> records.Loaded:
        """Forget everything, as a reset does, and go on from a snapshot, or a file of one, of `--state` too.

        Each job is as old as it was then, and what ran has lost its worker. Requests, what the receiver for webhooks
        got and functions that are handlers are in no snapshot. Raises ConfigurationError for what is none, and
        OSError for a file that can't be read.
        """
        data = snapshot.data if isinstance(snapshot, Snapshot) else Path(snapshot).read_bytes()
        link = self._link
        try:
            loaded = link.do(replace_by(link.world, data, link.namespace))
        except NoSnapshot as error:
            raise ConfigurationError(f"snapshot: {error}") from error
        self._asserted.clear()
        return records.Loaded(loaded.jobs, loaded.lost, dict(loaded.unserved))
