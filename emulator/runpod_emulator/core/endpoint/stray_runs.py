"""Ghosts: runs that a worker goes on with though the job is not its own, or no longer.

What they report carries a lease that the table refuses. Meanwhile the worker counts as
busy, and may not have the same job for its own: its reports could not be told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from runpod_emulator.core.endpoint.polling import JobSource, PollingWorkers
from runpod_emulator.core.fleet.fleet import Fleet
from runpod_emulator.core.jobs.job import Job
from runpod_emulator.core.time.waiting import Caller, WaitingRoom

if TYPE_CHECKING:
    from runpod_emulator.core.jobs.results import Report
    from runpod_emulator.core.time.timeline import Timeline


class Ghosts:
    """The ghosts of one endpoint's workers; `gone` is called after one has ended."""

    def __init__(self, fleet: Fleet, gone: Callable[[], None]) -> None:
        self._fleet = fleet
        self._gone = gone
        self._workers: dict[tuple[str, int], str] = {}
        """The worker of each, by job and lease."""
        self._copies = 0

    def __bool__(self) -> bool:
        return bool(self._workers)

    def copy(self, job: Job, worker: str) -> Job:
        """The job as a second worker gets it, under a lease that no hand-out has."""
        self._copies += 1
        copy = job._replace(lease=-self._copies, worker=worker)
        self._workers[job.id, copy.lease] = worker
        self.settle(worker, job.id)
        return copy

    def haunt(self, job_id: str, lease: int, worker: str) -> None:
        """The worker will go on with a job that it is about to lose."""
        self._workers[job_id, lease] = worker

    def settle(self, worker: str, job_id: str) -> None:
        """Let the worker count as busy with its ghost."""
        known = self._fleet.workers.get(worker)
        if known is not None:
            known.jobs.add(job_id)
            self._fleet.ready(worker, known.concurrency)

    def knows(self, job_id: str, lease: int | None) -> bool:
        """Whether this hand-out is a ghost."""
        return (job_id, lease) in self._workers

    def lease(self, worker: str, job_id: str) -> int | None:
        """The lease under which the worker is a ghost of this job."""
        return next((lease for (job, lease), one in self._workers.items() if (job, one) == (job_id, worker)), None)

    def jobs_of(self, worker: str) -> frozenset[str]:
        """The jobs that the worker is a ghost of."""
        return frozenset(job for (job, _), one in self._workers.items() if one == worker)

    def given_up(self, worker: str) -> bool:
        """Whether the worker only goes on with what it has lost, and leaves then."""
        known = self._fleet.workers.get(worker)
        return known is not None and known.outdated and bool(self.jobs_of(worker))

    def end(self, job_id: str, lease: int) -> None:
        """The ghost has ended; a worker that was given up for its sake leaves."""
        worker = self._workers.pop((job_id, lease), None)
        if worker is None:
            return
        self._fleet.release(worker, job_id)
        known = self._fleet.workers.get(worker)
        if known is not None and known.outdated and known.ours and not known.jobs:
            self._fleet.dismiss(known)
        self._gone()

    def lay(self, worker: str) -> None:
        """The worker holds nothing: end all of its ghosts."""
        for (job, lease), one in list(self._workers.items()):
            if one == worker:
                self.end(job, lease)


class HauntedPolling(PollingWorkers):
    """HTTP workers of which some are ghosts. Their wire has no lease, so it is looked up here."""

    def __init__(self, endpoint: JobSource, timeline: Timeline, room: WaitingRoom, ghosts: Ghosts) -> None:
        super().__init__(endpoint, timeline, room)
        self._ghosts = ghosts

    async def take(self, worker: str, most: int, idle: bool, until: int, caller: Caller) -> list[Job]:
        """Jobs; a worker that says it is `idle` is no ghost."""
        if idle and self._ghosts:
            self._ghosts.lay(worker)
        return await super().take(worker, most, idle, until, caller)

    async def report(self, worker: str, job_id: str, event: Callable[[int], Report]) -> bool:
        """What a worker says of a job; False when it does not count."""
        lease = self._ghosts.lease(worker, job_id) if self._ghosts else None
        if lease is None:
            return await super().report(worker, job_id, event)
        counts = await self._endpoint.report(job_id, event(lease))
        self._check_free(worker)
        return counts
