"""What is written to a connection in one step goes out in one piece, and nothing is kept longer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.time.clock import turn
from runpod_emulator.http import bounded
from runpod_emulator.http.connection import JoiningTransport, ways_to
from runpod_emulator.server.server import Server

from tests.waits import until

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


@dataclass
class Wire:
    """A transport that remembers what it was told."""

    told: list[bytes | str] = field(default_factory=list)
    limit: int = 7

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def close(self) -> None:
        self.told.append("closed")

    def abort(self) -> None:
        self.told.append("aborted")


def joining() -> tuple[Wire, Any]:
    wire = Wire()
    return wire, JoiningTransport(wire, asyncio.get_running_loop())  # type: ignore[arg-type]


async def test_head_and_body_are_one_piece():
    wire, transport = joining()
    transport.write(HEAD)
    assert wire.told == []
    transport.write(b"{}")
    assert wire.told == [HEAD + b"{}"]
    await turn()
    assert wire.told == [HEAD + b"{}"]


async def test_a_head_alone_leaves_at_the_end_of_the_step():
    wire, transport = joining()
    transport.write(HEAD)
    await turn()
    assert wire.told == [HEAD]
    transport.write(b"data: 1\n\n")
    transport.write(b"data: 2\n\n")
    assert wire.told == [HEAD, b"data: 1\n\n", b"data: 2\n\n"]


async def test_a_large_body_is_not_copied():
    wire, transport = joining()
    body = bytes(100_000)
    transport.write(HEAD)
    transport.write(body)
    assert wire.told == [HEAD, body]
    assert wire.told[1] is body


@pytest.mark.parametrize("is_closing", [False, True])
async def test_a_client_that_has_left_is_told_nothing(is_closing: bool):
    wire, transport = joining()
    wire.is_closing = lambda: is_closing
    ways_to(transport)["write"](b"HTTP/1.1 403 Forbidden\r\n\r\n")  # type: ignore[operator]
    await turn()
    assert bool(wire.told) is not is_closing


async def test_an_answer_without_a_body_is_sent_too():
    wire, transport = joining()
    transport.write(HEAD)
    transport.write(b"")
    assert wire.told == [HEAD]


async def test_closing_sends_what_is_left_and_aborting_does_not():
    wire, transport = joining()
    transport.write(HEAD)
    transport.close()
    assert wire.told == [HEAD, "closed"]
    transport.write(HEAD)
    transport.abort()
    assert wire.told == [HEAD, "closed", "aborted"]


async def test_all_else_is_the_transport_s_own():
    wire, transport = joining()
    assert transport.limit == wire.limit


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    one = Server(read_settings(endpoint=["far"], port=0, config=os.devnull))
    await one.start()
    yield one
    await asyncio.wait_for(one.stop(), 20)


@pytest.mark.parametrize("size", [10, 70_000, 100_000, 200_000, 1_000_000])
async def test_a_client_that_leaves_is_noticed_whatever_it_has_sent(server: Server, size: int):
    """uvicorn stops reading within a body above 64 KB, and who is not read never leaves."""
    body = b'{"input": {"x": "' + b"y" * size + b'"}}'
    head = f"POST /v2/far/runsync HTTP/1.1\r\nhost: x\r\nauthorization: k\r\ncontent-length: {len(body)}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"{head}expect: 100-continue\r\n\r\n".encode())
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    held = server.emulator.room.held
    await until(lambda: any("end" in topic for topic in held()))
    writer.close()
    await until(lambda: not any("end" in topic for topic in held()))


async def test_half_a_head_is_not_waited_for_without_end(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bounded, "_HEAD_TIME", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for drop in (b"GET / HTTP/1.1\r\n", b"a: b\r\n"):
        writer.write(drop)
        await writer.drain()
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_half_a_head_behind_a_held_request_does_not_end_that(server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bounded, "_HEAD_TIME", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = b'{"input": {"x": 1}}'
    head = (
        f"POST /v2/far/runsync?wait=1000 HTTP/1.1\r\nhost: x\r\nauthorization: k\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await until(lambda: any("end" in topic for topic in server.emulator.room.held()))
    writer.write(b"GET / HT")
    assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()
