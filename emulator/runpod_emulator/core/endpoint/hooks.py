"""Where faults act on an endpoint: at four points, of which each does nothing by default."""

from __future__ import annotations

from collections.abc import Awaitable, Container
from typing import Any, NamedTuple

from runpod_emulator.core.jobs.job import Event, Job, Transition
from runpod_emulator.core.jobs.results import Report


class SecondRun(NamedTuple):
    """A worker that got a job as well as the job's own worker."""

    at: int
    worker: str


class Hooks:
    """What may go wrong with jobs on their way through an endpoint: nothing."""

    def __init__(self) -> None:
        self.copies: dict[str, Job] = {}
        """Jobs that a second worker is to have."""
        self.runs: dict[str, Any] = {}
        """What is in store for each job that is out."""
        self.second_runs: dict[str, list[SecondRun]] = {}
        """Which other workers got a job as well, of the last jobs that were executed twice."""

    def submitted(self, job: Job, sync: bool) -> tuple[Job, tuple[Event, ...]]:
        """A record about to be queued, as it is then, and what happens to it right behind; `sync` is /runsync."""
        return job, ()

    def barred(self, worker: str, most: int, barred: Container[str], scripted: bool | None) -> list[Job]:
        """Runs that the worker gets before any job of the queue, `most` at most; the rest as for `Work.take`."""
        return []

    def handed_out(self, job: Job, at: int) -> None:
        """A worker has the job, since the time `at`."""

    def reported(self, job_id: str, event: Report) -> Awaitable[bool] | None:
        """What becomes of a report, instead of what usually does; None for that."""
        return None

    def heard(self, transition: Transition) -> None:
        """Something has happened to a job."""

    def clear(self) -> None:
        """Every job is taken from its worker."""
