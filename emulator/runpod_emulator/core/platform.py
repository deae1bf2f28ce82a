"""Every number and disputed behaviour of the real service, each with its evidence.

A field that two sources describe differently holds the stronger reading in the
``observed`` preset and the written one in the ``documented`` preset. Durations are
milliseconds, sizes bytes. Nothing else in the emulator knows such a number.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, TypeVar

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
MIB = 1024 * 1024

Value = TypeVar("Value")
Profile = Literal["observed", "documented"]


class Evidence(IntEnum):
    """How well a behaviour is known; a higher number is weaker."""

    OBSERVED = 0
    CLIENT = 1
    DOCUMENTED = 2
    GUESS = 3

    @property
    def label(self) -> str:
        """The word used on the wire and in the docs."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Source:
    """Where a field's values come from.

    ``documented`` is the value of the documented preset; ``None`` means that both
    presets share the field's default.
    """

    evidence: Evidence
    text: str
    unit: str = ""
    documented: Any = None


def _fact(value: Value, evidence: Evidence, text: str, unit: str = "") -> Value:
    """A field whose value is the same in both presets."""
    source = Source(evidence, text, unit)
    return dataclasses.field(default=value, metadata={"source": source})


def _disputed(value: Value, documented: Value, evidence: Evidence, text: str, unit: str = "") -> Value:
    """A field that the observed and the documented preset read differently."""
    source = Source(evidence, text, unit, documented)
    return dataclasses.field(default=value, metadata={"source": source})


_OBSERVED, _CLIENT, _DOCUMENTED, _GUESS = Evidence


