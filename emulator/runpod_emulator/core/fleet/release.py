"""New code for an endpoint's workers: one worker tries it, and only when that is up do the old ones go."""

from __future__ import annotations

import logging
from collections.abc import Callable

from runpod_emulator.core.fleet.autoscaler import Autoscaler
from runpod_emulator.core.fleet.fleet import Fleet

log = logging.getLogger("runpod_emulator.reload")

_NEWER = "there is newer code"
"""Why a worker goes."""


class Release:
    """The change of one endpoint's workers to new code.

    Jobs that run finish on the old code. While the new code cannot be started, the
    last worker that has good code stays, and no other is started.
    """

    def __init__(self, endpoint: str, fleet: Fleet, autoscaler: Autoscaler) -> None:
        self._endpoint = endpoint
        self._fleet = fleet
        self._autoscaler = autoscaler
        self._candidate: str | None = None
        self._done: Callable[[bool | None], None] = lambda good: None

    def begin(self, done: Callable[[bool | None], None]) -> None:
        """Try the code as it is now; `done` learns whether it could be started, None when newer code came first."""
        if self._candidate is not None:
            self._done(None)
        for worker in list(self._fleet.workers.values()):
            if worker.ours and worker.is_coming_up:
                self._fleet.dismiss(worker, _NEWER)
        self._done = done
        self._fleet.version += 1
        self._fleet.keeps_last = True
        self._candidate = self._autoscaler.start_candidate()
        if self._candidate is None:
            self._fleet.keeps_last = False
            done(None)

    def ready(self, worker_id: str) -> None:
        """A worker is up: if it is the first to run the newest code, the others are outdated."""
        fleet = self._fleet
        worker = fleet.workers.get(worker_id)
        if not fleet.keeps_last or worker is None or worker.version < fleet.version:
            return
        fleet.keeps_last = False
        for old in list(fleet.workers.values()):
            if old.counts and old.version < fleet.version:
                fleet.outdate(old, _NEWER)
        if worker_id == self._candidate:
            self._candidate = None
            self._done(True)

    def failed(self, worker_id: str) -> None:
        """A worker could not be started, or ended."""
        if worker_id == self._candidate:
            self._candidate = None
            self._done(False)
