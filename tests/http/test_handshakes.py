"""Handshakes of WebSockets on the wire: refusals, the headers of a yes, faults, large messages."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import websockets
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import Span
from runpod_emulator.server.port import Port
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.http.upstream import BalancedDoors, Received, Talk, balanced_doors, chunk, talks
from tests.waits import until

ASK = (
    b"GET /lb/lb/x HTTP/1.1\r\nHost: x\r\nAuthorization: key\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Protocol: a, b\r\n\r\n"
)
LIMIT = 30 * 1024 * 1024


@contextlib.asynccontextmanager
async def served(talk: Talk | None = None, **told: Any) -> AsyncIterator[tuple[BalancedDoors, int]]:
    """An endpoint on a real port; without `talk` its worker echoes by the library `websockets`."""
    async with contextlib.AsyncExitStack() as stack:
        doors = await stack.enter_async_context(balanced_doors(talk, up=False, **told))
        if talk is None:
            server = await stack.enter_async_context(serve(echo, "127.0.0.1", 0, max_size=None, compression=None))
            doors.upstream.port = server.sockets[0].getsockname()[1]
        await doors.up()
        port = Port("127.0.0.1", 0)
        await port.open(doors.app)
        stack.push_async_callback(port.close)
        yield doors, port.number


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(b"x" * int(message[5:]) if str(message[:5]) == "send " else message)


async def asked(port: int, request: bytes = ASK) -> tuple[list[bytes], bytes]:
    """The lines of an answer's head, and what comes behind it until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    rest = b"" if b" 101 " in head[:20] else await asyncio.wait_for(reader.read(), 5)
    writer.close()
    return head.split(b"\r\n")[:-2], rest


