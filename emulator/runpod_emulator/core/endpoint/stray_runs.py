"""Stray runs: what a worker goes on with though the job is not its own, or no longer.

What it reports carries a lease that the table refuses. Meanwhile the worker counts as busy, and may not have the same
job for its own: its reports could not be told apart.
"""

from __future__ import annotations

from collections.abc import Callable

from runpod_emulator.core.fleet.fleet import Fleet
from runpod_emulator.core.jobs.job import Job


class StrayRuns:
    """The stray runs of one endpoint's workers; `ended` is called after one has ended."""

    def __init__(self, fleet: Fleet, ended: Callable[[], None]) -> None:
        self._fleet = fleet
        self._ended = ended
        self.workers: dict[tuple[str, int], str] = {}
        """The worker of each, by job and lease; empty where there is none."""
        self._copies = 0

    def copy(self, job: Job, worker: str) -> Job:
        """The job as a second worker gets it, under a lease that no hand-out has."""
        self._copies += 1
        copy = job._replace(lease=-self._copies, worker=worker)
        self.workers[job.id, copy.lease] = worker
        self.settle(worker, job.id)
        return copy

    def add(self, job_id: str, lease: int, worker: str) -> None:
        """The worker will go on with a job that it is about to lose."""
        self.workers[job_id, lease] = worker

    def settle(self, worker: str, job_id: str) -> None:
        """Let the worker count as busy with its stray run."""
        known = self._fleet.workers.get(worker)
        if known is not None:
            known.jobs.add(job_id)
            self._fleet.ready(worker, known.concurrency)

    def knows(self, job_id: str, lease: int | None) -> bool:
        """Whether this hand-out is a stray run."""
        return (job_id, lease) in self.workers

    def lease(self, worker: str, job_id: str) -> int | None:
        """The lease of the worker's stray run of this job."""
        return next((lease for (job, lease), one in self.workers.items() if (job, one) == (job_id, worker)), None)

    def jobs_of(self, worker: str) -> frozenset[str]:
        """The jobs of which the worker has a stray run."""
        return frozenset(job for (job, _), one in self.workers.items() if one == worker)

    def given_up(self, worker: str) -> bool:
        """Whether the worker only goes on with what it has lost, and leaves then."""
        known = self._fleet.workers.get(worker)
        return known is not None and known.outdated and bool(self.jobs_of(worker))

    def end(self, job_id: str, lease: int) -> None:
        """The run has ended; a worker that was given up for its sake leaves."""
        worker = self.workers.pop((job_id, lease), None)
        if worker is None:
            return
        self._fleet.release(worker, job_id)
        known = self._fleet.workers.get(worker)
        if known is not None and known.outdated and known.ours and not known.jobs:
            self._fleet.dismiss(known, "it was given up")
        self._ended()

    def end_all(self, worker: str) -> None:
        """The worker holds nothing: all of its stray runs have ended."""
        for (job, lease), one in list(self.workers.items()):
            if one == worker:
                self.end(job, lease)