@dataclass(frozen=True, slots=True)
class Platform:
    """The service's numbers and readings for one emulator.

    Raises ValueError for a negative number. Build presets with `preset`.
    """

    id_suffix: str = _fact(
        "-u1", _OBSERVED, "recorded ids end in -u1, -u2, -e1 or -e2; so do 75 ids of the docs, and 8 have none"
    )
    run_body_limit: int = _fact(10 * MIB, _OBSERVED, "recorded refusal: exceeded max body size of 10MiB", "bytes")
    runsync_body_limit: int = _fact(20 * MIB, _GUESS, "docs say 20 MB; MiB by analogy with /run", "bytes")
    run_result_limit: int = _disputed(
        20 * MIB, 10 * MIB, _OBSERVED, "failures were reported at 19-20 MB; docs say 10 MB for results of /run", "bytes"
    )
    runsync_result_limit: int = _fact(20 * MIB, _DOCUMENTED, "docs say 20 MB for results of /runsync", "bytes")
    oversized_result: Literal["completed_without_output", "failed"] = _disputed(
        "completed_without_output", "failed", _OBSERVED, "the job ends COMPLETED and its output is missing"
    )
    input_must_be_object: bool = _fact(True, _GUESS, "docs require a JSON object; the refusal itself was never seen")
    strip_empty_input: Literal["lost", "fail", "keep"] = _disputed(
        "lost",
        "keep",
        _OBSERVED,
        "an empty input object is removed, its worker drops the job, and the lease runs out; fail: fails it at once",
    )
    blocked_stop: Literal["replace", "wait"] = _fact(
        "replace",
        _DOCUMENTED,
        "a plain handler hears no stop: its worker is ended at once ('the worker stops'); wait: after 5 s, if need be",
    )
    unsendable_result: Literal["lost", "fail"] = _fact(
        "lost",
        _CLIENT,
        "what the official worker cannot send it never reports, and the lease runs out; fail: fails the job at once",
    )
    json_depth_limit: int = _fact(500, _GUESS, "how deep a request body may nest", "levels")
    webhook_url_check: bool = _fact(True, _GUESS, "a webhook that is no http(s) URL is refused with 400")
    out_of_range: Literal["reject", "clamp"] = _fact("reject", _GUESS, "policy, wait or ttl out of range")

    execution_timeout: int = _fact(600 * SECOND, _DOCUMENTED, "default of an endpoint; 0 sets no limit", "ms")
    execution_timeout_min: int = _fact(5 * SECOND, _DOCUMENTED, "range of policy.executionTimeout", "ms")
    execution_timeout_max: int = _fact(7 * DAY, _DOCUMENTED, "range of policy.executionTimeout", "ms")
    execution_timeout_end: Literal["failed", "timed_out"] = _disputed(
        "failed",
        "timed_out",
        _OBSERVED,
        "FAILED with error 'executionTimeout exceeded'; the job-states page says TIMED_OUT",
    )
    job_ttl: int = _fact(24 * HOUR, _DOCUMENTED, "default life of a job from its submission", "ms")
    job_ttl_min: int = _fact(10 * SECOND, _DOCUMENTED, "range of policy.ttl", "ms")
    job_ttl_max: int = _fact(7 * DAY, _DOCUMENTED, "range of policy.ttl", "ms")
    queued_ttl_end: Literal["deleted", "timed_out"] = _disputed(
        "deleted", "timed_out", _DOCUMENTED, "newest docs: deleted, 404; the job-states page: TIMED_OUT"
    )
    timed_out_error: str = _fact("job timed out", _GUESS, "no TIMED_OUT body was ever seen")
    run_retention: int = _fact(30 * MINUTE, _DOCUMENTED, "how long a result is kept after /run", "ms")
    runsync_retention: int = _fact(1 * MINUTE, _DOCUMENTED, "how long a result is kept after /runsync", "ms")
    runsync_wait_retention: Literal["fixed", "extended"] = _disputed(
        "fixed",
        "extended",
        _DOCUMENTED,
        "whether ?wait= keeps a /runsync result as long as it waits: one page says no, two say 'up to 5 minutes'",
    )
    runsync_retention_max: int = _fact(
        5 * MINUTE, _DOCUMENTED, "longest life of a result under runsync_wait_retention=extended", "ms"
    )
    ended_ttl: Literal["ignored", "deleted"] = _fact(
        "ignored",
        _DOCUMENTED,
        "whether a job's TTL deletes its result too: 'separate from TTL' against 'deleted regardless of state'",
    )

    wait_min: int = _fact(1 * SECOND, _DOCUMENTED, "smallest ?wait=", "ms")
    wait_max: int = _fact(300 * SECOND, _DOCUMENTED, "largest ?wait=", "ms")
    runsync_wait: int = _fact(90 * SECOND, _DOCUMENTED, "hold of /runsync without ?wait=", "ms")
    runsync_failed_status: int = _disputed(
        200, 400, _CLIENT, "HTTP status of a FAILED /runsync; 20 reference pages print its body under 400"
    )
    status_sync_wait: int = _fact(90 * SECOND, _GUESS, "hold of /status-sync without ?wait=", "ms")
    status_ttl_min: int = _fact(
        1, _GUESS, "smallest ?ttl= of /status; docs show 6000, below the smallest policy.ttl", "ms"
    )
    stream_wait: int = _fact(9_500, _CLIENT, "hold of an empty /stream; the Python client's read timeout is 10 s", "ms")
    stream_chunk_limit: int = _fact(1_000_000, _DOCUMENTED, "one stream chunk; longer ones are split", "bytes")
    split_chunks: bool = _fact(True, _GUESS, "a long string becomes several strings; other values pass whole")
    stream_wakes_on_status: bool = _fact(False, _GUESS, "whether a start of the job ends a /stream hold")
    stream_shape: Literal["object", "array"] = _fact(
        "object", _OBSERVED, "recorded streams; the reference's bare array breaks every client"
    )
    envelope_worker_id: bool = _fact(
        True, _OBSERVED, "workerId in envelopes; 25 pages of the docs have it, the reference alone does not"
    )
    cancel_terminal: Literal["echo", "reject"] = _fact(
        "echo", _GUESS, "cancelling an ended job answers its id and unchanged status"
    )
    retry_wrong_state_status: int = _fact(400, _GUESS, "HTTP status when a job cannot be retried")
    paused_endpoint: Literal["conflict", "queue"] = _disputed(
        "conflict",
        "queue",
        _OBSERVED,
        "jobs for an endpoint with workers_max 0: refused with 409 ENDPOINT_PAUSED; docs: they wait IN_QUEUE",
    )
    low_priority_order: Literal["behind", "fifo"] = _fact(
        "behind", _GUESS, "lowPriority jobs run when no other waits; older docs say so. fifo: all in one line"
    )
    purged_job: Literal["gone", "cancelled"] = _fact("gone", _GUESS, "what a purged job leaves behind")
    requests_limit: int = _fact(50, _GUESS, "page size of /requests, as the batch API pages", "jobs")

    batch_body_limit: int = _fact(10 * MIB, _DOCUMENTED, "requests that one call adds to a batch", "bytes")
    batch_requests_limit: int = _fact(5_000, _DOCUMENTED, "requests of one batch", "requests")
    batch_active_limit: int = _fact(
        10, _DOCUMENTED, "finalized batches of an endpoint with unfinished requests", "batches"
    )
    batch_queue_limit: int = _fact(
        50_000, _DOCUMENTED, "requests of batches that may wait at an endpoint; 1,000,000 for some accounts", "requests"
    )
    batch_page_limit: int = _fact(
        50, _DOCUMENTED, "page size of a batch's requests, as in the docs' sample", "requests"
    )
    batch_error_status: int = _fact(400, _GUESS, "HTTP status for a batch in a wrong state, or above a limit")

    openai_failure: Literal["hidden", "shown"] = _fact(
        "hidden", _OBSERVED, "recorded: 500 without the worker's words; shown: they come in OpenAI's shape, to debug"
    )
    openai_errors: Literal["output", "status"] = _fact(
        "output",
        _OBSERVED,
        "recorded: 200 for an error object that a worker gives as its output; status: its code and vLLM's own shape",
    )
    openai_hangup: Literal["continue", "cancel"] = _fact(
        "continue", _GUESS, "the job of an /openai request whose client has hung up, by analogy with /runsync"
    )
    openai_wait: int = _fact(
        0,
        _GUESS,
        "hold of an /openai answer, 0 until its job ends; the edge has cut cold loads with 524 after 100 s",
        "ms",
    )

    worker_lease: int = _fact(
        40 * SECOND, _OBSERVED, "a lost worker was noticed after about 40 s of silence, which executionTime held", "ms"
    )
    worker_ping_interval: int = _fact(
        4 * SECOND, _OBSERVED, "between two pings of an official worker, the first without a job: its environment", "ms"
    )
    worker_poll_hold: int = _fact(
        10 * SECOND, _GUESS, "how long job-take and job-stop are held; the SDK gives up at 90 s", "ms"
    )
    platform_retries: int = _fact(1, _OBSERVED, "a lost job is tried once more", "times")
    lost_worker_end: Literal["failed", "timed_out"] = _disputed(
        "failed", "timed_out", _OBSERVED, "FAILED 'job timed out after 1 retries'; the job-states page says TIMED_OUT"
    )

    balancer_wait: int = _fact(120 * SECOND, _OBSERVED, "wait of a load-balanced request for a healthy worker", "ms")
    balancer_strict_wait: int = _fact(
        300 * SECOND, _DOCUMENTED, "the same for the one worker of a strict affinity", "ms"
    )
    balancer_answer_limit: int = _fact(330 * SECOND, _DOCUMENTED, "longest load-balanced request; then it is cut", "ms")
    balancer_overload_status: int = _fact(
        400,
        _GUESS,
        "HTTP status of a load-balanced request that is dropped: no worker has room and none can come; older docs say "
        "400 at max workers",
    )
    balancer_body_limit: int = _fact(
        30 * MIB, _DOCUMENTED, "request and response of a load-balanced call; the refusals are a guess", "bytes"
    )
    ping_interval: int = _fact(1 * SECOND, _GUESS, "between two health checks of a load-balancing worker", "ms")
    forward_authorization: bool = _fact(
        False, _GUESS, "whether a load-balancing worker sees the key; 'your app never sees the key' was read"
    )
    websockets_count: bool = _fact(
        False, _OBSERVED, "an open WebSocket keeps no worker: sessions were cut by scaling to zero"
    )

    workers_min: int = _fact(0, _DOCUMENTED, "workers that are always on", "workers")
    workers_max: int = _fact(3, _DOCUMENTED, "ceiling of an endpoint's workers", "workers")
    idle_timeout: int = _fact(5 * SECOND, _DOCUMENTED, "an idle worker's life", "ms")
    init_timeout: int = _fact(
        7 * MINUTE,
        _DOCUMENTED,
        "a worker that takes longer to start is unhealthy; RUNPOD_INIT_TIMEOUT changes it",
        "ms",
    )
    scaler: Literal["REQUEST_COUNT", "QUEUE_DELAY"] = _disputed(
        "REQUEST_COUNT", "QUEUE_DELAY", _OBSERVED, "a recorded endpoint scaled by request count"
    )
    scaler_requests: int = _fact(1, _OBSERVED, "jobs per worker under REQUEST_COUNT", "jobs")
    scaler_delay: int = _fact(4 * SECOND, _DOCUMENTED, "wait that adds a worker under QUEUE_DELAY", "ms")

    rate_limit_window: int = _fact(10 * SECOND, _DOCUMENTED, "length of a rate window", "ms")
    rate_window: Literal["first_request", "aligned"] = _fact("first_request", _GUESS, "when a rate window opens")
    run_rate: int = _fact(1000, _DOCUMENTED, "/run", "requests per window")
    run_concurrency: int = _fact(200, _DOCUMENTED, "/run", "requests at once")
    runsync_rate: int = _fact(2000, _DOCUMENTED, "/runsync", "requests per window")
    runsync_concurrency: int = _fact(400, _DOCUMENTED, "/runsync", "requests at once")
    status_rate: int = _fact(2000, _DOCUMENTED, "/status, with /status-sync", "requests per window")
    status_concurrency: int = _fact(400, _DOCUMENTED, "/status, with /status-sync", "requests at once")
    stream_rate: int = _fact(2000, _DOCUMENTED, "/stream", "requests per window")
    stream_concurrency: int = _fact(400, _DOCUMENTED, "/stream", "requests at once")
    cancel_rate: int = _fact(100, _DOCUMENTED, "/cancel", "requests per window")
    cancel_concurrency: int = _fact(20, _DOCUMENTED, "/cancel", "requests at once")
    purge_rate: int = _fact(2, _DOCUMENTED, "/purge-queue", "requests per window")
    requests_rate: int = _fact(10, _DOCUMENTED, "/requests", "requests per window")
    requests_concurrency: int = _fact(2, _DOCUMENTED, "/requests", "requests at once")
    openai_rate: int = _fact(2000, _DOCUMENTED, "/openai", "requests per window")
    openai_concurrency: int = _fact(400, _DOCUMENTED, "/openai", "requests at once")
    requests_per_worker: int = _fact(
        50, _GUESS, "limit = max(base, running workers x this); 50 is an older example", "requests per window"
    )
    shared_status_pool: bool = _fact(False, _GUESS, "older docs: /status and /stream share one row of 2000")
    queue_limit_rule: bool = _fact(True, _GUESS, "older docs: 429 above 50 queued jobs and 500 per max worker")
    queue_limit_floor: int = _fact(50, _GUESS, "older docs: see queue_limit_rule", "jobs")
    queue_limit_per_worker: int = _fact(500, _GUESS, "older docs: see queue_limit_rule", "jobs")
    management_minute_rate: int = _fact(60, _GUESS, "management API: the specification's example", "requests a minute")
    management_hour_rate: int = _fact(3_000, _GUESS, "the same in an hour", "requests per hour")
    management_day_rate: int = _fact(50_000, _GUESS, "the same in a day", "requests per day")
    rate_limit_headers: bool = _fact(False, _GUESS, "IETF RateLimit header on 429, beside Retry-After")

    webhook_retry_delays: tuple[int, ...] = _disputed(
        (5 * SECOND, 15 * SECOND),
        (10 * SECOND, 10 * SECOND),
        _OBSERVED,
        "recorded attempts at 0, 5 and 20 s; docs say 10 s",
        "ms",
    )
    webhook_timeout: int = _fact(10 * SECOND, _GUESS, "an older page: 10-second timeout per attempt", "ms")
    webhook_on_cancelled: bool = _fact(True, _GUESS, "CANCELLED fires a webhook; one third party reports it")
    webhook_on_timed_out: bool = _fact(True, _GUESS, "TIMED_OUT fires a webhook; older docs: complete, fail or timeout")
    health_timed_out_failed: bool = _fact(True, _GUESS, "TIMED_OUT counts as failed in /health, CANCELLED nowhere")
    cors: Literal["local", "open", "none"] = _fact(
        "local",
        _GUESS,
        "web pages that may read answers: local: those on localhost and loopback addresses, any port; open: all; none: "
        "as in production, which answers preflights 404",
    )
    error_content_type: Literal["application/json", "application/problem+json"] = _fact(
        "application/json", _GUESS, "content type of error bodies; clients accept both"
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            numbers = value if isinstance(value, tuple) else (value,)
            if any(isinstance(number, int) and number < 0 for number in numbers):
                raise ValueError(f"{field.name} must not be negative, got {value}")

    def evidence_of(self, name: str) -> Evidence:
        """How well the value that field `name` has here is known.

        A value that no preset holds is the user's own: a guess.
        """
        field = _field(name)
        source: Source = field.metadata["source"]
        value = getattr(self, name)
        if value == field.default:
            return source.evidence
        return Evidence.DOCUMENTED if value == source.documented else Evidence.GUESS


def source_of(name: str) -> Source:
    """The evidence behind field `name`; KeyError for an unknown one."""
    source: Source = _field(name).metadata["source"]
    return source


def preset(profile: Profile, **changes: Any) -> Platform:
    """The `Platform` of one profile, with single fields changed by name."""
    values: dict[str, Any] = {}
    if profile == "documented":
        for field in dataclasses.fields(Platform):
            documented = field.metadata["source"].documented
            if documented is not None:
                values[field.name] = documented
    return Platform(**(values | changes))


@functools.cache
def _field(name: str) -> dataclasses.Field[Any]:
    return {field.name: field for field in dataclasses.fields(Platform)}[name]