OOPS, CHUNKS = b"HTTP/1.1 500 Oops\r\n", b"Transfer-Encoding: chunked\r\n\r\n"
OWN = {b"connection", b"transfer-encoding", b"x-runpod-worker-id", b"content-length"}
REFUSALS: dict[str, tuple[bytes, bytes]] = {
    "401": (b"HTTP/1.1 401 Who are you\r\nwww-authenticate: Basic\r\nContent-Length: 4\r\n\r\nkey?", b"key?"),
    "403 without a body": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", b""),
    "426": (b"HTTP/1.1 426 Upgrade Required\r\nsec-websocket-version: 12\r\nContent-Length: 2\r\n\r\nno", b"no"),
    "503 with cookies": (
        b"HTTP/1.1 503 Full\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nx-mine: \xe9\r\nContent-Length: 2\r\n\r\nno", b"no"
    ),
    "999": (b"HTTP/1.1 999 Mine\r\nContent-Length: 2\r\n\r\nno", b"no"),
    "200": (b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nContent-Length: 4\r\n\r\n<p/>", b"<p/>"),
    "a redirect": (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n", b""),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "large": (b"HTTP/1.1 500 Oops\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000, b"x" * 3_000_000),
    "until the end": (b"HTTP/1.1 500 Oops\r\n\r\nno length", b"9\r\nno length\r\n0\r\n\r\n"),
    "in chunks": (OOPS + CHUNKS + chunk(b"no") + b"0\r\n\r\n", b"2\r\nno\r\n0\r\n\r\n"),
    "broken": (b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\nhalf", b"half"),
    "broken chunks": (OOPS + CHUNKS + chunk(b"half"), b"4\r\nhalf\r\n"),
}  # fmt: skip


@pytest.mark.parametrize(("refusal", "body"), REFUSALS.values(), ids=REFUSALS)
async def test_a_refusal_reaches_the_client_as_it_was(refusal: bytes, body: bytes):
    async with served(talks(refusal, None)) as (doors, port):
        line, *headers = refusal.partition(b"\r\n\r\n")[0].split(b"\r\n")
        (got_line, *got), rest = await asked(port)
        assert (got_line, rest) == (line, body)
        names = [one.partition(b":")[0].lower() for one in got]
        assert [one for one in got if one.partition(b":")[0].lower() not in OWN] == [
            one for one in headers if one.partition(b":")[0].lower() not in OWN
        ]
        assert names.count(b"content-length") == sum(one.startswith(b"Content-Length") for one in headers)
        assert names.count(b"x-runpod-worker-id") == 1
        assert [entry.status for entry in doors.world.emulator.journal] == [int(line.split()[1])]
    assert not any(doors.balanced.held.values())


async def test_a_refusal_of_the_emulator_has_one_length():
    async with served() as (_, port):
        (line, *headers), body = await asked(port, ASK.replace(b"Authorization", b"X-Nobody"))
        assert line == b"HTTP/1.1 401 Unauthorized" and b"no token provided" in body
        assert [one for one in headers if one.lower().startswith(b"content-length")] == [
            b"content-length: %d" % len(body)
        ]


def accepts(*headers: bytes) -> Talk:
    """Takes a WebSocket with these headers, and says nothing in it."""

    async def talk(received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (key,) = received.all("sec-websocket-key")
        proof = base64.b64encode(
            hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
        )
        lines = (b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: " + proof, *headers)
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n" + b"\r\n".join(lines) + b"\r\n\r\n")
        await reader.read(1)
        writer.close()

    return talk


async def test_the_headers_of_a_yes_are_as_they_were():
    own = [
        b"set-cookie: a=1",
        b"set-cookie: b=2; Path=/",
        b"x-mine: \xe9",
        b"x-utf: \xc3\xa9",
        b"sec-websocket-protocol: b",
    ]
    async with served(accepts(*own, b"X-Runpod-Worker-Id: liar")) as (doors, port):
        (line, *got), _ = await asked(port)
        assert line == b"HTTP/1.1 101 Switching Protocols"
        assert [one for one in got if one in own] == own
        assert b"x-runpod-worker-id: " + doors.worker.encode() in got and not any(b"liar" in one for one in got)
        names = [one.partition(b":")[0].lower() for one in got]
        assert {one for one in names if names.count(one) > 1} == {b"set-cookie"}


async def test_a_wrong_handshake_is_a_bad_gateway():
    yes = b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n"
    async with served(talks(yes)) as (_, port):
        (line, *_), body = await asked(port)
        assert line == b"HTTP/1.1 502 Bad Gateway" and b"its handshake is wrong" in body


# Faults


async def struck(doors: BalancedDoors, port: int, kind: FaultKind, **told: Any) -> bytes:
    """All that comes for a handshake that meets this fault."""
    fault = Fault("", kind, endpoint="lb", operations=frozenset({Operation.BALANCED}), times=1, **told)
    doors.world.emulator.faults.add(fault)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(ASK)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


@pytest.mark.parametrize("processed", [False, True])
async def test_a_fault_refuses_a_handshake(processed: bool):
    async with served(accepts()) as (doors, port):
        told = {"status": 503, "headers": {"Retry-After": "1"}, "body": b"full", "processed": processed}
        got = await struck(doors, port, FaultKind.STATUS, **told)
        assert re.match(rb"HTTP/1.1 503 Service Unavailable\r\n(?s:.*)\r\n\r\nfull$", got)
        assert b"\r\nretry-after: 1\r\n" in got and b"\r\nx-emulator-fault: " in got.lower()
        assert len(doors.upstream.heard) == processed
        assert (await asked(port))[0][0].startswith(b"HTTP/1.1 101 ")
        statuses = [entry.status for entry in doors.world.emulator.journal]
        assert statuses == [503, 101]


async def test_a_fault_resets_the_connection_of_a_handshake():
    async with served(accepts()) as (doors, port):
        with pytest.raises(ConnectionResetError):
            await struck(doors, port, FaultKind.CONNECTION_RESET)
        assert doors.upstream.heard == []


@pytest.mark.parametrize("talk", [accepts(), talks(b"HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\n0123456789")])
async def test_a_fault_cuts_the_answer_to_a_handshake(talk: Talk):
    async with served(talk) as (doors, port):
        got = await struck(doors, port, FaultKind.TRUNCATED_BODY)
        assert b"sec-websocket-accept" not in got.lower() and not got.endswith(b"56789")
    assert not any(doors.balanced.held.values())


async def test_a_fault_delays_a_handshake():
    async with served() as (doors, port):
        fault = Fault("slow", FaultKind.LATENCY, delay=Span(2_000, 2_000), operations=frozenset({Operation.BALANCED}))
        doors.world.emulator.faults.add(fault)
        opening = asyncio.ensure_future(opened(port).__aenter__())
        await until(lambda: doors.waiting)
        assert not opening.done()
        await doors.world.advance(2_000)
        socket = await asyncio.wait_for(opening, 5)
        assert socket.response.headers["x-emulator-fault"] == "slow"
        await socket.close()


# Messages


def opened(port: int, **more: Any) -> connect:
    return connect(
        f"ws://127.0.0.1:{port}/lb/lb/x", additional_headers={"Authorization": "key"}, max_size=None, proxy=None,
        **{"compression": None, **more},
    )  # fmt: skip


@pytest.mark.compat
@pytest.mark.parametrize("size", [16 * 1024 * 1024 + 1, LIMIT])
async def test_a_large_message_passes_both_ways(size: int):
    async with served() as (_, port), opened(port) as socket:
        for message in (b"x" * size, "x" * size):
            await socket.send(message)
            assert await asyncio.wait_for(socket.recv(), 20) == message


@pytest.mark.compat
@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("sent", [b"x" * (LIMIT + 1), b"x" * (2 * LIMIT), f"send {LIMIT + 1}"])
async def test_a_message_over_the_limit_ends_it_with_1009(sent: str | bytes, compression: str | None):
    async with served() as (doors, port), opened(port, compression=compression) as socket:
        with contextlib.suppress(websockets.ConnectionClosed):
            await socket.send(sent)
        await asyncio.wait_for(socket.wait_closed(), 20)
        assert socket.close_code == 1009
    assert not any(doors.balanced.held.values())


@pytest.mark.parametrize(
    ("sent", "passes"),
    [("x" * 100, True), (b"x" * 100, True), ("\u2603" * 33, True), ("x" * 101, False), (b"x" * 101, False),
     ("\u2603" * 34, False), ("send 100", True), ("send 101", False)],
)  # fmt: skip
async def test_the_limit_is_that_of_requests(sent: str | bytes, passes: bool):
    async with served(balancer_body_limit=100) as (_, port), opened(port) as socket:
        await socket.send(sent)
        if passes:
            assert await asyncio.wait_for(socket.recv(), 5)
        else:
            await asyncio.wait_for(socket.wait_closed(), 5)
            assert socket.close_code == 1009
