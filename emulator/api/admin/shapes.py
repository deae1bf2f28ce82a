"""The JSON of the admin API: jobs, requests, webhook calls and transitions as people read them.

`drift` is what to add to a time inside for the time of day, in ms: not 0 where the system's clock was set meanwhile.
`masks` hide secrets: what is shown here may end in the log of a CI run.
"""

from __future__ import annotations

from typing import Any

import orjson

from emulator.core.history import Moment
from emulator.core.job import Job, Transition
from emulator.core.journal import Entry
from emulator.core.masks import Masks
from emulator.emulator import Attempt, Emulator


def record(job: Job, masks: Masks, drift: int = 0) -> dict[str, Any]:
    """A whole job; times are ms since the epoch, null where there is none."""
    return {
        "id": job.id,
        "endpoint": job.endpoint,
        "status": job.status.value,
        "input": shown(job.input, masks),
        "output": None if job.output is None else shown(job.output, masks),
        "error": job.error and masks.text(job.error),
        "webhook": job.webhook and masks.text(job.webhook),
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
    found: list[dict[str, Any]] = []
    drift = world.timeline.drift()
    for name in world.endpoints if endpoint is None else [world.endpoint(endpoint).id]:
        jobs, _ = await world.store.recent(name, 0, 1 << 31)
        found += [record(job, world.masks, drift) for job in jobs]
    return sorted(found, key=lambda job: -job["submittedAt"])


def moment(one: Moment, drift: int = 0) -> dict[str, Any]:
    """One transition of a job."""
    return {
        "at": one.at + drift,
        "event": one.event,
        "status": one.status,
        "worker": one.worker,
        "retries": one.retries,
    }


def entry(one: Entry, masks: Masks, drift: int = 0) -> dict[str, Any]:
    """One request; a body that is no JSON is text, and one that was not kept whole is null, with a mark."""
    cut = {"bodyCut": {"bytes": one.body_size, "kept": len(one.body)}} if one.is_cut else {}
    return {
        "number": one.number,
        "at": one.at + drift,
        "endpoint": one.endpoint,
        "operation": one.operation,
        "method": one.method,
        "path": masks.text(one.path),
        "query": masks.text(one.query),
        "headers": headers(one, masks),
        "body": shown(one.body, masks) if one.body and not one.is_cut else None,
        **cut,
        "status": one.status,
        "job": one.job or None,
    }


def headers(one: Entry, masks: Masks) -> dict[str, str]:
    """The headers of a request as text, by name."""
    told = ((name.decode("latin-1"), value.decode("latin-1")) for name, value in one.headers)
    return {name: masks.header(name, value) for name, value in told}


def attempt(one: Attempt, masks: Masks, drift: int = 0) -> dict[str, Any]:
    """One webhook call."""
    delivery = one.delivery
    return {
        "at": one.at + drift,
        "endpoint": delivery.endpoint,
        "job": delivery.job,
        "url": masks.text(delivery.url),
        "attempt": delivery.attempts,
        "acknowledged": not one.problem,
        "problem": masks.text(one.problem) or None,
        "status": delivery.status.value,
        "body": shown(delivery.body, masks),
    }


def transition(one: Transition, drift: int = 0) -> str:
    """One transition, for the event feed."""
    job = one.job
    status = "GONE" if one.after is None else job.status.value
    return orjson.dumps(
        {
            "at": one.at + drift,
            "event": type(one.event).__name__,
            "endpoint": job.endpoint,
            "id": job.id,
            "status": status,
            "worker": job.worker,
            "retries": job.retries,
        }
    ).decode()


def shown(text: bytes, masks: Masks) -> Any:
    """The value of a JSON text, without secrets; what is none comes as text."""
    try:
        parsed = orjson.loads(text)
    except ValueError:
        parsed = text.decode("utf-8", "replace")
    return masks.value(parsed)
