"""Every JSON shape and header, both ways. The only file that knows the wire's names.

Inputs, outputs and chunks pass as the bytes they came as: a body is cut into the raw
text of its members, and an answer carries them as fragments.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import orjson
from orjson import Fragment

from runpod_emulator.core.endpoint.submission import Health, Submission
from runpod_emulator.core.errors import (  # fmt: skip
    InputMissing,
    InputNotObject,
    InvalidBody,
    InvalidQuery,
    OutOfRange,
    RequestError,
    WebhookInvalid,
)
from runpod_emulator.core.fleet.worker import WorkerCounts
from runpod_emulator.core.jobs.handout import handout
from runpod_emulator.core.jobs.job import Job, JobStatus
from runpod_emulator.core.platform import Platform
from runpod_emulator.http.members import (
    REPORT,
    SHORT,
    Members,
    Report,
    begins,
    cut,
    decode,
    is_nothing,
    is_object,
    parsed,
    policy_of,
    short,
)

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_LONGEST_NUMBER = 10_000
"""Characters; longer ones are taken for what is out of any range."""


def submission(
    body: bytes,
    platform: Platform,
    sync: bool,
    headers: Sequence[tuple[bytes, bytes]] = (),
    is_checked: bool = False,
) -> Submission:
    """The job in the body of /run or /runsync; raises InvalidBody, OutOfRange and kin.

    `is_checked` says that the body is known not to be nested too deep.
    """
    members = cut(body, platform, is_checked)
    execution_timeout, ttl, low_priority = _policy(members, platform) if members.policy else (None, None, False)
    return Submission(
        input=_input(members.input, platform),
        webhook=_webhook(members.webhook, platform) if members.webhook else None,
        execution_timeout=execution_timeout,
        ttl=ttl,
        low_priority=low_priority,
        s3_config=_s3_config(members.s3_config) if members.s3_config else None,
        sync=sync,
        headers=headers,
    )


def _policy(members: Members, platform: Platform) -> tuple[int | None, int | None, bool]:
    policy = policy_of(members)
    low_priority = _flag(policy.low_priority, "policy.lowPriority")
    shortest, longest = platform.execution_timeout_min, platform.execution_timeout_max
    execution_timeout = _limit(policy.execution_timeout, "executionTimeout", shortest, longest, platform)
    ttl = _limit(policy.ttl, "ttl", platform.job_ttl_min, platform.job_ttl_max, platform)
    return execution_timeout, ttl, low_priority


def _s3_config(raw: msgspec.Raw) -> bytes | None:
    text = bytes(raw)
    return text if is_object(raw, "s3Config") and text[1:-1].strip() else None


class WorkerReport(NamedTuple):
    """What a worker posts to job-done or job-stream; `output` is JSON."""

    output: bytes | None
    error: str | None
    progress: bool
    stop_worker: bool


def report(body: bytes) -> WorkerReport:
    """The report in a worker's post; raises InvalidBody. An error that is no string becomes its JSON."""
    members = decode(REPORT, body)
    return WorkerReport(
        output=bytes(members.output) if members.output else None,
        error=_error(members.error),
        progress=_is_progress(members),
        stop_worker=bool(short(members.stop_worker)),
    )


def _error(raw: msgspec.Raw) -> str | None:
    if not raw or (len(raw) < SHORT and not parsed(raw)):
        return None
    return str(parsed(raw)) if begins(raw, b'"') else str(raw, "utf-8")


def _is_progress(members: Report) -> bool:
    status: object = short(members.status)
    return status == JobStatus.IN_PROGRESS.value


def is_loose(body: bytes) -> bool:
    """Whether a worker's post that is no JSON would be but for NaN and Infinity, which Python writes."""
    return _loose(body) is not None


def is_loose_progress(body: bytes) -> bool:
    """Whether such a post is a progress update."""
    members = _loose(body)
    return members is not None and _is_progress(members)


def _loose(body: bytes) -> Report | None:
    """A post with NaN and Infinity, read with 0 in their place; a text that holds these words stays a text."""
    try:
        return decode(REPORT, body.replace(b"NaN", b"0").replace(b"Infinity", b"0"))
    except InvalidBody:
        return None


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


def _input(raw: msgspec.Raw, platform: Platform) -> bytes:
    text = bytes(raw)
    if text in (b"", b"null"):
        raise InputMissing
    if platform.input_must_be_object and not text.startswith(b"{"):
        raise InputNotObject
    return text


def _webhook(raw: msgspec.Raw, platform: Platform) -> str | None:
    if is_nothing(raw):
        return None
    if not begins(raw, b'"'):
        raise InvalidBody("webhook must be a string")
    url = str(parsed(raw))
    if not url:
        return None
    if platform.webhook_url_check and not _is_http_url(url):
        raise WebhookInvalid
    return url


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_IN_HOSTS = re.compile(r"[ \\^`{|}]")
"""What Go, in which the service calls, refuses in the host of a URL. A space in the path is let through."""


_LONGEST_URL, _LONGEST_HOST = 64 * 1024, 253
"""Characters; no name is longer (RFC 1035), and a head with more than that is read by few servers."""
_USUAL_URL = 1024
"""Characters of a URL that is kept for a while with what it is."""


def _is_http_url(url: str) -> bool:
    return len(url) <= _LONGEST_URL and (_is_known_url(url) if len(url) <= _USUAL_URL else _is_well_formed(url))


def _is_well_formed(url: str) -> bool:
    if url[0] not in "hH" or _CONTROL.search(url):
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if "[" in parts.netloc:
            ipaddress.IPv6Address(host.partition("%")[0])
        well_formed = 0 < len(host) <= _LONGEST_HOST and not _NOT_IN_HOSTS.search(host)
        return well_formed and parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        return False


_is_known_url = functools.lru_cache(256)(_is_well_formed)
"""The same, for URLs that come again and again."""


def _flag(raw: msgspec.Raw, name: str) -> bool:
    word = bytes(raw)
    if word not in (b"", b"null", b"true", b"false"):
        raise InvalidBody(f"{name} must be true or false")
    return word == b"true"


def _limit(raw: msgspec.Raw, name: str, low: int, high: int, platform: Platform) -> int | None:
    if is_nothing(raw):
        return None
    text = bytes(raw)
    if len(text) < 19 and text.isdigit() and (text[:1] != b"0" or text == b"0"):
        return _within(f"policy.{name}", int(text), low, high, platform)
    is_number = len(text) <= _LONGEST_NUMBER and text[:1] in b"-0123456789"
    value = parsed(raw) if is_number else 0.5
    if not float(value).is_integer():
        raise OutOfRange(f"policy.{name}", low, high)
    return _within(f"policy.{name}", int(value), low, high, platform)


def _within(name: str, value: int, low: int, high: int | None, platform: Platform) -> int:
    highest = value if high is None else high
    if low <= value <= highest:
        return value
    if platform.out_of_range == "reject":
        raise OutOfRange(name, low, high)
    return max(low, min(value, highest))
