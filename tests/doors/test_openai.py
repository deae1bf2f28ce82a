"""The OpenAI-compatible routes: a request is a job, and its output the bare answer."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from runpod_emulator.core.jobs.job import JobStatus

from tests.doors.doors import KEY, Doors, Visit, expect_problem, open_doors, until
from tests.tables import table

FAILURES = ["hidden", "shown"]
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
PATH = "/openai/v1/chat/completions"


async def asked(doors: Doors, body: Any = CHAT, path: str = PATH, method: str = "POST") -> asyncio.Task[Any]:
    content = None if method == "GET" else json.dumps(body).encode()
    return await doors.hold(doors.http.request(method, f"/v2/ep{path}", content=content))


@pytest.mark.parametrize(
    ("path", "route"),
    [
        (PATH, "/v1/chat/completions"),
        ("/openai/v1/messages", "/v1/messages"),
        ("/openai/anything/else", "/anything/else"),
        ("/openai/v1/models/org%2Fmodel", "/v1/models/org%2Fmodel"),
        ("/openai//v1/models/org%2Fmodel/", "/v1/models/org%2Fmodel"),
        ("/openai/v1/openai/x", "/v1/openai/x"),
    ],
)
async def test_a_request_is_a_job_with_its_route_and_its_body(path: str, route: str):
    doors = open_doors()
    held = await asked(doors, path=path)
    job = await doors.take()
    assert json.loads(job.input) == {"openai_route": route, "openai_input": CHAT}
    await doors.complete(job, b'{"a":1}')
    assert (await held).json() == {"a": 1}


async def test_a_get_has_an_empty_input():
    doors = open_doors()
    held = await asked(doors, path="/openai/v1/models?limit=1", method="GET")
    job = await doors.take()
    assert json.loads(job.input) == {"openai_route": "/v1/models", "openai_input": {}}
    await doors.complete(job, b'{"object":"list","data":[]}')
    assert (await held).json() == {"object": "list", "data": []}


@pytest.mark.parametrize("failure", FAILURES)
async def test_an_empty_list_is_no_answer_and_the_log_says_what_to_do(failure: str, caplog: pytest.LogCaptureFixture):
    doors = open_doors(openai_failure=failure)
    held = await asked(doors)
    await doors.complete(await doors.take(), b"[]")
    got = await held
    assert (got.status_code, "return_aggregate_stream" in got.text) == (500, failure == "shown")
    assert "return_aggregate_stream: True for requests that do not stream" in caplog.text


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        (b'[{"id":"x","n":1.0}]', b'{"id":"x","n":1.0}'),
        (b'{"object":"list"}', b'{"object":"list"}'),
        (b'["{\\"id\\": 1}"]', b'{"id": 1}'),
        (b'"plain"', b"plain"),
        (b"[[1,2],3]", b"[1,2]"),
        (b'{"code":404,"object":"error"}', b'{"code":404,"object":"error"}'),
        (b'["half \\ud83d of one"]', b"half \xed\xa0\xbd of one"),
        (None, b"null"),
    ],
)
async def test_an_output_is_unwrapped(output: bytes | None, answer: bytes):
    doors = open_doors()
    held = await asked(doors)
    await doors.complete(await doors.take(), output)
    got = await held
    assert (got.status_code, got.headers["content-type"], got.content) == (200, "application/json", answer)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failed_job_is_the_services_own_500_which_hides_why(stream: bool):
    doors = open_doors()
    held = await asked(doors, {**CHAT, "stream": stream})
    await doors.fail(await doors.take(), "no such model")
    got = await held
    body = b'{"status":500,"title":"Internal Server Error","detail":"internal server error"}'
    assert (got.status_code, got.content) == (500, body)
    assert got.headers["x-emulator-fidelity"] == "observed; row=openai.failed"


async def test_a_failed_job_may_be_an_error_as_clients_of_openai_read_it():
    doors = open_doors(openai_failure="shown")
    held = await asked(doors)
    await doors.fail(await doors.take(), "no such model")
    got = await held
    error = {"message": "no such model", "type": "server_error", "param": None, "code": None}
    assert (got.status_code, got.json()) == (500, {"error": error})
    assert got.headers["x-emulator-fidelity"] == "guess; row=openai.failed"


ERROR = {"code": 404, "message": "no such model", "object": "error", "param": None, "type": "NotFoundError"}
NESTED = {"error": {"message": "no such model", "type": "NotFoundError", "param": None, "code": 404}}


@table("stream", [False, True])
@table(
    ("errors", "output", "status", "body"),
    [
        ("output", ERROR, 200, ERROR),
        ("status", ERROR, 404, NESTED),
        ("status", {**ERROR, "code": 200}, 200, {**ERROR, "code": 200}),
        ("status", {"object": "error", "message": 7}, 200, {"object": "error", "message": 7}),
        ("status", {"object": "list", "of": "error"}, 200, {"object": "list", "of": "error"}),
    ],
)
async def test_an_error_that_a_worker_gives_as_its_output(
    errors: str, output: Any, status: int, body: Any, stream: bool
):
    doors = open_doors(openai_errors=errors)
    held = await asked(doors, {**CHAT, "stream": stream})
    job = await doors.take()
    if stream:
        await doors.emit(job, json.dumps(output).encode())
    await doors.complete(job, json.dumps([output]).encode())
    got = await held
    is_event = stream and status == 200
    assert got.status_code == status
    assert json.loads(got.text.removeprefix("data: ") if is_event else got.text) == body


async def test_a_cancelled_job_is_an_error_too():
    doors = open_doors(openai_failure="shown")
    held = await asked(doors)
    job = await doors.take()
    await doors.post(f"/cancel/{job.id}")
    got = await held
    assert (got.status_code, got.json()["error"]["message"]) == (500, f"the job {job.id} is CANCELLED")


async def test_an_answer_is_held_as_long_as_the_job_takes_unless_a_limit_is_set():
    doors = open_doors()
    held = await asked(doors)
    job = await doors.take()
    await doors.world.advance(300_000)
    assert not held.done()
    await doors.complete(job)
    assert (await held).status_code == 200
    doors = open_doors(openai_wait=100_000)
    held = await asked(doors)
    await doors.world.advance(100_000)
    assert (await held).status_code == 524


async def test_chunks_pass_verbatim_as_they_come():
    doors = open_doors()
    visit = Visit(doors, "POST", f"/v2/ep{PATH}", parts=(json.dumps({**CHAT, "stream": True}).encode(),))
    await until(lambda: doors.waiting == 1)
    job = await doors.take()
    await doors.emit(job, b'"data: {\\"a\\":1}\\n\\n"')
    await until(lambda: visit.body == b'data: {"a":1}\n\n')
    assert visit.headers["content-type"].startswith("text/event-stream")
    await doors.emit(job, b'"data: {\\"par"', b'"tial\\":2}\\n\\n"', b'{"object":3}')
    await until(lambda: visit.body.endswith(b'data: {"partial":2}\n\ndata: {"object":3}\n\n'))
    await doors.emit(job, b'"data: [DONE]"')
    await doors.complete(job, b'["all"]')
    await visit.task
    assert visit.body.endswith(b"data: [DONE]")


async def test_a_worker_that_does_not_stream_is_streamed_at_its_end():
    doors = open_doors()
    held = await asked(doors, {**CHAT, "stream": True})
    await doors.complete(await doors.take(), b'["data: 1\\n\\n",{"b":2}]')
    assert (await held).content == b'data: 1\n\ndata: {"b":2}\n\n'


@pytest.mark.parametrize(
    ("failure", "message"), list(zip(FAILURES, ["internal server error", "out of memory"], strict=True))
)
async def test_a_failure_in_mid_stream_is_an_event(failure: str, message: str):
    doors = open_doors(openai_failure=failure)
    held = await asked(doors, {**CHAT, "stream": True})
    job = await doors.take()
    await doors.emit(job, b'"data: 1\\n\\n"')
    await doors.fail(job, "out of memory")
    first, last = (await held).content.decode().strip().split("\n\n")
    assert (first, json.loads(last.removeprefix("data: "))["error"]["message"]) == ("data: 1", message)


async def test_a_failure_before_the_first_chunk_is_an_answer():
    doors = open_doors(openai_failure="shown")
    held = await asked(doors, {**CHAT, "stream": True})
    await doors.fail(await doors.take(), "no such model")
    got = await held
    assert (got.status_code, got.json()["error"]["message"]) == (500, "no such model")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("hangup", "end"), [("continue", JobStatus.IN_PROGRESS), ("cancel", JobStatus.CANCELLED)])
async def test_a_client_that_hangs_up(hangup: str, end: JobStatus, stream: bool):
    doors = open_doors(openai_hangup=hangup)
    visit = Visit(doors, "POST", f"/v2/ep{PATH}", parts=(json.dumps({**CHAT, "stream": stream}).encode(),))
    await until(lambda: doors.waiting == 1)
    job = await doors.take()
    if stream:
        await doors.emit(job, b'"data: 1\\n\\n"')
        await until(lambda: bool(visit.body))
    visit.leave()
    await visit.task
    await doors.world.emulator.timeline.settle()
    assert (await doors.endpoint.status(job.id)).status is end


@pytest.mark.parametrize(
    ("method", "body", "status", "title", "detail"),
    [
        ("POST", b"", 400, "Bad Request", "bad request: body: invalid json: Input data was truncated"),
        ("POST", b"[1]", 400, "Bad Request", "bad request: body: must be a json object"),
        ("PUT", b"{}", 405, "Method Not Allowed", "method not allowed"),
    ],
)
async def test_what_is_no_request(method: str, body: bytes, status: int, title: str, detail: str):
    doors = open_doors()
    got = await doors.http.request(method, f"/v2/ep{PATH}", content=body)
    assert expect_problem(got, status, title, detail)


async def test_errors_of_the_service_keep_their_shape():
    assert expect_problem(await open_doors(key=None).post(PATH), 401, "Unauthorized", "no token provided")
    other = await open_doors().http.post(f"/v2/nope{PATH}", content=b"{}")
    assert expect_problem(other, 404, "Not Found", "endpoint not found")
    doors = open_doors(openai_rate=1, openai_wait=1)
    held = await asked(doors)
    assert (await doors.post(PATH, content=b"{}")).status_code == 429
    await doors.world.advance(1)
    await held


async def test_a_body_above_the_limit_is_refused():
    doors = open_doors(runsync_body_limit=1024)
    got = await doors.post(PATH, content=json.dumps({"a": "x" * 2000}).encode())
    assert got.json()["detail"] == "bad request: body: exceeded max body size of 1024 bytes"


async def test_the_journal_has_it_with_its_job():
    doors = open_doors()
    held = await asked(doors)
    job = await doors.take()
    await doors.complete(job)
    await held
    (entry,) = doors.world.emulator.journal
    assert (entry.operation, entry.path, entry.job) == ("openai", f"/v2/ep{PATH}", job.id)
    assert KEY.encode() in dict(entry.headers)[b"authorization"]
