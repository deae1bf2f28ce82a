"""The queue API: what clients of `/v2/<endpoint_id>` call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractContextManager, nullcontext

import anyio
from sse_starlette.event import ServerSentEvent
from sse_starlette.sse import EventSourceResponse
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runpod_emulator.core.endpoint.balancer import Balancer
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.fleet.worker import WorkerState
from runpod_emulator.core.jobs.job import Job, JobStatus
from runpod_emulator.core.rates import Operation
from runpod_emulator.http import wire
from runpod_emulator.http.call import FIDELITY, JOB, STUB, Call
from runpod_emulator.http.guards import BalancedVerb, Find, Verb, endpoint_in_path, guarded
from runpod_emulator.http.routing import Door
from runpod_emulator.world.world import World


async def run(call: Call) -> Response:
    """Queue a job and answer at once."""
    body = await call.json(call.platform.run_body_limit)
    job = await call.endpoint.submit(_submission(call, body, sync=False))
    note_job(call, job)
    return call.reply("run.accepted", wire.accepted(job))


async def runsync(call: Call) -> Response:
    """Queue a job and hold the answer until it has ended, or the wait is over."""
    wait = call.duration("wait", call.platform.wait_min, call.platform.wait_max, None)
    body = await call.json(call.platform.runsync_body_limit, "error.runsync_body_too_large")
    submission = _submission(call, body, sync=True)
    job = await call.endpoint.submit(submission if wait is None else submission._replace(wait=wait))
    note_job(call, job)
    until = job.submitted_at + (call.platform.runsync_wait if wait is None else wait)
    job = await call.endpoint.wait(job.id, until, call.caller, job.submitted_at)
    http_status = call.platform.runsync_failed_status if job.status is JobStatus.FAILED else 200
    return _envelope(call, Operation.RUNSYNC, job, call.emulator.timeline.now(), http_status)


async def status(call: Call) -> Response:
    """The job as it is; `ttl` shortens its result's life."""
    ttl = call.duration("ttl", call.platform.status_ttl_min, None, None)
    job = await call.endpoint.status(call.job_id, ttl, call.at)
    if call.emulator.polls is not None:
        job = await call.emulator.polls.moved_on(call.endpoint, job)
    if job.script is not None and job.script.polls_owed:
        await call.endpoint.looked(call.job_id)
    return _envelope(
        call, Operation.STATUS, job, call.at if call.emulator.polls is None else call.emulator.timeline.now()
    )


async def status_sync(call: Call) -> Response:
    """The job once it has ended, or as it is when the wait is over."""
    until = call.wait(call.platform.status_sync_wait)
    await call.endpoint.looked(call.job_id)
    job = await call.endpoint.wait(call.job_id, until, call.caller)
    return _envelope(call, Operation.STATUS_SYNC, job, call.emulator.timeline.now())


async def stream(call: Call) -> Response:
    """The stream chunks since the last call, held until there is one.

    With `Accept: text/event-stream` they come as server-sent events until the job has ended.
    """
    until = call.wait(call.platform.stream_wait)
    if "text/event-stream" in call.request.headers.get("accept", ""):
        return await _events(call)
    await call.endpoint.looked(call.job_id)
    status, chunks = await call.endpoint.next_chunks(call.job_id, until, call.caller)
    if status.terminal or call.emulator.stubs:
        job = await call.endpoint.status(call.job_id)
        note_job(call, job)
        if status.terminal:
            call.emulator.unread.seen(job)
    return call.reply(f"stream.{status.value.lower()}", wire.stream(status, chunks, call.platform))


async def cancel(call: Call) -> Response:
    """End the job: a queued one is removed from the queue, a running one is stopped."""
    before = await call.endpoint.status(call.job_id)
    note_job(call, before)
    job = await call.endpoint.cancel(call.job_id)
    row = {JobStatus.IN_QUEUE: "queued", JobStatus.IN_PROGRESS: "running"}.get(before.status, "ended")
    return call.reply(f"cancel.{row}", wire.accepted(job))


async def retry(call: Call) -> Response:
    """Queue a FAILED or TIMED_OUT job again, under the same id and with its input."""
    job = await call.endpoint.retry(call.job_id)
    note_job(call, job)
    return call.reply("retry.accepted", wire.accepted(job))


async def purge(call: Call) -> Response:
    """Remove every waiting job; running ones go on."""
    return call.reply("purge.removed", wire.purged(await call.endpoint.purge()))


async def health(call: Call) -> Response:
    """Counters of jobs and workers."""
    counters = await call.endpoint.health()
    return call.reply("health.timed_out" if counters.timed_out else "health.counters", wire.health(counters))


async def balanced_health(balancer: Balancer, emulator: World) -> Response:
    """Counters of the workers of a load-balancing endpoint, which has no jobs."""
    headers = {FIDELITY: emulator.ledger.headers["health.balanced"]}
    return Response(wire.health(await balancer.health()), 200, headers, media_type="application/json")


async def metrics(call: Call) -> Response:
    """The workers: which are up, and counters of all."""
    counters = await call.endpoint.health()
    ready = [worker.id for worker in call.endpoint.fleet.workers.values() if worker.state is WorkerState.IDLE]
    crew = call.endpoint.workforce.crew
    if crew is not None:
        ready += [other.id for other in crew.elsewhere.workers() if other.state is WorkerState.IDLE]
    return call.reply("metrics.workers", wire.metrics(ready, counters.workers))


