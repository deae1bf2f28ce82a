"""Progress updates of handlers that are functions of this process.

The official `progress_update` starts a thread that posts to RunPod. Every version of it, from 1.7.13 to 2.0, looks up
what that thread does when it is called, so that one place leads the updates of our jobs here, however the handler has
imported it, and whenever: in the handler, too. It is led here only while such a job runs; updates of other jobs go
where they went.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from runpod_emulator.workers.imports import OnImport
from runpod_emulator.workers.runner.output import say
from runpod_emulator.workers.runner.results import NotFinite, Unsendable, Unspeakable, encode

_MODULE = "runpod.serverless.modules.rp_progress"
_TARGET = "_thread_target"

Job = Mapping[str, Any]
Tell = Callable[[bytes], None]
"""Is given the JSON of an update."""


class ProgressUpdates:
    """The running jobs of this process that are functions, and where their updates go."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[tuple[Job, Tell]] = []
        self._imports = OnImport({_MODULE: self._lead})
        self._module: ModuleType | None = None
        self._official: Callable[[Job, Any], None] | None = None

    def begin(self, job: Job, tell: Tell) -> None:
        """The handler is about to be called with this job."""
        with self._lock:
            self._running.append((job, tell))
            if len(self._running) == 1:
                self._imports.start()

    def end(self, job: Job) -> None:
        """The handler has returned."""
        with self._lock:
            self._running = [one for one in self._running if one[0] is not job]
            if self._running:
                return
            self._imports.stop()
            if self._module is not None:
                setattr(self._module, _TARGET, self._official)
                self._module = self._official = None

    def _lead(self, module: ModuleType) -> None:
        """Lead the updates of a module here."""
        self._module, self._official = module, getattr(module, _TARGET, None)
        setattr(module, _TARGET, self._update)

    def _update(self, job: Job, progress: Any) -> None:
        """In the thread that the official function has started."""
        official = self._official
        tell = self._of(job)
        if tell is None:
            if official is not None:
                official(job, progress)
            return
        try:
            tell(encode(progress, "progress update"))
        except (Unsendable, Unspeakable, NotFinite) as error:
            say(f"{error or 'The progress update holds NaN or Infinity'}. It is ignored.")

    def _of(self, job: Job) -> Tell | None:
        """Two emulators with one seed have jobs of the same id; a handler may pass on a copy of its job."""
        running = self._running
        same = [tell for one, tell in running if one is job]
        alike = [tell for one, tell in running if one["id"] == job.get("id")]
        return next(iter((*same, *alike)), None)
