"""The OpenAI-compatible routes of an endpoint: a request becomes a job, and its output the bare answer."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Literal

import msgspec
import orjson
from starlette.responses import Response

from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import JobFailed, JobNotFound
from runpod_emulator.core.jobs.job import Job, JobStatus
from runpod_emulator.core.jobs.store import patiently
from runpod_emulator.core.rates import Operation
from runpod_emulator.doors.public import Events, next_chunks, note_job
from runpod_emulator.http.call import FIDELITY, Call
from runpod_emulator.http.guards import guarded
from runpod_emulator.http.members import cut
from runpod_emulator.http.routing import Door

log = logging.getLogger("runpod_emulator.api")

_list = msgspec.json.Decoder(list[msgspec.Raw])
_NEVER = 1 << 30
"""Seconds to the first comment line: between two chunks it could cut an event in two."""
_EMPTY = (
    "the worker's output is an empty list: a generator handler needs return_aggregate_stream: True "
    "for requests that do not stream"
)


async def ask(call: Call) -> Response:
    """Queue a job with `openai_route` and `openai_input`, and answer its output, unwrapped.

    With `"stream": true` in the body the worker's chunks come as server-sent events.
    """
    submission, streams = await _submission(call)
    job = await call.endpoint.submit(submission)
    note_job(call, job)
    if streams:
        return await _stream(call, job)
    wait = call.platform.openai_wait
    job = await call.endpoint.wait(job.id, call.emulator.timeline.now() + wait if wait else None, call.caller)
    if call.caller.gone:
        _left(call, job.id)
        return Response(status_code=499)
    if not job.status.terminal:
        return call.reply("openai.waiting", _problem(f"the job {job.id} is still {job.status.value}"), 524)
    return _answer(call, job)


async def _submission(call: Call) -> tuple[Submission, bool]:
    """The job of a request, and whether it asks for a stream; raises InvalidBody."""
    limit, row = call.platform.runsync_body_limit, "error.runsync_body_too_large"
    body, streams = b"{}", False
    if call.request.method == "GET":
        await call.body(limit, row)
    else:
        body = await call.json(limit, row)
        streams = bytes(cut(body, call.platform, is_checked=True).stream) == b"true"
    given = b'{"openai_route":%s,"openai_input":%s}' % (orjson.dumps(_route(call)), body.strip())
    headers = call.request.scope["headers"]
    return Submission(given, sync=True, headers=headers), streams


def _route(call: Call) -> str:
    """The path behind /openai, its percent-encoding kept."""
    raw: bytes = call.request.scope["raw_path"]
    _, _, _endpoint, _openai, *route = raw.partition(b"?")[0].split(b"/")
    return "/" + b"/".join(route).decode("latin-1")


def _answer(call: Call, job: Job) -> Response:
    call.emulator.unread.seen(job)
    if job.status is not JobStatus.COMPLETED:
        return _failed(call, _reason(job))
    output, row = job.output or b"null", "openai.completed"
    if output.startswith(b"["):
        items = _items(output)
        if not items:
            log.warning("%s/%s: %s", job.endpoint, job.id, _EMPTY)
            return _failed(call, _EMPTY)
        output, row = items[0], row if len(items) == 1 else "openai.reshaped"
    error = _error_in(output)
    if error is not None:
        return _refused(call, job, error, output)
    return call.reply(row, _verbatim(output))


class _Error(msgspec.Struct):
    """An error of vLLM's as an output: `{"object": "error", "message", "type", "param", "code"}`."""

    object: Literal["error"]
    message: str
    type: str | None = None
    param: str | None = None
    code: int | None = None


_error = msgspec.json.Decoder(_Error)
_LONGEST_ERROR = 65_536
"""Bytes of an output in which an error is looked for."""


def _error_in(output: bytes) -> _Error | None:
    """The error that an output is; an error object is as small as a message."""
    if len(output) > _LONGEST_ERROR or b'"error"' not in output or not output.startswith(b"{"):
        return None
    try:
        return _error.decode(output)
    except msgspec.DecodeError:
        return None


def _refused(call: Call, job: Job, error: _Error, output: bytes) -> Response:
    """An error that the worker has given as its output: as it is, or as vLLM itself answers it."""
    log.info("%s/%s: the worker refuses the request: %s", job.endpoint, job.id, error.message)
    if call.platform.openai_errors == "output" or error.code is None or not 400 <= error.code < 600:
        return call.reply("openai.error", output)
    members = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    return call.reply("openai.error", orjson.dumps({"error": members}), error.code)


