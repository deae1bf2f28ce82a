"""Every JSON shape and header, both ways. The only file that knows the wire's names.

Inputs, outputs and chunks pass as the bytes they came as: a body is cut into the raw
text of its members, and an answer carries them as fragments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import orjson
from orjson import Fragment

from emulator.core.endpoint import Health, Submission
from emulator.core.errors import (
    InputMissing,
    InputNotObject,
    InvalidBody,
    InvalidQuery,
    OutOfRange,
    RequestError,
    WebhookInvalid,
)  # fmt: skip
from emulator.core.fleet import WorkerCounts
from emulator.core.handout import handout
from emulator.core.job import Job, JobStatus
from emulator.core.platform import Platform

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_NOT_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
_DEPTH = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def submission(body: bytes, platform: Platform, sync: bool, headers: Sequence[tuple[bytes, bytes]] = ()) -> Submission:
    """The job in the body of /run or /runsync; raises InvalidBody, OutOfRange and kin."""
    members = cut(body, platform)
    policy = _object(members, "policy")
    low_priority = policy.get("lowPriority")
    if low_priority is not None and not isinstance(low_priority, bool):
        raise InvalidBody("policy.lowPriority must be true or false")
    s3_config = members.get("s3Config")
    return Submission(
        input=_input(members.get("input"), platform),
        webhook=_webhook(members.get("webhook"), platform),
        execution_timeout=_limit(
            policy, "executionTimeout", platform.execution_timeout_min, platform.execution_timeout_max, platform
        ),
        ttl=_limit(policy, "ttl", platform.job_ttl_min, platform.job_ttl_max, platform),
        low_priority=bool(low_priority),
        s3_config=bytes(s3_config) if s3_config is not None and _object(members, "s3Config") else None,
        sync=sync,
        headers=headers,
    )


class WorkerReport(NamedTuple):
    """What a worker posts to job-done or job-stream; `output` is JSON."""

    output: bytes | None
    error: str | None
    progress: bool
    stop_worker: bool


def report(body: bytes) -> WorkerReport:
    """The report in a worker's post; raises InvalidBody. An error that is no string becomes its JSON."""
    members = _decode(body)
    output = members.get("output")
    error = parsed(members.get("error"))
    if error and not isinstance(error, str):
        error = bytes(members["error"]).decode()
    return WorkerReport(
        output=None if output is None else bytes(output),
        error=error or None,
        progress=parsed(members.get("status")) == JobStatus.IN_PROGRESS.value,
        stop_worker=bool(parsed(members.get("stopPod"))),
    )


def is_loose(body: bytes) -> bool:
    """Whether a worker's post that is no JSON would be but for NaN and Infinity, which Python writes."""
    return _loose(body) is not None


def is_loose_progress(body: bytes) -> bool:
    """Whether such a post is a progress update."""
    return (_loose(body) or {}).get("status") == JobStatus.IN_PROGRESS.value


def _loose(body: bytes) -> dict[str, Any] | None:
    try:
        members = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return members if isinstance(members, dict) else None


def handout_one(job: Job, platform: Platform) -> bytes:
    """The answer to job-take."""
    return handout(job, platform)


def handout_many(jobs: Iterable[Job], platform: Platform) -> bytes:
    """The answer to job-take-batch."""
    return b"[" + b",".join(handout(job, platform) for job in jobs) + b"]"


def jobs_to_stop(ids: list[str]) -> bytes:
    """The answer to job-stop."""
    return orjson.dumps({"jobsToStop": ids})


def milliseconds(
    query: Mapping[str, str], name: str, low: int, high: int | None, default: int | None, platform: Platform
) -> int | None:
    """A duration of the query string; raises OutOfRange."""
    text = query.get(name)
    if text is None:
        return default
    if not _WHOLE.fullmatch(text):
        raise OutOfRange(name, low, high)
    return _within(name, int(text), low, high, platform)


