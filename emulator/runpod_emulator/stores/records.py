"""Jobs, events and deliveries as JSON, for stores that keep them outside of this process.

What clients and workers have sent (input, output, `s3Config`, stream chunks, bodies of webhooks) is JSON text already
and may be large: it stands beside the rest, as it came. All other fields are one array, in their order in the class.
That order may only change with `FORMAT`: whoever reads another format refuses it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from runpod_emulator.core.jobs.deliveries import Delivery, DeliveryStatus
from runpod_emulator.core.jobs.job import Event, Job, JobStatus
from runpod_emulator.core.jobs.listeners import ALL
from runpod_emulator.core.jobs.script_state import ScriptState

FORMAT = 2
"""Of what is written here."""


class Texts(NamedTuple):
    """What of a job clients and workers have sent, as it came."""

    input: bytes
    output: bytes | None
    s3_config: bytes | None


def written(values: Any) -> bytes:
    """Values as JSON."""
    try:
        return orjson.dumps(values)
    except TypeError:  # half a surrogate pair, which a worker's error may hold, can only be escaped
        return json.dumps(values, separators=(",", ":")).encode()


def read(data: bytes) -> Any:
    """The values of which this JSON was `written`."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return json.loads(data)


def texts_of(job: Job) -> Texts:
    """The parts of a job that `job_written` leaves out."""
    return Texts(job.input, job.output, job.s3_config)


def job_written(job: Job) -> bytes:
    """All of a job but its texts."""
    return written(job_values(job))


def job_values(job: Job) -> list[Any]:
    """All of a job but its texts, as what JSON can hold."""
    values: list[Any] = list(job)
    values[_STATUS] = job.status.value
    if job.script is not None:
        values[_SCRIPT] = _script_values(job.script)
    for place in _TEXTS:
        values[place] = None
    return values


def job_read(data: bytes, texts: Texts) -> Job:
    """The job of which `data` and `texts` were written."""
    return job_of(read(data), texts)


def job_of(values: list[Any], texts: Texts) -> Job:
    """The job of these `job_values`."""
    values = list(values)
    values[_STATUS] = JobStatus(values[_STATUS])
    if values[_SCRIPT] is not None:
        values[_SCRIPT] = _script_of(values[_SCRIPT])
    for place, text in zip(_TEXTS, texts, strict=True):
        values[place] = text
    return Job._make(values)


def event_values(event: Event) -> tuple[str, list[Any], list[bytes]]:
    """The kind of an event, its fields, and the texts in it, of which the fields hold the number of each kind."""
    kind = type(event)
    fields: list[Any] = []
    texts: list[bytes] = []
    for name in _FIELDS[kind]:
        value = getattr(event, name)
        if name == "chunks":
            fields.append(len(value))
            texts += value
        elif name == "output":
            fields.append(0 if value is None else 1)
            texts += () if value is None else (value,)
        else:
            fields.append(_script_values(value) if isinstance(value, ScriptState) else value)
    return kind.__name__, fields, texts


def event_names(kind: str) -> tuple[str, ...]:
    """The names of an event's fields, in their order; raises KeyError for a kind that there is not."""
    return _FIELDS[_KINDS[kind]]


def event_of(kind: str, fields: Sequence[Any], texts: Sequence[bytes]) -> Event:
    """The event of these `event_values`; raises KeyError for a kind that there is not."""
    made = _KINDS[kind]
    values: list[Any] = []
    for name, value in zip(_FIELDS[made], fields, strict=True):
        if name == "chunks":
            values.append(tuple(texts[:value]))
        elif name == "output":
            values.append(texts[0] if value else None)
        else:
            values.append(_script_of(value) if name == "script" and value is not None else value)
    event: Event = made(*values)
    return event


def delivery_written(delivery: Delivery) -> bytes:
    """All of a delivery but its body."""
    values: list[Any] = list(delivery)
    values[_BODY], values[_DELIVERY_STATUS] = None, delivery.status.value
    return written(values)


def delivery_read(data: bytes, body: bytes) -> Delivery:
    """The delivery of which these were written."""
    values = read(data)
    values[_BODY], values[_DELIVERY_STATUS] = body, DeliveryStatus(values[_DELIVERY_STATUS])
    return Delivery._make(values)


def _script_values(script: ScriptState) -> list[Any]:
    values: list[Any] = list(script)
    values[_HEADERS] = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in script.headers]
    return values


def _script_of(values: Sequence[Any]) -> ScriptState:
    values = list(values)
    values[_HEADERS] = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in values[_HEADERS])
    return ScriptState._make(values)


def _fields(kind: Callable[..., Any]) -> tuple[str, ...]:
    named = getattr(kind, "_fields", None)
    return tuple(kind.__dataclass_fields__) if named is None else named  # type: ignore[attr-defined]


_STATUS, _SCRIPT = Job._fields.index("status"), Job._fields.index("script")
_TEXTS = tuple(Job._fields.index(name) for name in Texts._fields)
_HEADERS = ScriptState._fields.index("headers")
_BODY, _DELIVERY_STATUS = Delivery._fields.index("body"), Delivery._fields.index("status")
_KINDS = {kind.__name__: kind for kind in ALL}
_FIELDS = {kind: _fields(kind) for kind in ALL}
