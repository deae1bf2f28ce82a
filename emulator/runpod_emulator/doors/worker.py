"""The worker protocol: what programs that call `runpod.serverless.start` call.

Lenient where the SDK is careless: parameters may be glued to the path, bodies are JSON
under a form's content type, and any key is accepted unless told otherwise. Only workers that the emulator
does not have itself come this way: at a handler's endpoint just what the handler started, by its worker's token.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from runpod_emulator.core.door_errors import NoOutsideWorkers
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.errors import BodyTooLarge, InvalidBody
from runpod_emulator.core.fleet.worker import Said
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, Progressed
from runpod_emulator.core.jobs.results import (
    NOT_FINITE,
    ending,
    is_oversized,
    oversized,
    result_limit,
    split_chunk,
    told_of_its_size,
)
from runpod_emulator.core.secrets.tokens import WorkerTokens
from runpod_emulator.http import wire
from runpod_emulator.http.access import Access, bare_key, world_of_worker
from runpod_emulator.http.answers import Handler, answering
from runpod_emulator.http.call import FIDELITY, HttpCaller, read_body
from runpod_emulator.http.connection import ends_with_eof
from runpod_emulator.http.guards import queue_in_path
from runpod_emulator.http.routing import ExactRoute
from runpod_emulator.world.world import World

log = logging.getLogger("runpod_emulator.worker")

_OWN_WORKERS = ("handler", "mock")
"""Kinds of endpoints whose jobs only the emulator's own workers do; functions of a test serve mock endpoints."""
_ENVELOPE = 64 * 1024
"""Bytes that a report may have beside its output."""


@dataclass(slots=True)
class Visit:
    """One request of a worker that was let in."""

    request: Request
    endpoint: Endpoint
    caller: HttpCaller
    emulator: World

    @property
    def worker(self) -> str:
        """The worker's id."""
        return _without_glue(self.request.path_params)

    @property
    def job(self) -> str:
        """The job's id: the path says it, or else a header, which may be stale."""
        in_path = str(self.request.path_params.get("job_id", "")).partition("&")[0]
        return in_path or self.request.headers.get("x-request-id", "")

    @property
    def query(self) -> dict[str, str]:
        """The parameters, also those glued to the path."""
        glued = self.request.url.path.partition("&")[2]
        return {**dict(parse_qsl(glued)), **self.request.query_params}

    def until(self) -> int:
        """When a held poll must be answered. A worker that sends no more has left by then: it must get no job."""
        ends_with_eof(self.request.scope)
        return self.emulator.timeline.now() + self.endpoint.platform.worker_poll_hold

    def reply(self, row: str, body: bytes = b"", status: int = 200, trace: str = "") -> Response:
        """An answer whose evidence is ledger row `row`; `trace` is the `traceparent` of what it hands over."""
        headers = {FIDELITY: self.emulator.ledger.headers[row]}
        if trace:
            headers["traceparent"] = trace
        return Response(body, status, headers, media_type="application/json" if body else None)


Verb = Callable[[Visit], Awaitable[Response]]


async def take(visit: Visit) -> Response:
    """One job, or 204 when none came."""
    idle = visit.query.get("job_in_progress") == "0"
    jobs = await visit.endpoint.polling.take(visit.worker, 1, idle, visit.until(), visit.caller)
    if not jobs:
        return visit.reply("worker.empty", status=204)
    tracing = visit.endpoint.shared.tracing
    trace = tracing.of_run(jobs[0]) if tracing is not None else ""
    return visit.reply("worker.take", wire.handout_one(jobs[0], visit.endpoint.platform), trace=trace)


async def take_batch(visit: Visit) -> Response:
    """Up to `batch_size` jobs as a list, or 204."""
    size = visit.query.get("batch_size", "1")
    most = max(1, int(size)) if size.isascii() and size.isdigit() and len(size) < 6 else 1
    idle = visit.query.get("job_in_progress") == "0"
    jobs = await visit.endpoint.polling.take(visit.worker, most, idle, visit.until(), visit.caller)
    if not jobs:
        return visit.reply("worker.empty", status=204)
    return visit.reply("worker.batch", wire.handout_many(jobs, visit.endpoint.platform))


async def done(visit: Visit) -> Response:
    """A result, or a progress update: not every post to job-done ends a job."""
    polling, platform = visit.endpoint.polling, visit.endpoint.platform
    try:
        body = await _body(visit)
    except BodyTooLarge:
        await polling.report(visit.worker, visit.job, lambda lease: oversized(visit.job, lease, platform))
        raise _too_large(visit) from None
    try:
        report = wire.report(body)
    except InvalidBody as error:
        if wire.is_loose_progress(body):
            raise
        text = NOT_FINITE if wire.is_loose(body) else f"the worker's result is not JSON: {error.detail}"
        await polling.report(visit.worker, visit.job, lambda lease: Failed(text, None, lease))
        log.warning("%s/%s: %s", visit.endpoint.id, visit.job, text)
        raise
    too_large = is_oversized(visit.job, report.output, platform)
    if not (too_large and report.progress):
        await polling.report(visit.worker, visit.job, lambda lease: _event(lease, report, visit))
    if report.stop_worker:
        visit.endpoint.work.refresh(visit.worker)
    if too_large:
        raise _too_large(visit)
    return visit.reply("worker.report", b"{}")


