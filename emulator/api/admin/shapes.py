"""The JSON of the admin API: jobs, requests, webhook calls and transitions as people read them.

`drift` is what to add to a time inside for the time of day, in ms: not 0 where the system's clock was set meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import orjson

from emulator.api.admin.listings import MOST, jobs_of, slowly
from emulator.core.history import Moment
from emulator.core.job import Job
from emulator.core.journal import Entry
from emulator.emulator import Attempt, Emulator

_LARGE = 65_536
"""Bytes of a job's input or output above which it is passed on as it is: parsing 20 MB takes 0.2 s."""


def record(job: Job, drift: int = 0, read: Callable[[bytes], Any] | None = None) -> dict[str, Any]:
    """A whole job; times are ms since the epoch, null where there is none. `read` makes values of JSON texts."""
    read = read or parsed
    return {
        "id": job.id,
        "endpoint": job.endpoint,
        "status": job.status.value,
        "input": read(job.input),
        "output": None if job.output is None else read(job.output),
        "error": job.error,
        "webhook": job.webhook,
        "lowPriority": job.low_priority,
        "held": job.held,
        "worker": job.worker,
        "lease": job.lease,
        "retries": job.retries,
        "executionTimeout": job.execution_timeout,
        "submittedAt": job.submitted_at + drift,
        "takenAt": None if job.taken_at is None else job.taken_at + drift,
        "endedAt": None if job.ended_at is None else job.ended_at + drift,
        "expiresAt": job.expires_at + drift,
        "keptUntil": None if job.kept_until is None else job.kept_until + drift,
    }


async def all_jobs(world: Emulator, endpoint: str | None = None) -> list[dict[str, Any]]:
    """The records of all jobs, or of one endpoint's, newest first; raises EndpointNotFound."""
    jobs, _ = await jobs_of(world, endpoint, None, 0, MOST)
    drift = world.timeline.drift()
    return [record(job, drift) async for job in slowly(jobs)]


def moment(one: Moment, drift: int = 0) -> dict[str, Any]:
    """One transition of a job."""
    return {
        "at": one.at + drift,
        "event": one.event,
        "status": one.status,
        "worker": one.worker,
        "retries": one.retries,
    }


def entry(one: Entry, drift: int = 0) -> dict[str, Any]:
    """One request; a body that is no JSON is text."""
    return {
        "number": one.number,
        "at": one.at + drift,
        "endpoint": one.endpoint,
        "operation": one.operation,
        "method": one.method,
        "path": one.path,
        "query": one.query,
        "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in one.headers},
        "body": parsed(one.body) if one.body else None,
        "status": one.status,
        "job": one.job or None,
    }


def attempt(one: Attempt, drift: int = 0) -> dict[str, Any]:
    """One webhook call."""
    delivery = one.delivery
    return {
        "at": one.at + drift,
        "endpoint": delivery.endpoint,
        "job": delivery.job,
        "url": delivery.url,
        "attempt": delivery.attempts,
        "acknowledged": not one.problem,
        "problem": one.problem or None,
        "status": delivery.status.value,
        "body": folded(delivery.body),
    }


def folded(text: bytes) -> Any:
    """The value of a JSON text, or a large text as a fragment that is written as it is."""
    return parsed(text) if len(text) < _LARGE else orjson.Fragment(text)


def parsed(text: bytes) -> Any:
    """The value of a JSON text; what is none comes as text."""
    with contextlib.suppress(ValueError):
        return orjson.loads(text)
    return text.decode("utf-8", "replace")
