"""Webhook receivers whose answers are no good HTTP: the status line decides."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from runpod_emulator.core.time.clock import turn
from runpod_emulator.effects.http_post import HttpPost

from tests.tables import table

BODY = b'{"id":"j1","status":"COMPLETED"}'
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_TURNS = 5
"""Of the loop that both sides share, in which the client reads what has been sent to it."""
Piece = bytes | None
"""What is sent in one go; None lets the client read it first."""

FOLLOWS: dict[str, tuple[Piece, ...]] = {
    "nothing": (b"\r\n",),
    "a body without a length": (b"\r\nok",),
    "a body of its length": (b"Content-Length: 2\r\n\r\nok",),
    "a body after the head": (b"Content-Length: 2\r\n\r\n", None, b"ok"),
    "two lengths": (b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",),
    "two different lengths": (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",),
    "a length that is none": (b"Content-Length: two\r\n\r\nok",),
    "length and chunks": (b"Content-Length: 2\r\n" + CHUNKED + b"2\r\nok\r\n0\r\n\r\n",),
    "more than its length": (b"Content-Length: 2\r\n\r\nok and more",),
    "more than its length, later": (b"Content-Length: 2\r\n\r\nok", None, b"and more"),
    "less than its length": (b"Content-Length: 9\r\n\r\nok",),
    "chunks broken off": (CHUNKED + b"5\r\nhel",),
    "wrong chunks": (CHUNKED + b"nonsense\r\n",),
    "wrong chunks, later": (CHUNKED, None, b"nonsense\r\n"),
    "a header that is none": (b"no colon\r\n\r\nok",),
    "a header too long": (b"X-Long: " + b"x" * 100_000 + b"\r\n\r\nok",),
    "too many headers": (b"X-Many: 1\r\n" * 1_000 + b"\r\nok",),
    "a head broken off": (b"X-Half: ",),
    "wrong compression": (b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",),
    "bare line feeds": (b"\n\nok",),
}
REASONS = {200: b" OK", 204: b" No Content", 299: b"", 302: b" Found", 404: b" Not Found", 500: b" "}
NO_ANSWERS = {
    "nothing": b"",
    "nonsense": b"nonsense\r\n\r\n",
    "half a status line": b"HTTP/1.1 200 OK",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "another protocol": b"ICY 200 OK\r\n\r\n",
    "HTTP of no version": b"HTTP 200 OK\r\n\r\n",
    "only an announcement": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
    "announcements without end": b"HTTP/1.1 100 Continue\r\n\r\n" * 100_000,
    "six announcements": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 6 + b"HTTP/1.1 200 OK\r\n\r\n",
    "an announcement and nonsense": b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 OK\r\n\r\n",
}


class Careless:
    """Reads requests of a known body and answers each with the next of `answers`; the last is said again."""

    def __init__(self, *answers: tuple[Piece, ...], holds: bool = False) -> None:
        self.answers = list(answers)
        self.calls = self.connections = 0
        self.url = ""
        self._holds = holds
        self._over = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(len(BODY))
                self.calls += 1
                await self._answer(writer)
                if not self._holds:
                    break
        writer.close()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        for piece in self.answers[min(self.calls, len(self.answers)) - 1]:
            if piece is None:
                for _ in range(_TURNS):
                    await turn()
            else:
                writer.write(piece)
                await writer.drain()


@contextlib.asynccontextmanager
async def careless(
    *answers: tuple[Piece, ...], holds: bool = False, timeout: int = 2_000
) -> AsyncIterator[tuple[Careless, HttpPost]]:
    receiver, post = Careless(*answers, holds=holds), HttpPost(timeout)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver, post
    finally:
        await post.close()
        server.close()


def answered(status: int) -> str:
    return "" if 200 <= status < 300 else f"answered {status}"


@table("status", REASONS)
@table("follows", FOLLOWS.values())
async def test_the_status_decides_whatever_follows(status: int, follows: tuple[Piece, ...]):
    first, *rest = follows
    line = b"HTTP/1.1 %d%s\r\n" % (status, REASONS[status])
    async with careless((line + (first or b""), *rest)) as (receiver, post):
        for calls in (1, 2, 3):
            assert await post.send(receiver.url, BODY) == answered(status)
            assert receiver.calls == calls


@table(
    "head",
    [
        b"HTTP/1.0 201 Created\r\n\r\n",
        b"HTTP/1.1 202\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + b"HTTP/1.1 299 Fine\r\n\r\n",
    ],
)
@table("size", [1, 7, 10_000])
async def test_a_status_line_is_found_however_it_comes(head: bytes, size: int):
    pieces: list[Piece] = [None] * (2 * len(head[::size]))
    pieces[::2] = [head[at : at + size] for at in range(0, len(head), size)]
    async with careless(tuple(pieces)) as (receiver, post):
        assert await post.send(receiver.url, BODY) == ""


@table("said", NO_ANSWERS.values())
async def test_what_has_no_status_line_is_no_answer(said: bytes):
    async with careless((said,)) as (receiver, post):
        problem = await post.send(receiver.url, BODY)
        assert problem and not problem.startswith("answered") and "\n" not in problem


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"HTTP/1.1 299 Fine\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", ""),
        (b"HTTP/1.1 200 OK\r\nX-Half: ", ""),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "answered 404"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\n", "answered 500"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n", "no answer within 0.2 s"),
        (b"HTTP/1.1 20", "no answer within 0.2 s"),
    ],
)
async def test_an_answer_that_does_not_end_is_not_waited_for(said: bytes, expected: str):
    async with careless((said,), holds=True, timeout=200) as (receiver, post):
        assert await post.send(receiver.url, BODY) == expected


async def test_an_endless_head_is_read_no_further():
    async with careless((b"HTTP/1.1 200 OK\r\n", *[b"X-Many: %d\r\n" % one for one in range(50_000)])) as (
        receiver,
        post,
    ):
        assert await post.send(receiver.url, BODY) == ""
    async with careless((b"x" * 10_000_000,)) as (receiver, post):
        assert await post.send(receiver.url, BODY) != ""


@pytest.mark.parametrize("follows", [b"\r\nok", b"Content-Length: 2\r\n\r\nok", b"Content-Length: 2\r\n\r\nok more"])
async def test_no_call_is_lost_to_what_the_one_before_it_left_behind(follows: bytes):
    lines = b"HTTP/1.1 204 No Content\r\n", b"HTTP/1.1 200 OK\r\n"
    async with careless(*((line + follows[:-2], None, follows[-2:]) for line in lines)) as (receiver, post):
        for calls in range(1, 20):
            assert await post.send(receiver.url, BODY) == ""
            assert receiver.calls == calls


@pytest.mark.parametrize(("status", "connections"), [(200, 1), (204, 5), (404, 1), (500, 5)])
async def test_a_connection_is_used_again_where_nothing_speaks_against_it(status: int, connections: int):
    async with careless((b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status,), holds=True) as (receiver, post):
        for _ in range(5):
            assert await post.send(receiver.url, BODY) == answered(status)
        assert receiver.connections == connections