async def stream(visit: Visit) -> Response:
    """One stream chunk."""
    platform = visit.endpoint.platform
    report = wire.report(await _body(visit))
    if report.output is not None:
        chunks = split_chunk(report.output, platform)
        await visit.endpoint.polling.report(visit.worker, visit.job, lambda lease: Emitted(lease, chunks))
    return visit.reply("worker.report", b"{}")


async def stop(visit: Visit) -> Response:
    """Ids of jobs to stop, or 204 when none came up."""
    ids = await visit.endpoint.polling.stops(visit.worker, visit.until(), visit.caller)
    if not ids:
        return visit.reply("worker.empty", status=204)
    return visit.reply("worker.stop", wire.jobs_to_stop(ids))


async def ping(visit: Visit) -> Response:
    """A heartbeat that lists the jobs the worker holds, or a failed fitness check."""
    query = visit.query
    if query.get("status") == "unhealthy":
        check, why = query.get("check", ""), query.get("reason", "")
        reason = f"endpoint {visit.endpoint.id}: fitness check {check} failed: {why}"
        await visit.endpoint.work.worker_unhealthy(visit.worker, reason)
    else:
        await visit.endpoint.polling.ping(visit.worker, query.get("job_id", "").split(","))
    return visit.reply("worker.ping", b"{}")


async def _body(visit: Visit) -> bytes:
    limit = result_limit(visit.job, visit.endpoint.platform)
    try:
        return await read_body(visit.request, limit + _ENVELOPE)
    except BodyTooLarge:
        raise BodyTooLarge(limit) from None


def _too_large(visit: Visit) -> BodyTooLarge:
    platform = visit.endpoint.platform
    told = Said(told_of_its_size(visit.job, platform), level="warning")
    visit.endpoint.work.printed(visit.worker, visit.job, told)
    return BodyTooLarge(result_limit(visit.job, platform))


def _event(lease: int, report: wire.WorkerReport, visit: Visit) -> Progressed | Completed | Failed:
    if report.progress:
        return Progressed(lease, report.output or b"null")
    return ending(visit.job, lease, report.output, report.error, visit.endpoint.platform)


def _visited(verb: Verb) -> Handler:
    async def let_in(request: Request, emulator: World, caller: HttpCaller) -> Response:
        has_token = _has_token(request)
        if not has_token:
            _check_key(request)
        endpoint = queue_in_path(request, emulator)
        kind = endpoint.workforce.launcher.kind
        if not has_token and kind in _OWN_WORKERS:
            raise NoOutsideWorkers(endpoint.id, kind)
        visit = Visit(request, endpoint, caller, emulator)
        if kind == "remote":
            return await verb(visit)
        emulator.open_requests -= 1  # its own workers poll as long as there is a world
        try:
            return await verb(visit)
        finally:
            emulator.open_requests += 1

    return answering(let_in, world_of_worker)


def _check_key(request: Request) -> None:
    """Let a worker in by a key; raises NoToken, InvalidKey."""
    access: Access = request.app.state.worker_access
    access.check(request.headers.get("authorization"))


def _has_token(request: Request) -> bool:
    """Whether it comes from a worker process of ours: what a handler starts shows the token of its worker.

    The namespace is looked up where the world was: a token is of no use in another.
    """
    tokens: WorkerTokens = request.app.state.worker_tokens
    shown = bare_key(request.headers.get("authorization", ""))
    path = request.path_params
    return tokens.accepts(shown, request.query_params.get("ns", ""), path["endpoint_id"], _without_glue(path))


def _without_glue(path: Mapping[str, str]) -> str:
    """The id of the worker in the path, without what the SDK may have glued to it."""
    return str(path["worker_id"]).partition("&")[0]


def _route(path: str, verb: Verb, method: str) -> ExactRoute:
    return ExactRoute(f"/v2/{{endpoint_id}}{path}", _visited(verb), [method])


routes = [
    _route("/job-take/{worker_id}", take, "GET"),
    _route("/job-take-batch/{worker_id}", take_batch, "GET"),
    _route("/job-done/{worker_id}/{job_id}", done, "POST"),
    _route("/job-done/{worker_id}", done, "POST"),
    _route("/job-stream/{worker_id}/{job_id}", stream, "POST"),
    _route("/job-stream/{worker_id}", stream, "POST"),
    _route("/job-stop/{worker_id}", stop, "GET"),
    _route("/ping/{worker_id}", ping, "GET"),
    _route("/ping/{worker_id}/{rest:path}", ping, "GET"),
]
