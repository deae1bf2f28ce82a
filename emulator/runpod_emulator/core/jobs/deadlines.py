"""What a deadline does to a job, and what its end owes. Pure."""

from __future__ import annotations

from runpod_emulator.core.jobs.job import (
    Event,
    Failed,
    Forgotten,
    Job,
    JobStatus,
    Released,
    Renewed,
    Requeued,
    TimedOut,
    Transition,
)
from runpod_emulator.core.platform import Platform


def deadline_event(job: Job, platform: Platform) -> Event:
    """The event of the job's `next_deadline`. Of two at the same time that of its life comes first."""
    if job.status.terminal:
        return Forgotten()
    if job.next_deadline == job.expires_at:
        waits = job.status is JobStatus.IN_QUEUE
        if waits and platform.queued_ttl_end == "timed_out":
            return TimedOut(platform.timed_out_error)
        return Forgotten()
    if job.status is JobStatus.IN_QUEUE:
        return Released()
    if job.next_deadline == job.runs_until:
        return overrun_event(platform)
    return lost_event(job, platform)


def unheard_event(job: Job, platform: Platform, back_at: int) -> Renewed | None:
    """A whole lease for a worker that could not be heard because the store was away; None if it had time to speak.

    `job` has met its `next_deadline`; the store is back since the time `back_at`.
    """
    due = job.lease_until
    if due is None or due != job.next_deadline or due in (job.expires_at, job.runs_until):
        return None
    last_heard = due - platform.worker_lease
    return Renewed(job.lease, back_at + platform.worker_lease) if last_heard < back_at else None


def overrun_event(platform: Platform) -> Event:
    """What becomes of a running job that exceeds its execution timeout."""
    if platform.execution_timeout_end == "timed_out":
        return TimedOut(platform.timed_out_error)
    return Failed("executionTimeout exceeded")


def lost_event(job: Job, platform: Platform) -> Event:
    """What becomes of a running job whose worker is lost."""
    if job.retries < platform.platform_retries:
        return Requeued(job.lease)
    error = f"job timed out after {job.retries} retries"
    return TimedOut(error) if platform.lost_worker_end == "timed_out" else Failed(error)


def within_ttl(transition: Transition) -> Transition:
    """The end of a job, with the result deleted by its TTL if its retention does not do so before.

    A job that the TTL itself has ended is kept for its retention: else nobody could see that end.
    """
    job = transition.job
    if job.kept_until is None or not transition.at < job.expires_at < job.kept_until:
        return transition
    kept_until = job.expires_at
    job = job._replace(kept_until=kept_until)
    return transition._replace(after=job, job=job, due=kept_until)


def owes_delivery(job: Job, platform: Platform) -> bool:
    """Whether a job that has just ended calls its webhook."""
    if job.webhook is None:
        return False
    if job.status is JobStatus.CANCELLED:
        return platform.webhook_on_cancelled
    return platform.webhook_on_timed_out or job.status is not JobStatus.TIMED_OUT