async def balanced_metrics(balancer: Balancer, emulator: World) -> Response:
    """The workers of a load-balancing endpoint: which are up, the busy ones too, and counters of all."""
    headers = {FIDELITY: emulator.ledger.headers["metrics.workers"]}
    body = wire.metrics(balancer.healthy, (await balancer.health()).workers)
    return Response(body, 200, headers, media_type="application/json")


async def requests(call: Call) -> Response:
    """The endpoint's recent jobs, newest first, one page at a time."""
    offset = call.count("offset", 0, low=0)
    limit = call.count("limit", call.platform.requests_limit, low=1, high=1_000)
    jobs, total = await call.endpoint.requests(offset, limit)
    row = "requests.page" if len(jobs) == total else "requests.part"
    return call.reply(row, wire.requests_page(jobs, total, offset, limit, call.at, call.platform))


class Events(EventSourceResponse):
    """Server-sent events that end by themselves when the server stops.

    The library's own watch over uvicorn's exit polls twice a second for as long as the
    process lives, and its flag would end the streams of the next server too.
    """

    _around: AbstractContextManager[object] = nullcontext()

    def within(self, context: AbstractContextManager[object]) -> Events:
        """Keep this open until the answer has ended, however it does: the place in the rate limits, for one."""
        self._around = context
        return self

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream the events."""
        with self._around:
            await super().__call__(scope, receive, send)

    @staticmethod
    async def _listen_for_exit_signal() -> None:
        await anyio.sleep_forever()


_SHOW_JOBS = (Operation.RUNSYNC, Operation.STATUS, Operation.STATUS_SYNC)
_ROWS = {(one, status): f"{one.value}.{status.value.lower()}" for one in _SHOW_JOBS for status in JobStatus}
"""The ledger's row of each answer that shows a job."""


def _submission(call: Call, body: bytes, sync: bool) -> Submission:
    return wire.submission(body, call.platform, sync, call.request.scope["headers"], is_checked=True)


def note_job(call: Call, job: Job) -> None:
    """Note of which job a request is, and the stub that this one plays."""
    call.request.scope[JOB] = job.id
    if job.script is not None:
        call.request.scope[STUB] = job.script.stub or ""


def _envelope(call: Call, operation: Operation, job: Job, at: int, status: int = 200) -> Response:
    if job.script is not None:
        call.request.scope[STUB] = job.script.stub or ""
    if call.emulator.polls is not None:
        call.emulator.polls.seen(job)
    return call.reply(_ROWS[operation, job.status], wire.envelope(job, at, call.platform), status)


async def _events(call: Call) -> Response:
    await call.endpoint.status(call.job_id)
    headers = {FIDELITY: call.ledger.headers["stream.events"]}
    return Events(_chunk_events(call), headers=headers).within(call.keep_admission())


async def _chunk_events(call: Call) -> AsyncIterator[ServerSentEvent]:
    while not (call.caller.gone or call.endpoint.shared.room.closed):
        until = call.emulator.timeline.now() + call.platform.stream_wait
        try:
            status, chunks = await call.endpoint.next_chunks(call.job_id, until, call.caller)
        except JobNotFound:
            return
        for chunk in chunks:
            yield ServerSentEvent(data=wire.chunk_event(chunk), sep="\n")
        if status.terminal:
            yield ServerSentEvent(event="status", data=wire.status_event(status), sep="\n")
            return


_BALANCED: dict[Operation, BalancedVerb] = {Operation.HEALTH: balanced_health, Operation.METRICS: balanced_metrics}
"""What load-balancing endpoints answer too."""


_BOTH = ("GET", "POST")
_VERBS: tuple[tuple[Operation, Verb, str, tuple[str, ...]], ...] = (
    (Operation.RUN, run, "/run", ("POST",)),
    (Operation.RUNSYNC, runsync, "/runsync", ("POST",)),
    (Operation.STATUS, status, "/status/{job_id}", _BOTH),
    (Operation.STATUS_SYNC, status_sync, "/status-sync/{job_id}", _BOTH),
    (Operation.STREAM, stream, "/stream/{job_id}", _BOTH),
    (Operation.CANCEL, cancel, "/cancel/{job_id}", ("POST",)),
    (Operation.RETRY, retry, "/retry/{job_id}", ("POST",)),
    (Operation.PURGE, purge, "/purge-queue", ("POST",)),
    (Operation.HEALTH, health, "/health", ("GET",)),
    (Operation.METRICS, metrics, "/metrics", ("GET",)),
    (Operation.REQUESTS, requests, "/requests", ("GET",)),
)


def routes_at(prefix: str, find: Find, tag: str, but: Iterable[Operation] = ()) -> list[Door]:
    """The routes of the endpoints that `find` finds for a request at `prefix`."""
    return [
        Door(prefix + path, guarded(operation, verb, find, _BALANCED.get(operation)), methods, operation, tag)
        for operation, verb, path, methods in _VERBS
        if operation not in but
    ]


routes = routes_at("/v2/{endpoint_id:endpoint}", endpoint_in_path, "queue")
