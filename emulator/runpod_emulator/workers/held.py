"""The jobs that one child holds: under which lease each, and which of them it was told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from runpod_emulator.core.time.timeline import Timeline


class HeldJobs:
    """What one child has been given and has not given back. Virtual time stands for as long as that is anything.

    A job that the child was told to stop is held until it says that it has let go; nobody waits for that job any more.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.leases: dict[str, int] = {}
        """The number of the lease under which the child holds each job."""
        self._stopping: dict[str, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self.leases)

    def __iter__(self) -> Iterator[str]:
        return iter(self.leases)

    def __contains__(self, job: object) -> bool:
        return job in self.leases

    @property
    def only(self) -> str:
        """The job, where there is just one; else an empty text."""
        return next(iter(self.leases)) if len(self.leases) == 1 else ""

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for one of them."""
        return any(job not in self._stopping for job in self.leases)

    def add(self, job: str, lease: int) -> None:
        """The child is given the job."""
        self.leases[job] = lease
        self._timeline.begin()

    def may_stop(self, job: str, lease: int) -> bool:
        """Whether the child holds the job under this lease, and was not told to stop it yet."""
        return self.leases.get(job) == lease and job not in self._stopping

    def stop(self, job: str, grace: float, disobeyed: Callable[[str], None]) -> None:
        """The child was told to stop the job: call `disobeyed` if it holds it in `grace` seconds still."""
        self._stopping[job] = asyncio.get_running_loop().call_later(grace, disobeyed, job)

    def remove(self, job: str) -> int | None:
        """The child no longer holds the job; returns the lease that it had, None where it had none."""
        lease = self.leases.pop(job, None)
        timer = self._stopping.pop(job, None)
        if timer is not None:
            timer.cancel()
        if lease is not None:
            self._timeline.end()
        return lease

    def clear(self) -> None:
        """The child holds nothing any more."""
        for job in list(self.leases):
            self.remove(job)