def count(query: Mapping[str, str], name: str, default: int, low: int, high: int | None) -> int:
    """A whole number of the query string; raises InvalidQuery."""
    text = query.get(name)
    if text is None:
        return default
    if not _WHOLE.fullmatch(text) or not low <= int(text) <= (int(text) if high is None else high):
        raise InvalidQuery(name, low, high)
    return int(text)


def envelope(job: Job, at: int, platform: Platform) -> bytes:
    """The body of /status at time `at`."""
    return orjson.dumps(_envelope(job, at, platform))


def webhook_body(job: Job, platform: Platform) -> bytes:
    """The body of the webhook call for an ended job: the envelope plus input and webhook, without workerId."""
    body = _envelope(job, job.ended_at or 0, platform)
    body.pop("workerId", None)
    body["input"] = Fragment(job.input)
    body["webhook"] = job.webhook
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def accepted(job: Job) -> bytes:
    """Id and status, and nothing else."""
    return orjson.dumps({"id": job.id, "status": job.status.value})


def purged(removed: int) -> bytes:
    """The answer to /purge-queue."""
    return orjson.dumps({"removed": removed, "status": "completed"})


def stream(status: JobStatus, chunks: Iterable[bytes], platform: Platform) -> bytes:
    """The answer to /stream."""
    outputs = [{"output": Fragment(chunk)} for chunk in chunks]
    if platform.stream_shape == "array":
        return orjson.dumps(outputs)
    return orjson.dumps({"status": status.value, "stream": outputs})


def chunk_event(chunk: bytes) -> str:
    """The data of one server-sent stream event."""
    return orjson.dumps({"output": Fragment(chunk)}).decode()


def status_event(status: JobStatus) -> str:
    """The data of the event that ends a stream."""
    return orjson.dumps({"status": status.value}).decode()


def health(counters: Health) -> bytes:
    """The body of /health: five job counters, six worker counters."""
    jobs = {
        "completed": counters.completed,
        "failed": counters.failed,
        "inProgress": counters.running,
        "inQueue": counters.queued,
        "retried": counters.retried,
    }
    return orjson.dumps({"jobs": jobs, "workers": counters.workers._asdict()})


def metrics(ready: list[str], workers: WorkerCounts) -> bytes:
    """The body of /metrics: the ids of the workers that are up, and the worker counters of /health."""
    return orjson.dumps({"readyWorkers": ready, "workers": workers._asdict()})


def requests_page(jobs: Iterable[Job], total: int, offset: int, limit: int, at: int, platform: Platform) -> bytes:
    """The body of /requests."""
    page = [_envelope(job, at, platform) for job in jobs]
    return orjson.dumps(
        {"requests": page, "total": total, "offset": offset, "limit": limit, "hasMore": offset + len(page) < total}
    )


def problem(error: RequestError) -> bytes:
    """The body of an error."""
    if error.bare:
        return orjson.dumps({"error": error.detail})
    body = {"status": error.status, "title": error.title, "detail": error.detail, "code": error.code}
    return orjson.dumps({name: value for name, value in body.items() if value})


def _envelope(job: Job, at: int, platform: Platform) -> dict[str, Any]:
    body: dict[str, Any] = {}
    ran = job.taken_at is not None
    if job.taken_at is not None:
        body["delayTime"] = job.taken_at - job.submitted_at
    if job.error is not None:
        body["error"] = job.error
    if job.taken_at is not None and (job.status.terminal or job.progressed):
        body["executionTime"] = (at if job.ended_at is None else job.ended_at) - job.taken_at
    body["id"] = job.id
    if job.output is not None:
        body["output"] = Fragment(job.output)
    if ran and job.retries and job.status is not JobStatus.CANCELLED:
        body["retries"] = job.retries
    body["status"] = job.status.value
    if ran and platform.envelope_worker_id:
        body["workerId"] = job.worker
    return body


