"""What a deadline does to a job, and what its end owes. Pure."""

from __future__ import annotations

from runpod_emulator.core.jobs.job import Event, Failed, Forgotten, Job, JobStatus, Requeued, TimedOut
from runpod_emulator.core.platform import Platform


def deadline_event(job: Job, platform: Platform) -> Event:
    """The event of the job's `next_deadline`."""
    if job.status.terminal:
        return Forgotten()
    if job.next_deadline == job.expires_at:
        waits = job.status is JobStatus.IN_QUEUE
        if waits and platform.queued_ttl_end == "timed_out":
            return TimedOut(platform.timed_out_error)
        return Forgotten()
    if job.next_deadline == job.runs_until:
        return overrun_event(platform)
    return lost_event(job, platform)


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


def owes_delivery(job: Job, platform: Platform) -> bool:
    """Whether a job that has just ended calls its webhook."""
    if job.webhook is None:
        return False
    if job.status is JobStatus.CANCELLED:
        return platform.webhook_on_cancelled
    return platform.webhook_on_timed_out or job.status is not JobStatus.TIMED_OUT
