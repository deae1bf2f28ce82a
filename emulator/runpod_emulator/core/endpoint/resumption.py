"""How an endpoint goes on with jobs that a server before this one has left: those of a snapshot.

Their workers have ended with that server, so jobs that ran come back as those of lost workers do, once. A worker that
was started elsewhere may live on: its jobs stay its own, as long as it is not silent for its lease.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from runpod_emulator.core.jobs.deadlines import lost_event
from runpod_emulator.core.jobs.job import Event, Job, JobStatus

if TYPE_CHECKING:
    from runpod_emulator.core.endpoint.endpoint import Endpoint


async def resume(endpoint: Endpoint, jobs: Iterable[Job], ended_at: int) -> int:
    """Go on with these, as the store has them; `ended_at` is when the server before was last known to live.

    Returns how many have lost their worker.
    """
    lost = 0
    for job in jobs:
        if job.status is JobStatus.IN_QUEUE:
            endpoint.scripts.resumed(job)
        elif job.status is JobStatus.IN_PROGRESS:
            if job.worker is not None and _is_elsewhere(endpoint, job):
                endpoint.polling.resume(job.worker, job.id)
            else:
                await _lose(endpoint, job, ended_at)
                lost += 1
    await endpoint.work.balance()
    return lost


def _is_elsewhere(endpoint: Endpoint, job: Job) -> bool:
    """Whether the worker was none of the server's own."""
    return not endpoint.settings.starts_workers and job.lease_until is not None and job.script is None


async def _lose(endpoint: Endpoint, job: Job, ended_at: int) -> None:
    """Give up a worker: now, when that is noticed, or before the job's own end, if that has come since."""
    now = endpoint.shared.timeline.now()
    at = now if now < job.expires_at else min(ended_at, job.expires_at)

    def lost(present: Job) -> Event | None:
        return lost_event(present, endpoint.platform) if present.status is JobStatus.IN_PROGRESS else None

    await endpoint.work.engine.change_if(job.id, lost, at)
