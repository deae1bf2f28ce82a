"""What a deadline does to a job. Pure."""

from __future__ import annotations

from emulator.core.job import Event, Failed, Forgotten, Job, JobStatus, Requeued, TimedOut
from emulator.core.platform import Platform


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
