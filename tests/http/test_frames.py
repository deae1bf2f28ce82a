"""What comes on a WebSocket is handed on in small pieces, and others have their turns between them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from runpod_emulator.core.time.clock import turn
from runpod_emulator.http.connection import JoiningTransport
from runpod_emulator.http.frames import Frames

from tests.http.test_handshakes import ASK, opened, served
from tests.timing import expect_within, timed
from tests.waits import until

PIECE = 16 * 1024


class Wire:
    """A transport that is read from, or not."""

    def __init__(self) -> None:
        self.is_read = True
        self.is_closed = False
        self.protocol: Any = None

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def is_closing(self) -> bool:
        return self.is_closed

    def abort(self) -> None:
        self.is_closed = True


class Behind:
    """A reader that may want no more after each piece."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.got: list[bytes] = []
        self.pauses = False

    def data_received(self, data: bytes) -> None:
        self.got.append(data)
        if self.pauses:
            self.transport.pause_reading()


def frames(begun: bool = True) -> tuple[Wire, Any, Behind, Frames]:
    wire = Wire()
    transport: Any = JoiningTransport(wire, asyncio.get_running_loop())  # type: ignore[arg-type]
    behind = Behind(transport)
    before = Frames(transport, behind)
    if begun:
        transport.switched()
    return wire, transport, behind, before


async def test_a_small_read_is_handed_on_at_once():
    wire, _, behind, before = frames()
    before.data_received(b"x" * PIECE)
    assert behind.got == [b"x" * PIECE] and wire.is_read


async def test_a_large_read_is_handed_on_a_piece_a_step_and_nothing_is_read_meanwhile():
    wire, _, behind, before = frames()
    sent = bytes(range(256)) * 160  # two and a half pieces
    before.data_received(sent)
    assert behind.got == [] and not wire.is_read
    for pieces in (1, 2):
        await turn()
        assert len(behind.got) == pieces and not wire.is_read
    await turn()
    assert b"".join(behind.got) == sent and max(map(len, behind.got)) == PIECE and wire.is_read


async def test_what_comes_all_the_same_keeps_its_place():
    _, _, behind, before = frames()
    before.data_received(b"a" * PIECE + b"b")
    before.data_received(b"c")
    for _ in range(3):
        await turn()
    assert b"".join(behind.got) == b"a" * PIECE + b"bc"


async def test_a_reader_that_wants_no_more_gets_no_more():
    wire, transport, behind, before = frames()
    behind.pauses = True
    before.data_received(b"x" * 3 * PIECE)
    for pieces in (1, 2, 3):
        for _ in range(3):
            await turn()
        assert len(behind.got) == pieces and not wire.is_read
        transport.resume_reading()
    await turn()
    assert len(behind.got) == 3 and wire.is_read


async def test_nothing_is_handed_on_when_the_connection_is_gone():
    wire, _, behind, before = frames()
    before.data_received(b"x" * 3 * PIECE)
    await turn()
    wire.is_closed = True
    for _ in range(3):
        await turn()
    assert len(behind.got) == 1


@pytest.mark.parametrize(("early", "stays"), [(64 * 1024, True), (64 * 1024 + 1, False)])
async def test_what_comes_before_the_answer_waits_for_it(early: int, stays: bool):
    wire, transport, behind, before = frames(begun=False)
    before.data_received(b"x" * early)
    await turn()
    assert behind.got == []
    transport.switched()
    for _ in range(5):
        await turn()
    assert (b"".join(behind.got) == b"x" * early, wire.is_closed) == (stays, not stays)


# On a real port


@contextlib.asynccontextmanager
async def turns_of_others() -> AsyncIterator[list[float]]:
    """When somebody else had a turn."""
    turns: list[float] = []

    async def take() -> None:
        while True:
            turns.append(time.perf_counter())
            await turn()

    taking = asyncio.ensure_future(take())
    yield turns
    turns.append(time.perf_counter())
    taking.cancel()


EMPTY = {
    "parts of a message": b"\x00\x80MASK",
    "pings": b"\x89\x80MASK",
    "pongs": b"\x8a\x80MASK",
    "empty messages": b"\x81\x80MASK",
}


@timed
@pytest.mark.parametrize("frame", EMPTY.values(), ids=EMPTY)
async def test_a_flood_of_empty_frames_keeps_nobody_waiting(frame: bytes):
    count = 60_000 if frame[0] != 0x81 else 5_000
    begin = b"\x01\x80MASK" if frame[0] == 0 else b""
    last = bytes((0x80 if begin else 0x81, 0x81)) + b"\0\0\0\0" + b"x"
    async with served() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ASK)
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        async with turns_of_others() as turns:
            writer.write(begin + frame * count + last)
            while not (await asyncio.wait_for(reader.read(2**20), 20)).endswith(b"x"):
                pass
        writer.close()
    gaps = [after - before for before, after in itertools.pairwise(turns)]
    expect_within(max(gaps), 0.1, "a turn")


async def test_messages_of_a_worker_leave_turns_to_others():
    count = 500
    async with served() as (_, port), opened(port) as socket:
        for _ in range(count):
            await socket.send("")
        await until(lambda: len(socket.recv_messages.frames) > 0)
        async with turns_of_others() as turns:
            for _ in range(count):
                assert await socket.recv() == ""
    assert len(turns) >= count // 2


async def test_what_is_no_utf_8_is_said_in_one_line(caplog: pytest.LogCaptureFixture):
    async with served() as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ASK)
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        with caplog.at_level(logging.ERROR, "uvicorn.error"):
            writer.write(b"\x81\x81\0\0\0\0\xff")
            assert b"\x03\xef" in await asyncio.wait_for(reader.read(100), 5)  # 1007
        writer.close()
    (said,) = [record for record in caplog.records if "UTF-8" in record.getMessage()]
    assert not said.exc_info and not said.exc_text
