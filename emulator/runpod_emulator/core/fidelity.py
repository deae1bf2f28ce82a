"""The ledger of evidence: for every answer the emulator gives, how well that answer is known."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

from runpod_emulator.core.platform import Evidence, Platform

_OBSERVED, _CLIENT, _DOCUMENTED, _GUESS = Evidence


class Row(NamedTuple):
    """One answer: an operation and an outcome. `fields` are those of `Platform` that decide it."""

    id: str
    evidence: Evidence
    text: str
    fields: tuple[str, ...] = ()


def _waits(operation: str, *fields: str) -> tuple[Row, ...]:
    text = f"{operation} past its wait: 200 with the present status; every SDK polls on with the id"
    return (
        Row(f"{operation}.in_queue", _CLIENT, text, fields),
        Row(f"{operation}.in_progress", _CLIENT, text, fields),
    )


def _ends(operation: str, known: Evidence = _OBSERVED) -> tuple[Row, ...]:
    return (
        Row(f"{operation}.completed", known, "recorded bodies; keys sorted and absent until they exist", ("envelope_worker_id",)),
        Row(f"{operation}.cancelled", known, "recorded: id and status; delayTime and executionTime only if it ran"),
        Row(f"{operation}.timed_out", _GUESS, "no TIMED_OUT body was ever seen", ("timed_out_error",)),
    )  # fmt: skip


_ROWS = (
    Row("run.accepted", _OBSERVED, "recorded: exactly id and status", ("id_suffix",)),
    *_waits("runsync", "runsync_wait"),
    *_ends("runsync"),
    Row("runsync.failed", _CLIENT, "200 with status and error", ("runsync_failed_status",)),
    Row("status.in_queue", _OBSERVED, "recorded: id and status"),
    Row("status.in_progress", _OBSERVED, "recorded: delayTime and workerId; output and executionTime after a progress update", ("envelope_worker_id",)),
    *_ends("status"),
    Row("status.failed", _OBSERVED, "recorded bodies", ("envelope_worker_id",)),
    *_waits("status_sync"),
    *_ends("status_sync", _CLIENT),
    Row("status_sync.failed", _CLIENT, "JS and Go read it like /status", ("envelope_worker_id",)),
    Row("stream.in_queue", _OBSERVED, "recorded: status and an empty stream", ("stream_wait", "stream_shape")),
    Row("stream.in_progress", _OBSERVED, "recorded: the chunks since the last call, each once", ("stream_shape",)),
    Row("stream.completed", _OBSERVED, "recorded: leftovers with the first terminal status, then an empty stream", ("stream_shape",)),
    Row("stream.failed", _CLIENT, "the same for every terminal status", ("stream_shape",)),
    Row("stream.cancelled", _CLIENT, "the same for every terminal status", ("stream_shape",)),
    Row("stream.timed_out", _CLIENT, "the same for every terminal status; every SDK reads TIMED_OUT as one", ("stream_shape",)),
    Row("stream.events", _GUESS, "server-sent events on request (Accept: text/event-stream); the emulator's own convenience"),
    Row("cancel.queued", _OBSERVED, "recorded: id and status"),
    Row("cancel.running", _DOCUMENTED, "answers at once; the worker is told afterwards"),
    Row("cancel.ended", _GUESS, "an ended job stays as it is", ("cancel_terminal",)),
    Row("retry.accepted", _DOCUMENTED, "FAILED and TIMED_OUT only: same id, original input"),
    Row("purge.removed", _OBSERVED, "recorded: removed and the word completed"),
    Row("health.counters", _OBSERVED, "recorded: five job counters, six worker counters"),
    Row("health.timed_out", _GUESS, "the same where a job has TIMED_OUT: which counter counts it", ("health_timed_out_failed",)),
    Row("health.balanced", _OBSERVED, "recorded, 2026, of load-balancing endpoints: job counters stay 0; running 1, ready 0 while a worker is not healthy"),
    Row("metrics.workers", _CLIENT, "undocumented; Flash reads it while it waits: ids of ready workers, and the six counters"),
    Row("requests.page", _CLIENT, "a client reads requests: id, status, delayTime, workerId, executionTime of each; newest first is a guess"),
    Row("requests.part", _GUESS, "one page of several, shaped like the batch API's", ("requests_limit",)),
    Row("batch.created", _DOCUMENTED, "id and status DRAFT"),
    Row("batch.changed", _GUESS, "add, remove and PUT are documented, their answers are not: the batch's summary"),
    Row("batch.finalized", _GUESS, "finalize is documented, its answer is not: id and status"),
    Row("batch.cancelled", _GUESS, "queued requests are cancelled now, running ones finish, then the batch is CANCELLED; the answer is a guess"),
    Row("batch.list", _GUESS, "newest first is documented; the key batches is not"),
    Row("batch.summary", _DOCUMENTED, "a printed sample; name is a guess, as is that cancelled requests are in none of the counters"),
    Row("batch.requests", _DOCUMENTED, "a printed sample; the page lists failed, in progress, queued and completed ones, in this order, and cancelled ones last, a guess", ("batch_page_limit",)),
    Row("openai.completed", _CLIENT, "clients need a bare object, workers give it in a list of one, or as a string"),
    Row("openai.error", _OBSERVED, "recorded: an error object that a worker gives as its output passes as 200", ("openai_errors",)),
    Row("openai.stream", _CLIENT, "the worker's texts verbatim, as server-sent events: so its workers write them"),
    Row("openai.reshaped", _GUESS, "the first of several items; chunks that are no texts as data lines"),
    Row("openai.failed", _OBSERVED, "recorded 2026-08: 500 internal server error, and nothing of what the worker said", ("openai_failure",)),
    Row("openai.waiting", _GUESS, "the edge's 524 after about 100 s was observed, and a 500 after 94.76 s; the body is a guess", ("openai_wait",)),
    Row("graphql.answer", _CLIENT, "the members of endpoints and templates that runpod 1.12 and Flash ask for; the rest of the schema is not here"),
    Row("worker.take", _CLIENT, "the SDK needs id and input"),
    Row("worker.batch", _CLIENT, "a list; the SDK checks nothing on this path"),
    Row("worker.empty", _CLIENT, "204: the SDK polls again at once"),
    Row("worker.report", _CLIENT, "any 2xx will do; what comes too late is accepted and does not count"),
    Row("worker.stop", _CLIENT, "jobsToStop, said again until the worker has let go of the job"),
    Row("worker.ping", _CLIENT, "renews the leases of the listed jobs; recorded, 2026: 200", ("worker_lease", "worker_ping_interval")),
    Row("management.shown", _DOCUMENTED, "the specification of REST v2; what it leaves open is a guess"),
    Row("management.logs", _DOCUMENTED, "server-sent events as the specification says; that they end with the worker, and what system lines say, are guesses"),
    Row("error.no_token", _OBSERVED, "recorded body"),
    Row("error.invalid_key", _OBSERVED, "recorded 2026-08 on /run, before on the load-balancing host"),
    Row("error.foreign_page", _GUESS, "the emulator's own answer to web pages that cors does not let in, and to addresses that a browser opens and that would change something", ("cors",)),
    Row("error.no_outside_workers", _GUESS, "the emulator's own answer: its handlers' jobs are for its own workers"),
    Row("error.endpoint_not_found", _OBSERVED, "recorded several times, 2026, also through /openai/v1"),
    Row("error.flash_endpoint_missing", _GUESS, "every Flash client sends the header"),
    Row("error.flash_endpoint_not_found", _CLIENT, "Flash takes a 404 for a function that is not deployed; the body is unknown"),
    Row("error.job_not_found", _OBSERVED, "recorded several times, 2026, on /status, also of expired jobs"),
    Row("error.batch_not_found", _GUESS, "never seen; by analogy with jobs"),
    Row("error.batch_state", _GUESS, "never seen: adding to a batch that is no draft, cancelling one that has ended", ("batch_error_status",)),
    Row("error.batch_full", _GUESS, "the limits are documented, the refusal is not", ("batch_requests_limit", "batch_active_limit", "batch_queue_limit", "batch_error_status")),
    Row("error.batch_body_too_large", _GUESS, "the limit is documented, the refusal is by analogy with /run", ("batch_body_limit",)),
    Row("error.paused", _OBSERVED, "recorded by many, 2026, on /run and /openai: 409 with a code; /runsync likely too", ("paused_endpoint",)),
    Row("error.namespace", _GUESS, "namespaces are this emulator's own"),
    Row("error.route_not_found", _GUESS, "never seen"),
    Row("error.method_not_allowed", _GUESS, "never seen"),
    Row("error.body_too_large", _OBSERVED, "recorded for /run", ("run_body_limit",)),
    Row("error.runsync_body_too_large", _GUESS, "by analogy with /run", ("runsync_body_limit",)),
    Row("error.invalid_body", _GUESS, "the text is unknown", ("json_depth_limit",)),
    Row("error.input_missing", _GUESS, "docs: a generic 400"),
    Row("error.input_not_object", _GUESS, "docs require an object", ("input_must_be_object",)),
    Row("error.webhook_invalid", _GUESS, "never seen", ("webhook_url_check",)),
    Row("error.out_of_range", _GUESS, "rejecting is a guess; the ranges are documented", ("out_of_range",)),
    Row("error.not_retryable", _GUESS, "never seen", ("retry_wrong_state_status",)),
    Row("error.not_cancellable", _GUESS, "only with cancel_terminal=reject", ("cancel_terminal",)),
    Row("error.rate_limited", _GUESS, "the limits are documented, body and headers unknown", ("rate_window", "requests_per_worker", "rate_limit_headers")),
    Row("error.queue_full", _GUESS, "a rule of older docs", ("queue_limit_rule", "queue_limit_floor", "queue_limit_per_worker")),
    Row("error.wrong_kind", _OBSERVED, "recorded, 2026: a load-balanced request to a queue endpoint"),
    Row("error.queue_call_run", _OBSERVED, "recorded, 2026: /run on a load-balancing endpoint"),
    Row("error.queue_call", _GUESS, "the same for every other verb, with its own path"),
    Row("error.no_workers", _DOCUMENTED, "quoted body; that it means an endpoint without workers is a guess"),
    Row("error.overloaded", _GUESS, "docs: overload drops requests; the answer is unknown", ("balancer_overload_status",)),
    Row("error.worker_timeout", _OBSERVED, "recorded, 2026: 400, the text under the key detail", ("balancer_wait",)),
    Row("error.strict_worker_timeout", _DOCUMENTED, "the same text for the one worker of a strict affinity", ("balancer_strict_wait",)),
    Row("error.affinity_gone", _GUESS, "404 and the reason are documented, the body is not"),
    Row("error.balanced_body_too_large", _GUESS, "the limit is documented, the refusal is by analogy with /run", ("balancer_body_limit",)),
    Row("error.bad_gateway", _GUESS, "502 is documented for misconfigured ports, the body is not", ("balancer_body_limit",)),
    Row("error.answer_too_late", _GUESS, "older docs: 524; newer ones: the connection is cut", ("balancer_answer_limit",)),
    Row("error.not_emulated", _GUESS, "the emulator's own answer for routes it does not have"),
    Row("error.graphql_invalid", _GUESS, "the emulator's own answer: clients read errors[0].message, whatever it says"),
    Row("error.management", _DOCUMENTED, "the specification of REST v2: problem+json, with errors for each field"),
    Row("error.unavailable", _GUESS, "the emulator's own answer while the server of --store is away or full"),
    Row("error.internal", _GUESS, "a fault of the emulator"),
    Row("error.fault", _GUESS, "an answer that a fault makes because it was told to"),
)  # fmt: skip

LEDGER: dict[str, Row] = {row.id: row for row in _ROWS}


class Behaviour(NamedTuple):
    """Something that happens without being one answer, and how well it is known."""

    text: str
    evidence: Evidence
    fields: tuple[str, ...] = ()


BEHAVIOURS = (
    Behaviour("A lost worker's job is handed out once more, then fails", _OBSERVED, ("platform_retries", "lost_worker_end", "worker_lease")),
    Behaviour("A worker process that ends gives its jobs back at once, not after a lease", _GUESS),
    Behaviour("delayTime runs from submission to the last pickup, executionTime over the last run", _OBSERVED),
    Behaviour("Execution timeouts fire on time; those recorded in 2026 came 2.8-11.8 s late, which the fault late_timeout plays. Every measured one ended FAILED, in webhooks too", _OBSERVED),
    Behaviour("The TTL of a running job deletes it, and its handler is stopped", _DOCUMENTED, ("job_ttl",)),
    Behaviour("The TTL of a queued job deletes it", _DOCUMENTED, ("queued_ttl_end",)),
    Behaviour("A run above its execution timeout fails", _OBSERVED, ("execution_timeout", "execution_timeout_end")),
    Behaviour("Results are kept for 30 min after /run, 1 min after /runsync, whatever ?wait= was", _DOCUMENTED, ("run_retention", "runsync_retention", "runsync_wait_retention", "runsync_retention_max")),
    Behaviour("A result is kept for its retention, also beyond the job's TTL", _DOCUMENTED, ("ended_ttl",)),
    Behaviour("An endpoint with workers_max 0 takes no job; /health and /purge-queue answer as ever, and so does /retry, which is a guess. Production says so for some time after the maximum was raised; here it ends at once", _OBSERVED, ("paused_endpoint",)),
    Behaviour("Jobs of low priority run when no other waits, and none of them ever causes a worker, beside whatever it waits", _DOCUMENTED, ("low_priority_order",)),
    Behaviour("The requests of batches have workers of their own (batch_workers_max), which start when there are some and end when idle", _DOCUMENTED),
    Behaviour("A batch is never FAILED here: what brings that about in production is unknown. One whose requests have all ended stays FINALIZED", _DOCUMENTED),
    Behaviour("A batch and the outcomes of its requests stay until a reset, or until its endpoint goes; a request whose TTL passes while it waits counts as failed", _GUESS),
    Behaviour("How long /status-sync is held without ?wait=", _GUESS, ("status_sync_wait",)),
    Behaviour("How long job-take and job-stop are held when there is nothing to say", _GUESS, ("worker_poll_hold",)),
    Behaviour("What a purged job leaves behind", _GUESS, ("purged_job",)),
    Behaviour("?ttl= shortens a result's life, counted from the call or from the job's end", _GUESS, ("status_ttl_min",)),
    Behaviour("A cancelled or timed-out plain handler's process is ended; an async one is asked first, as the SDK asks it", _CLIENT, ("blocked_stop",)),
    Behaviour("Webhooks: up to three attempts, any 2xx acknowledges; body is the status plus input and webhook, without workerId", _OBSERVED, ("webhook_retry_delays", "webhook_timeout")),
    Behaviour("Which ends call a webhook besides COMPLETED and FAILED", _GUESS, ("webhook_on_cancelled", "webhook_on_timed_out")),
    Behaviour("A progress update after the end is ignored; production lets it overwrite the result", _OBSERVED),
    Behaviour("What the official worker cannot send it never reports: a result that is not JSON, half a surrogate pair, an exception without a text, a BaseException; the job is lost. A chunk that is not JSON is left out. NaN and Infinity are refused and fail the job", _CLIENT, ("unsendable_result",)),
    Behaviour("A worker process keeps the rules of the installed SDK, and has the environment of the platform; what its handler starts reports by it", _CLIENT),
    Behaviour("A file that defines handler and never calls start is served all the same, a kindness with a warning: in production its process ends and it takes no job", _CLIENT),
    Behaviour("The handler's own fitness checks run before its first job, and a worker that fails one is unhealthy and takes none; the built-in checks of system and GPU are skipped", _CLIENT),
    Behaviour("Prestart hooks of SDK 2.0 that fail end each job that came with their reason, and the worker; RUNPOD_LOG_CAPTURE counts", _CLIENT),
    Behaviour("A result above the limit is dropped, the job completes without output", _OBSERVED, ("oversized_result", "run_result_limit", "runsync_result_limit")),
    Behaviour("An empty input object is removed, so that its worker refuses the job", _OBSERVED, ("strip_empty_input",)),
    Behaviour("Stream chunks above 1 MB are split when they are strings", _GUESS, ("stream_chunk_limit", "split_chunks")),
    Behaviour("Chunks of a lost or retried run that nobody has read are dropped", _GUESS),
    Behaviour("One more worker when a job waits and no slot is free; lowPriority jobs never cause one", _DOCUMENTED, ("scaler", "workers_max", "idle_timeout")),
    Behaviour("A client of /openai that hangs up leaves its job running", _GUESS, ("openai_hangup",)),
    Behaviour("X-Flash-Endpoint holds a name of the app's, or an endpoint's id: the stubs of runpod 2.0 send either; that the name goes first is a guess", _CLIENT),
    Behaviour("All keys belong to one user: rate windows are per endpoint and operation", _GUESS, ("rate_limit_window",)),
    Behaviour("A load-balanced request goes to the healthy worker with the fewest in flight; nothing is retried", _GUESS),
    Behaviour("At a worker's capacity (--worker-capacity) strict affinity waits, soft affinity goes to another worker, and a request is dropped where all are full and none can come", _DOCUMENTED, ("balancer_strict_wait",)),
    Behaviour("A worker that answers its health check with 200 gets requests, with 204 it initializes, with anything else it leaves", _DOCUMENTED, ("ping_interval",)),
    Behaviour("Load-balancing workers are scaled by requests in flight; WebSockets do not count", _OBSERVED, ("websockets_count",)),
    Behaviour("The key does not reach load-balancing workers", _GUESS, ("forward_authorization",)),
    Behaviour("Web pages of this machine may read the answers (CORS), unlike production; what a page of another origin sends without a key is refused", _GUESS, ("cors",)),
)  # fmt: skip


class Ledger:
    """The labels of the ledger's rows for one set of platform values."""

    def __init__(self, platform: Platform) -> None:
        self.headers: Mapping[str, str] = _headers(platform)
        """The value of X-Emulator-Fidelity for each row: the weakest label among what decided the answer."""


def weakest(row: Row | Behaviour, platform: Platform) -> Evidence:
    """The weakest evidence behind a row: its own and that of the fields that decide it."""
    return max([row.evidence, *(platform.evidence_of(name) for name in row.fields)])


@functools.lru_cache(maxsize=8)
def _headers(platform: Platform) -> Mapping[str, str]:
    """All worlds of a server have the same."""
    return {row.id: _header(row, platform) for row in LEDGER.values()}


def _header(row: Row, platform: Platform) -> str:
    return f"{weakest(row, platform).label}; row={row.id}"
