"""What a worker over HTTP holds, and what of it no longer counts."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.model.jobs import LEASE, Job

AGAIN = 1_000
"""ms between two stops of one job that a worker is told."""


@dataclass
class Worker:
    """One worker as both sides see it."""

    id: str
    heard: int
    runs: dict[str, bool] = field(default_factory=dict)
    """What it believes to hold, and lists in its pings; True where it has been told to stop it and goes on."""
    refused: set[str] = field(default_factory=set)
    """Jobs whose lease ended without its report: it is not given them again, and what it reports is refused."""
    stops: dict[str, int] = field(default_factory=dict)
    """Jobs that it has to stop, and when it may be told so."""
    dropped: set[str] = field(default_factory=set)
    """Jobs that it has let go of by saying that it holds nothing; their lease goes on."""
    silent: bool = False
    """It says nothing any more, and will be lost."""
    leaving: bool = False
    """The emulator ends it."""
    ready: bool = True
    """It has polled for jobs."""

    @property
    def is_idle(self) -> bool:
        """Whether it says of itself that it holds nothing."""
        return not self.runs and not self.refused

    def take(self, job: Job, at: int) -> None:
        """It gets a job; one without an input it drops, and polls on."""
        job.begin(self.id, at, lease=True)
        self.dropped.discard(job.id)
        if job.input:
            self.runs[job.id] = False

    def ping(self, jobs: dict[str, Job], at: int) -> None:
        """It lists what it holds."""
        self.heard = at
        for job_id in [*self.refused, *self.stops]:
            if job_id not in self.runs:
                self.let_go(job_id)
        for job_id in self.runs:
            job = jobs.get(job_id)
            if job is not None and self.has(job) and job.lease_until is not None:
                job.lease_until = at + LEASE

    def has(self, job: Job) -> bool:
        """Whether the job is its own, so that its reports count."""
        return job.status == "IN_PROGRESS" and job.worker == self.id and job.id not in self.refused

    def keeps(self, job: Job) -> bool:
        """Whether it has the job, and has not let go of it."""
        return self.has(job) and job.id not in self.dropped

    def lose(self, job_id: str, at: int) -> None:
        """Its lease on a job has ended without its report."""
        if job_id in self.dropped:
            self.dropped.remove(job_id)
            return
        self.refused.add(job_id)
        self.stops[job_id] = at

    def let_go(self, job_id: str) -> None:
        """It has nothing to do with the job any more."""
        self.refused.discard(job_id)
        self.stops.pop(job_id, None)

    def due_stops(self, at: int) -> list[str]:
        """The jobs that a poll for stops names now."""
        due = [job_id for job_id, when in self.stops.items() if when <= at]
        for job_id in due:
            self.stops[job_id] = at + AGAIN
        return due
