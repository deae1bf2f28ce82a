"""Webhook calls over a real loopback connection."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from aiohttp import web
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed
from runpod_emulator.effects.http_post import HttpPost
from runpod_emulator.effects.webhooks import LatePost

from tests.worlds import make_world

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BODY = b'{"id":"j1","input":{"\xc3\xa4":1},"status":"COMPLETED"}'


class Receiver:
    """A web server that remembers what it was sent."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[tuple[str, str, bytes]] = []
        self.headers: list[list[tuple[str, str]]] = []
        self.answer: Handler | None = None
        self.leave = asyncio.Event()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs, await request.read()))
        self.headers.append([(name.lower(), value) for name, value in request.headers.items()])
        return await self.answer(request) if self.answer else web.Response()


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver("")
    runner = web.ServerRunner(web.Server(receiver), shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}"
    try:
        yield receiver
    finally:
        receiver.leave.set()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def posting(timeout: int = 10_000) -> AsyncIterator[HttpPost]:
    post = HttpPost(timeout)
    try:
        yield post
    finally:
        await post.close()


def answering(status: int, **options: object) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, **options)

    return answer


async def test_a_call_carries_the_body_and_exactly_the_services_headers():
    async with receiving() as receiver, posting() as post:
        assert await post.send(f"{receiver.url}/hook?key=a%20b", BODY) == ""
        assert receiver.requests == [("POST", "/hook?key=a%20b", BODY)]
        headers = dict(receiver.headers[0])
        assert len(headers) == len(receiver.headers[0])
        trace = headers.pop("traceparent")
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", trace)
        assert headers == {
            "host": receiver.url.removeprefix("http://"),
            "content-type": "application/json",
            "user-agent": "Go-http-client/2.0",
            "content-length": str(len(BODY)),
        }


async def test_every_call_is_a_trace_of_its_own():
    async with receiving() as receiver, posting() as post:
        for _ in range(3):
            await post.send(receiver.url, BODY)
        assert len({dict(headers)["traceparent"] for headers in receiver.headers}) == 3


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_success_acknowledges(status: int):
    async with receiving() as receiver, posting() as post:
        receiver.answer = answering(status)
        assert await post.send(receiver.url, BODY) == ""


@pytest.mark.parametrize("status", [301, 304, 400, 404, 429, 500, 503])
async def test_any_other_answer_does_not(status: int):
    async with receiving() as receiver, posting() as post:
        receiver.answer = answering(status)
        assert await post.send(receiver.url, BODY) == f"answered {status}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int):
    async with receiving() as receiver, posting() as post:
        receiver.answer = answering(status, headers={"Location": f"{receiver.url}/elsewhere"})
        assert await post.send(f"{receiver.url}/hook", BODY) == f"answered {status}"
        assert [path for _, path, _ in receiver.requests] == ["/hook"]


async def test_a_slow_receiver_times_out():
    async with receiving() as receiver, posting(timeout=50) as post:

        async def hold(request: web.Request) -> web.Response:
            await receiver.leave.wait()
            return web.Response()

        receiver.answer = hold
        assert await post.send(receiver.url, BODY) == "no answer within 0.05 s"
        receiver.answer = None
        assert await post.send(receiver.url, BODY) == ""


@contextlib.contextmanager
def closed_port() -> Iterator[tuple[socket.socket, str]]:
    """A port that is taken but refuses, as nobody listens yet."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken, f"127.0.0.1:{taken.getsockname()[1]}"


async def test_a_refused_connection_is_said_each_time():
    with closed_port() as (_, host):
        async with posting() as post:
            for _ in range(3):
                assert host in await post.send(f"http://{host}/hook", BODY)


async def test_a_refusal_names_the_host_without_a_password():
    with closed_port() as (_, host):
        async with posting() as post:
            for _ in range(2):
                assert await post.send(f"http://user:pass@{host}/hook", BODY) == f"{host} refuses the connection"


async def test_a_receiver_that_comes_up_after_refusals_gets_its_call_once():
    with closed_port() as (taken, host):
        async with posting() as post:
            for _ in range(2):
                assert await post.send(f"http://{host}/hook", BODY) != ""
            receiver = Receiver("")
            runner = web.ServerRunner(web.Server(receiver))
            await runner.setup()
            await web.SockSite(runner, taken).start()
            for _ in range(2):
                assert await post.send(f"http://{host}/hook", BODY) == ""
            assert receiver.requests == [("POST", "/hook", BODY)] * 2
            await runner.cleanup()


async def test_a_connection_that_breaks_off_is_a_problem_and_not_an_exception():
    async with receiving() as receiver, posting() as post:

        async def break_off(request: web.Request) -> web.Response:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()

        receiver.answer = break_off
        assert await post.send(receiver.url, BODY) != ""


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", "http://a..b/", "nonsense", "http://", "http://[::1/"])
async def test_a_url_that_cannot_be_called_is_a_problem_and_not_an_exception(url: str):
    async with posting(timeout=200) as post:
        assert await post.send(url, BODY) != ""


async def test_a_long_answer_is_not_read_to_its_end():
    async with receiving() as receiver, posting() as post:
        receiver.answer = answering(200, body=b"x" * 5_000_000)
        assert await post.send(receiver.url, BODY) == ""
        receiver.answer = None
        assert await post.send(receiver.url, BODY) == ""


async def test_closing_unused_connections_is_harmless():
    async with posting() as post:
        assert post._session is None


async def test_a_job_reaches_its_receiver_through_the_whole_emulator():
    async with receiving() as receiver, posting() as post:
        world = make_world(post=post)
        _, job = await world.running(Submission(b'{"a":1}', webhook=f"{receiver.url}/done"))
        await world.endpoint.work.report(job.id, Completed(job.lease, b"1"))
        await world.emulator.timeline.settle()
        ((method, path, body),) = receiver.requests
        assert (method, path) == ("POST", "/done")
        assert body.startswith(b'{"delayTime":0,"executionTime":0,"id":"')
        assert body.endswith(f'"output":1,"status":"COMPLETED","webhook":"{receiver.url}/done"}}'.encode())


async def test_the_client_is_made_at_the_first_call_and_once():
    async with receiving() as receiver:
        late = LatePost(10_000)
        assert await asyncio.gather(*(late.send(receiver.url, BODY) for _ in range(3))) == ["", "", ""]
        assert len(receiver.requests) == 3
        assert isinstance(late._post, HttpPost)
        await late.close()


async def test_a_client_that_was_never_needed_is_closed_without_being_made():
    late = LatePost(10_000)
    await late.close()
    assert late._post is None
