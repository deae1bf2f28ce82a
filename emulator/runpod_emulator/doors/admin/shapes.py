"""The JSON of the admin API: jobs, requests, webhook calls and transitions as people read them.

`drift` is what to add to a time inside for the time of day, in ms: not 0 where the system's clock was set meanwhile.
`masks` hide secrets: what is shown here may end in the log of a CI run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.job import Job
from runpod_emulator.core.records.history import Moment
from runpod_emulator.core.records.news import LONGEST_BODY, Attempt, Entry, Line
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.doors.admin.listings import MOST, jobs_of, slowly
from runpod_emulator.world.world import World

_LARGE = 65_536
"""Bytes of a job's input or output above which it is passed on as it is: parsing 20 MB takes 0.2 s."""


def record(job: Job, masks: Masks, drift: int = 0, read: Callable[[bytes, Masks], Any] | None = None) -> dict[str, Any]:
    """A whole job; times are ms since the epoch, null where there is none. `read` makes values of JSON texts."""
    read = read or shown
    return {
        "id": job.id,
        "endpoint": masks.text(job.endpoint),
        "status": job.status.value,
        "input": read(job.input, masks),
        "output": None if job.output is None else read(job.output, masks),
        "error": job.error and masks.text(job.error),
        "webhook": job.webhook and masks.text(job.webhook),
        "lowPriority": job.low_priority,
        "held": job.held,
        "worker": job.worker and masks.text(job.worker),
        "lease": job.lease,
        "retries": job.retries,
        "executionTimeout": job.execution_timeout,
        "submittedAt": job.submitted_at + drift,
        "takenAt": None if job.taken_at is None else job.taken_at + drift,
        "endedAt": None if job.ended_at is None else job.ended_at + drift,
        "expiresAt": job.expires_at + drift,
        "keptUntil": None if job.kept_until is None else job.kept_until + drift,
    }


async def all_jobs(world: World, endpoint: str | None = None) -> list[dict[str, Any]]:
    """All jobs, or one endpoint's, newest first, each with its transitions; raises EndpointNotFound."""
    jobs, _ = await jobs_of(world, endpoint, None, 0, MOST)
    drift = world.timeline.drift()
    return [
        _with_transitions(read_record(world, job, drift), world, (job.endpoint, job.id), drift)
        async for job in slowly(jobs)
    ]


def read_record(
    world: World, job: Job, drift: int, read: Callable[[bytes, Masks], Any] | None = None
) -> dict[str, Any]:
    """`record` for somebody who now knows how the job has ended, if it has."""
    world.unread.seen(job)
    return record(job, world.masks, drift, read)


async def one_job(
    world: World, job_id: str, read: Callable[[bytes, Masks], Any] | None = None, is_look: bool = False
) -> dict[str, Any]:
    """One job with its transitions, also when it is gone; raises JobNotFound for one that nobody remembers.

    Of one that is gone because its time was over the last record is told as well, as long as there is room for it.
    With `is_look` nobody counts as having seen how it has ended.
    """
    drift = world.timeline.drift()
    for endpoint in world.endpoints.queues:
        if not world.history.of(endpoint, job_id):
            continue
        try:
            found = await world.store.get(endpoint, job_id)
            shown_job = record(found, world.masks, drift, read) if is_look else read_record(world, found, drift, read)
        except JobNotFound:
            last = world.history.record(endpoint, job_id)
            known = {} if last is None else record(last, world.masks, drift, read)
            shown_job = {**known, "id": job_id, "endpoint": world.masks.text(endpoint), "status": "GONE"}
        return _with_transitions(shown_job, world, (endpoint, job_id), drift)
    raise JobNotFound(job=job_id)


def _with_transitions(shown_job: dict[str, Any], world: World, key: tuple[str, str], drift: int) -> dict[str, Any]:
    return {**shown_job, "transitions": [moment(one, world.masks, drift) for one in world.history.of(*key)]}


def moment(one: Moment, masks: Masks, drift: int = 0) -> dict[str, Any]:
    """One transition of a job."""
    return {
        "at": one.at + drift,
        "event": one.event,
        "status": one.status,
        "worker": one.worker and masks.text(one.worker),
        "retries": one.retries,
    }


def entry(one: Entry, masks: Masks, drift: int = 0) -> dict[str, Any]:
    """One request; a body that is no JSON is text, and one that was not kept whole is null, with a mark."""
    cut = {"bodyCut": _cut(one)} if one.is_cut else {}
    body = shown(one.body, masks) if one.body and not one.is_cut else None
    return {**line_of(one, masks, drift), "headers": headers(one, masks), "body": body, **cut}


def line_of(one: Entry, masks: Masks, drift: int = 0) -> dict[str, Any]:
    """The same without its headers and its body."""
    return {
        "number": one.number,
        "at": one.at + drift,
        "endpoint": masks.text(one.endpoint),
        "operation": masks.text(one.operation),
        "method": masks.text(one.method),
        "path": masks.text(one.path),
        "query": masks.text(one.query),
        "status": one.status,
        "job": masks.text(one.job) or None,
        "fault": masks.text(one.fault) or None,
        "took": one.took,
        "stub": masks.text(one.stub) or None,
        "why": masks.text(one.why) or None,
    }


def _cut(one: Entry) -> dict[str, Any]:
    """Why a body is not there; its bytes are those of its header, or those that came."""
    reason = one.unread or f"it is longer than {LONGEST_BODY} bytes"
    return {"bytes": one.body_size, "kept": len(one.body), "reason": reason}


def headers(one: Entry, masks: Masks) -> dict[str, str]:
    """The headers of a request as text, by name."""
    return masks.headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in one.headers)


def attempt(one: Attempt, masks: Masks, drift: int = 0) -> dict[str, Any]:
    """One webhook call."""
    return {**call_of(one, masks, drift), "body": folded(one.delivery.body, masks)}


def call_of(one: Attempt, masks: Masks, drift: int = 0) -> dict[str, Any]:
    """The same without its body."""
    delivery = one.delivery
    return {
        "at": one.at + drift,
        "endpoint": masks.text(delivery.endpoint),
        "job": delivery.job,
        "url": masks.text(delivery.url),
        "attempt": delivery.attempts,
        "acknowledged": not one.problem,
        "problem": masks.text(one.problem) or None,
        "status": delivery.status.value,
    }


def log_line(one: Line, masks: Masks, drift: int = 0) -> dict[str, Any]:
    """One line that a worker has printed, without colours."""
    return {
        "at": one.at + drift,
        "endpoint": masks.text(one.endpoint),
        "worker": masks.text(one.worker),
        "number": one.number,
        "job": masks.text(one.job) or None,
        "level": one.level,
        "text": masks.text(one.text),
    }


def folded(text: bytes, masks: Masks) -> Any:
    """The value of a JSON text; a large one is a fragment, that is written as it is but for the server's own keys."""
    return shown(text, masks) if len(text) < _LARGE else orjson.Fragment(masks.text(text.decode("utf-8", "replace")))


def shown(text: bytes, masks: Masks) -> Any:
    """The value of a JSON text, without secrets; what is none comes as text."""
    try:
        parsed = orjson.loads(text)
    except ValueError:
        parsed = text.decode("utf-8", "replace")
    return masks.value(parsed)
