"""What a transition does to the counts of its endpoint, for every store alike."""

from __future__ import annotations

from runpod_emulator.core.jobs.job import Job, JobStatus, Requeued, Transition
from runpod_emulator.core.jobs.store import Counts


def count(counts: Counts, transition: Transition) -> None:
    """Count a transition."""
    before, after = transition.before, transition.after
    counts.writes += 1
    if before is not None:
        add(counts, before, -1)
    if after is not None:
        add(counts, after, 1)
        if transition.ended:
            counts.ended[after.status] += 1
    if type(transition.event) is Requeued:
        counts.requeued += 1


def add(counts: Counts, job: Job, number: int) -> None:
    """Count a job `number` times more."""
    if job.status is JobStatus.IN_QUEUE:
        counts.queued += number
        if job.held or job.low_priority or job.script is not None:
            _add_waiting(counts, job, number)
    elif job.status is JobStatus.IN_PROGRESS:
        counts.running += number
    else:
        counts.kept[job.status] += number


def _add_waiting(counts: Counts, job: Job, number: int) -> None:
    if job.held:
        counts.held += number
        counts.queued_unscaled += number
        return
    if job.low_priority:
        counts.queued_unscaled += number
    if job.script is not None:
        counts.scripted += number
        counts.scripted_scaled += number * (not job.low_priority)