def _verbatim(output: bytes) -> bytes:
    """What is in a JSON string, or the JSON of anything else."""
    if not output.startswith(b'"'):
        return output
    try:
        text: str = msgspec.json.decode(output)
    except msgspec.DecodeError:  # half of a surrogate pair: a token may end in the middle of an emoji
        text = json.loads(output)
    return text.encode("utf-8", "surrogatepass")


def _items(output: bytes) -> list[bytes]:
    """The JSON of each item of a list."""
    try:
        return [bytes(item) for item in _list.decode(output)]
    except msgspec.DecodeError:  # the same
        return [json.dumps(item).encode() for item in json.loads(output)]


def _reason(job: Job) -> str:
    return job.error or f"the job {job.id} is {job.status.value}"


def _problem(message: str) -> bytes:
    """An error as clients of OpenAI read it."""
    return orjson.dumps({"error": {"message": message, "type": "server_error", "param": None, "code": None}})


def _failed(call: Call, reason: str) -> Response:
    """The answer for a job that has failed; raises JobFailed where the service hides why."""
    if call.platform.openai_failure == "hidden":
        raise JobFailed
    return call.reply("openai.failed", _problem(reason), 500)


def _left(call: Call, job_id: str) -> None:
    """The client has hung up."""
    if call.platform.openai_hangup == "cancel":
        call.endpoint.later(_cancel(call, job_id))


async def _cancel(call: Call, job_id: str) -> None:
    try:
        await call.endpoint.cancel(job_id)
    except JobNotFound:
        return


async def _stream(call: Call, job: Job) -> Response:
    """The chunks as they come; a job that fails before the first one is answered as without a stream."""
    status, chunks = await call.endpoint.next_chunks(job.id, None, call.caller)
    if call.caller.gone:
        _left(call, job.id)
    if not chunks and status.terminal and status is not JobStatus.COMPLETED:
        return _answer(call, await call.endpoint.status(job.id))
    if len(chunks) == 1 and call.platform.openai_errors == "status" and (error := _error_in(chunks[0])):
        call.emulator.unread.seen(job)
        return _refused(call, job, error, chunks[0])
    row = "openai.stream" if not chunks or chunks[0].startswith(b'"') else "openai.reshaped"
    headers = {FIDELITY: call.ledger.headers[row]}
    events = Events(_events(call, job.id, status, chunks), headers=headers, ping=_NEVER, sep="\n")
    return events.within(call.keep_admission())


async def _events(call: Call, job_id: str, status: JobStatus, chunks: list[bytes]) -> AsyncIterator[bytes]:
    sent, last = 0, b""
    try:
        while not (call.caller.gone or call.endpoint.shared.room.closed):
            for chunk in chunks:
                last = _event(chunk)
                yield last
            sent += len(chunks)
            if status.terminal:
                break
            status, chunks = await next_chunks(call, job_id, None)
        async for event in _ending(call, job_id, status, sent):
            yield event if not last or last.endswith(b"\n\n") else b"\n\n" + event
    except JobNotFound:
        yield b"\n\ndata: %s\n\n" % _problem(f"the job {job_id} is gone")
    finally:
        if not status.terminal:
            _left(call, job_id)


async def _ending(call: Call, job_id: str, status: JobStatus, sent: int) -> AsyncIterator[bytes]:
    """What follows the last chunk: an error, or the output of a worker that has not streamed."""
    if not status.terminal:
        return
    job = await patiently(call.endpoint.shared.store, lambda: call.endpoint.status(job_id))
    call.emulator.unread.seen(job)
    if status is not JobStatus.COMPLETED:
        hides = call.platform.openai_failure == "hidden"
        yield b"data: %s\n\n" % _problem(JobFailed.detail if hides else _reason(job))
    elif not sent and job.output is not None:
        output = job.output
        for item in _items(output) if output.startswith(b"[") else [output]:
            yield _event(item)


def _event(chunk: bytes) -> bytes:
    return _verbatim(chunk) if chunk.startswith(b'"') else b"data: %s\n\n" % chunk


routes = [
    Door(
        "/v2/{endpoint_id}/openai/{route:path}",
        guarded(Operation.OPENAI, ask),
        ("GET", "POST"),
        Operation.OPENAI,
        "openai",
    )
]
