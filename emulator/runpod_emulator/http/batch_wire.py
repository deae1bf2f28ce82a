"""The JSON of batches, both ways; its keys are not sorted. What a single request is, `wire.py` says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

import msgspec
import orjson
from orjson import Fragment

from runpod_emulator.core.errors import InvalidBody
from runpod_emulator.core.jobs.batches import Batch, BatchRequest
from runpod_emulator.core.platform import Platform
from runpod_emulator.http import wire
from runpod_emulator.http.members import begins, decode, is_nothing, parsed

LONGEST_NAME = 256
"""Characters; a limit of this project's own."""


class _Added(msgspec.Struct, gc=False):
    requests: msgspec.Raw = msgspec.Raw()


class _Attributes(msgspec.Struct, gc=False):
    name: msgspec.Raw = msgspec.Raw()


_ARRAY: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])
_ANYTHING = msgspec.json.Decoder(msgspec.Raw)
"""Looks whether it is JSON at all, and makes nothing of it."""
_ADDED = msgspec.json.Decoder(_Added)
_ATTRIBUTES = msgspec.json.Decoder(_Attributes)


def inputs(body: bytes, platform: Platform) -> list[bytes]:
    """The inputs of a top-level array of requests; raises InvalidBody, which says which of them is wrong."""
    return _inputs(body, "the body", platform)


def added(body: bytes, platform: Platform) -> list[bytes]:
    """The inputs of `{"requests": [...]}`; raises InvalidBody."""
    raw = decode(_ADDED, body).requests
    if is_nothing(raw):
        raise InvalidBody("requests is required: an array of objects with an input")
    return _inputs(bytes(raw), "requests", platform)


def name(body: bytes) -> str:
    """The display name in `{"name": ...}`, the one attribute that can be set; raises InvalidBody."""
    raw = decode(_ATTRIBUTES, body).name
    if is_nothing(raw) or not begins(raw, b'"'):
        raise InvalidBody("name is required, and must be a string")
    text = str(parsed(raw))
    if len(text) > LONGEST_NAME:
        raise InvalidBody(f"name must have {LONGEST_NAME} characters at most")
    return text


def _inputs(body: bytes, what: str, platform: Platform) -> list[bytes]:
    if not body.lstrip(b" \t\r\n").startswith(b"[") and body.strip():
        decode(_ANYTHING, body)
        raise InvalidBody(f'{what} must be a json array of requests, as [{{"input": {{}}}}]')
    texts: list[bytes] = []
    elements = decode(_ARRAY, body)
    for number, raw in enumerate(elements):
        try:
            texts.append(wire.submission(bytes(raw), platform, sync=False, is_checked=True).input)
        except InvalidBody as error:
            raise InvalidBody(f"request {number}: {error.why.removeprefix('body: ')}") from error
    return texts


def state(batch: Batch) -> bytes:
    """Id and status."""
    return orjson.dumps({"id": batch.id, "status": batch.status.value})


def summary(batch: Batch, drift: int) -> bytes:
    """The body of one batch; `drift` is what to add to a time for the one that is shown."""
    return orjson.dumps(_summary(batch, drift))


def listing(batches: Iterable[Batch], drift: int) -> bytes:
    """The body of all batches of an endpoint."""
    return orjson.dumps({"batches": [_summary(batch, drift) for batch in batches]})


def page(requests: Sequence[BatchRequest], total: int, offset: int, limit: int, drift: int) -> bytes:
    """The body of a page of requests."""
    shown = [_request(request, drift) for request in requests]
    more = offset + len(shown) < total
    return orjson.dumps({"requests": shown, "total": total, "offset": offset, "limit": limit, "hasMore": more})


def _summary(batch: Batch, drift: int) -> dict[str, Any]:
    named = {"name": batch.name} if batch.name else {}
    return {
        "id": batch.id,
        "endpointId": batch.endpoint,
        **named,
        "status": batch.status.value,
        "requestTotal": len(batch.requests),
        "requestInProgress": batch.in_progress,
        "requestCompleted": batch.completed,
        "requestFailed": batch.failed,
        "createdAt": batch.created_at + drift,
    }


def _request(request: BatchRequest, drift: int) -> dict[str, Any]:
    body: dict[str, Any] = {"id": request.id, "status": request.status.value}
    job = request.job
    if job is None:
        return body
    if job.output is not None:
        body["output"] = Fragment(job.output)
    if job.error is not None:
        body["error"] = job.error
    if job.taken_at is not None:
        body["startedAt"] = _moment(job.taken_at + drift)
    if job.ended_at is not None:
        body["completedAt"] = _moment(job.ended_at + drift)
    return body


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at // 1000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
