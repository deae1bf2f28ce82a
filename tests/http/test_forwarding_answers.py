"""Answers of workers on the wire: as they came, or cut where they broke."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from runpod_emulator.server.port import Port

from tests.http.upstream import CHUNKED, BalancedDoors, balanced_doors, chunk, talks

ASK = b"GET /lb/lb/x HTTP/1.1\r\nHost: x\r\nAuthorization: key\r\n\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"


@contextlib.asynccontextmanager
async def on_the_wire(*steps: bytes | float | None) -> AsyncIterator[tuple[BalancedDoors, Wire]]:
    """A client's connection to a real port, behind which a worker says `steps`."""
    async with balanced_doors(talks(*steps)) as doors:
        port = Port("127.0.0.1", 0)
        await port.open(doors.app)
        reader, writer = await asyncio.open_connection("127.0.0.1", port.number, limit=200_000)
        try:
            yield doors, Wire(reader, writer)
        finally:
            writer.close()
            await port.close()


class Wire:
    """One connection of a client, byte for byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    def ask(self, request: bytes = ASK) -> None:
        self._writer.write(request)

    async def until(self, end: bytes) -> bytes:
        """What comes, up to `end`."""
        return await asyncio.wait_for(self.reader.readuntil(end), 5)

    async def rest(self) -> bytes:
        """What comes, until the connection is closed."""
        return await asyncio.wait_for(self.reader.read(), 5)


@pytest.mark.parametrize(
    "line",
    [
        b"200 Fine", b"200 ", b"404 No such thing", b"418 I'm a teapot", b"999 Request denied", b"600 ", b"599 x",
        b"299 y", b"500 Caf\xc3\xa9", b"520 Caf\xe9",
    ],
)  # fmt: skip
@pytest.mark.parametrize("body", [b"ok", b"x" * 70_000])
async def test_the_status_line_is_as_it_came(line: bytes, body: bytes):
    answer = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (line, len(body), body)
    async with on_the_wire(answer) as (doors, wire):
        for _ in range(2):
            wire.ask()
            assert await wire.until(b"\r\n") == b"HTTP/1.1 %b\r\n" % line
            assert (await wire.until(b"\r\n\r\n")).count(b"content-length:") == 1
            assert await wire.reader.readexactly(len(body)) == body
        assert [entry.status for entry in doors.world.emulator.journal] == [int(line[:3])] * 2


async def test_a_body_that_is_waited_for_does_not_take_the_status_line_of_its_answer():
    async with on_the_wire(b"HTTP/1.1 999 Mine\r\nContent-Length: 0\r\n\r\n") as (_, wire):
        wire.ask(ASK.replace(b"GET", b"POST")[:-2] + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await wire.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        wire.ask(b"hi")
        assert await wire.until(b"\r\n") == b"HTTP/1.1 999 Mine\r\n"


@pytest.mark.parametrize("count", [129, 4_000])
async def test_any_number_of_headers_passes(count: int):
    lines = b"".join(b"x-%d: %d\r\n" % (one, one) for one in range(count))
    async with on_the_wire(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + lines + b"\r\n") as (_, wire):
        wire.ask()
        assert lines in await wire.until(b"\r\n\r\n")


BROKEN: dict[str, tuple[tuple[bytes | float | None, ...], bytes]] = {
    "length": ((LENGTH % 9 + b"half", None), b"half"),
    "length, later": ((LENGTH % 9 + b"ha", 0.01, b"lf", None), b"half"),
    "length, nothing": ((LENGTH % 9, None), b""),
    "length, long": ((LENGTH % 70_000 + b"half", None), b"half"),
    "length, stops": ((LENGTH % 9 + b"ha", 0.2, b"lf", None), b"half"),
    "chunks": ((CHUNKED + chunk(b"half"), None), b"4\r\nhalf\r\n"),
    "wrong chunks": ((CHUNKED + chunk(b"half") + b"nonsense\r\n",), b"4\r\nhalf\r\n"),
    "wrong chunks, later": ((CHUNKED + chunk(b"half"), 0.01, b"nonsense\r\n"), b"4\r\nhalf\r\n"),
    "wrong chunks, at once": ((CHUNKED + b"nonsense\r\n",), b""),
}


@pytest.mark.parametrize(("steps", "begun"), BROKEN.values(), ids=BROKEN)
async def test_an_answer_is_cut_where_it_broke(steps: tuple[bytes | float | None, ...], begun: bytes):
    async with on_the_wire(*steps) as (doors, wire):
        wire.ask()
        assert await wire.until(b"\r\n") == b"HTTP/1.1 200 OK\r\n"
        await wire.until(b"\r\n\r\n")
        assert await wire.rest() == begun
        assert not any(doors.balanced.held.values())


async def test_the_beginning_of_a_slow_answer_is_not_held_back():
    async with on_the_wire(LENGTH % 4 + b"sl", 0.2, b"ow") as (doors, wire):
        wire.ask()
        assert await wire.until(b"sl")
        assert len(doors.upstream.heard) == 1 and any(doors.balanced.held.values())
        assert await wire.reader.readexactly(2) == b"ow"


WRONG = [b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", b"HTTP/1.1 204 No Content\r\n\r\nok",
         b"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\nok", LENGTH % 2 + b"okok",
         b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + LENGTH % 2 + b"ok"]  # fmt: skip


@pytest.mark.parametrize("answer", WRONG)
async def test_what_comes_behind_an_answer_is_no_part_of_the_next(answer: bytes):
    async with on_the_wire(answer[:-1], 0.001, answer[-1:]) as (_, wire):
        status = (b"204", b"304", b"200")[(b" 204 " not in answer) + (b" 200 " in answer)]
        for _ in range(10):
            wire.ask()
            assert status in await wire.until(b"\r\n")
            await wire.until(b"\r\n\r\n")
            assert status != b"200" or await wire.reader.readexactly(2) == b"ok"
