"""What is remembered of a worker that polls, and what such workers need of their endpoint."""

from __future__ import annotations

from collections.abc import Callable, Container, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from runpod_emulator.core.time.waiting import Caller

if TYPE_CHECKING:
    from runpod_emulator.core.endpoint.shared import Shared
    from runpod_emulator.core.fleet.fleet import Fleet
    from runpod_emulator.core.jobs.job import Job
    from runpod_emulator.core.jobs.results import Report
    from runpod_emulator.core.platform import Platform
    from runpod_emulator.core.time.timers import Timer


class JobSource(Protocol):
    """What polling workers need of their endpoint; its verbs say more of each."""

    id: str
    fleet: Fleet
    platform: Platform
    shared: Shared

    async def take(
        self,
        worker: str,
        most: int,
        until: int | None,
        caller: Caller,
        lease: int | None,
        barred: Container[str],
        scripted: bool | None,
    ) -> list[Job]:
        """Hand out jobs."""
        ...

    async def status(self, job_id: str) -> Job:
        """The record; raises JobNotFound."""
        ...

    async def report(self, job_id: str, event: Report) -> bool:
        """What a worker says of a job; False when that comes too late."""
        ...

    async def renew(self, worker: str, job_id: str) -> None:
        """The worker still holds the job."""
        ...

    async def drop(self, worker: str, job: Job, reason: str) -> None:
        """The worker has let go of the job, and will never report on it."""
        ...

    async def worker_ready(self, worker: str, concurrency: int) -> None:
        """A worker is up, or wants another number of jobs at once."""
        ...

    async def worker_gone(self, worker: str, replace: bool = False, reason: str = "") -> None:
        """A worker has ended; `reason` says how."""
        ...

    def refresh(self, worker: str) -> None:
        """Replace a worker of ours."""
        ...

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what a timer caused."""
        ...


@dataclass(slots=True)
class Visitor:
    """What is remembered of one polling worker."""

    stopping: dict[str, int] = field(default_factory=dict)
    """Jobs that it must stop, and when it was last told."""
    dropped: set[str] = field(default_factory=set)
    """Jobs that it does not hold, though they still count as its own."""
    takes: set[Caller] = field(default_factory=set)
    """Who waits for jobs."""
    listens: set[Caller] = field(default_factory=set)
    """Who waits for stops."""
    silence: Timer | None = None
    once_free: Callable[[], None] | None = None
    """What happens when the last of its jobs has ended."""
