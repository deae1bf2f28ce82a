"""The jobs a worker holds, and the one that the running code belongs to."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar

_running: ContextVar[str] = ContextVar("job", default="")


class Jobs:
    """The tasks of the jobs in flight, by job id."""

    def __init__(self) -> None:
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.overlap = False
        """Whether the worker takes, or once took, more than one job at once."""
        self._main_thread = threading.get_ident()

    def enter(self, job: str) -> None:
        """Say that this task, and what it starts, runs `job`."""
        _running.set(job)

    def is_alone(self, job: str) -> bool:
        """Whether everybody knows, the server too, that what is printed now is this job's."""
        return not self.overlap and len(self.tasks) == 1 and job in self.tasks

    def current(self) -> str:
        """The job that the caller works for, empty if none.

        A thread knows no context: there it is the job in flight if there is but one.
        """
        job = _running.get()
        if job or threading.get_ident() == self._main_thread:
            return job
        held = tuple(self.tasks)
        return held[0] if len(held) == 1 else ""