def cut(body: bytes, platform: Platform) -> dict[str, msgspec.Raw]:
    """The raw text of the members of a JSON object; raises InvalidBody."""
    _check_depth(body, platform.json_depth_limit)
    return _decode(body)


def _decode(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        if not body.isascii():
            body.decode()
        return _members.decode(body)
    except UnicodeDecodeError as error:
        raise InvalidBody("invalid json: not UTF-8") from error
    except RecursionError as error:
        raise InvalidBody("invalid json: nested too deep") from error
    except msgspec.ValidationError as error:
        raise InvalidBody("must be a json object") from error
    except msgspec.DecodeError as error:
        raise InvalidBody(f"invalid json: {str(error).removeprefix('JSON is malformed: ')}") from error


def _check_depth(body: bytes, limit: int) -> None:
    if _has_more(body, limit) and max(accumulate(_steps(body)), default=0) > limit:
        raise InvalidBody(f"invalid json: nested more than {limit} levels deep")


def _has_more(body: bytes, limit: int) -> bool:
    """Whether it has more opening brackets than that; long texts without any are passed over in leaps."""
    if len(body) <= limit:
        return False
    for bracket in (b"[", b"{"):
        at = body.find(bracket)
        while at >= 0:
            limit -= 1
            if limit < 0:
                return True
            at = body.find(bracket, at + 1)
    return False


def _steps(body: bytes) -> Iterator[int]:
    """+1 for each bracket that opens outside a string, -1 for each that closes.

    Two adjacent quotes can be dropped wherever they stand: what lies behind them stays
    inside, or outside, a string. That leaves the quotes of strings that hold brackets.
    """
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _NOT_BRACKETS).replace(b'""', b"")
    for outside in plain.split(b'"')[::2]:
        yield from map(_DEPTH.__getitem__, outside)


def _input(raw: msgspec.Raw | None, platform: Platform) -> bytes:
    text = b"null" if raw is None else bytes(raw)
    if text == b"null":
        raise InputMissing
    if platform.input_must_be_object and not text.startswith(b"{"):
        raise InputNotObject
    return text


def _webhook(raw: msgspec.Raw | None, platform: Platform) -> str | None:
    url = parsed(raw)
    if url is None or url == "":
        return None
    if not isinstance(url, str):
        raise InvalidBody("webhook must be a string")
    if platform.webhook_url_check and not _is_http_url(url):
        raise WebhookInvalid
    return url


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_IN_HOSTS = re.compile(r"[ \\^`{|}]")
"""What Go, in which the service calls, refuses in the host of a URL. A space in the path is let through."""


def _is_http_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        well_formed = url[0] in "hH" and not _CONTROL.search(url) and not _NOT_IN_HOSTS.search(host)
        return well_formed and parts.scheme in ("http", "https") and bool(host) and parts.port != 0
    except ValueError:
        return False


def _object(members: Mapping[str, msgspec.Raw], name: str) -> dict[str, Any]:
    value = parsed(members.get(name))
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidBody(f"{name} must be an object")
    return value


def parsed(raw: msgspec.Raw | None) -> Any:
    """The value of a member, None for a missing one."""
    return None if raw is None else _plain.decode(str(raw, "utf-8"))


def _number(text: str) -> int | float:
    """Python refuses to read very long integers; here they are as good as infinite."""
    return int(text) if len(text) < 20 else float(text)


_plain = json.JSONDecoder(parse_int=_number)


def _limit(policy: Mapping[str, Any], name: str, low: int, high: int, platform: Platform) -> int | None:
    value = policy.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        raise OutOfRange(f"policy.{name}", low, high)
    return _within(f"policy.{name}", int(value), low, high, platform)


def _within(name: str, value: int, low: int, high: int | None, platform: Platform) -> int:
    highest = value if high is None else high
    if low <= value <= highest:
        return value
    if platform.out_of_range == "reject":
        raise OutOfRange(name, low, high)
    return max(low, min(value, highest))
