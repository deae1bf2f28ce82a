"""A request that asks for another protocol is answered in HTTP/1.1, however its body is framed; WebSockets begin."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from runpod_emulator.http.connection import BreakableProtocol
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]
LINE = "POST /v2/a%20b/run?q=1"
JAVA = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
"""As the HTTP client of the JDK, and Ktor's Java engine, ask with the first request of a connection."""
WISHES = {
    "java": JAVA,
    "curl": "Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nUpgrade: h2c\r\n",
    "kept alive": "Connection: keep-alive, upgrade\r\nUpgrade: h2c\r\n",
    "kept alive first": "Connection: Keep-Alive\r\nConnection: Upgrade\r\nupgrade: h2c\r\n",
    "kept alive last": "Connection: Upgrade\r\nConnection: Keep-Alive\r\nupgrade: h2c\r\n",
    "tls": "Connection: upgrade\r\nUpgrade: TLS/1.0\r\n",
    "any": "Connection: uPgRaDe\r\nUpgrade: websocket/2, IRC/6.9\r\n",
}


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers what it was asked; says a word, and the one that it hears, on a WebSocket."""
    if scope["type"] == "websocket":
        await receive()
        if scope["path"] == "/no":
            await send({"type": "websocket.close"})
            return
        await send({"type": "websocket.accept"})
        heard = (await receive())["text"]
        await send({"type": "websocket.send", "text": f"heard {heard}"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message["type"] == "http.request" and message.get("more_body", False)
    told: dict[str, Any] = {
        "method": scope["method"], "path": scope["raw_path"].decode(), "query": scope["query_string"].decode(),
        "version": scope["http_version"], "body": body.decode(),
        "headers": [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]],
    }  # fmt: skip
    answer = json.dumps(told).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    config, state = uvicorn.Config(application, lifespan="off", proxy_headers=False, log_config=None), ServerState()
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: BreakableProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=1 << 24)
    yield reader, writer
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    server.close()


def framed(body: bytes, form: str) -> bytes:
    """The last headers and the body."""
    if form == "length":
        return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    parts = [body[start : start + 1000] for start in range(0, len(body), 1000)] + [b""]
    return b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


def asked(
    wish: str, body: bytes = b'{"input": 1}', form: str = "length", line: str = "POST /v2/a%20b/run?q=1"
) -> bytes:
    return f"{line} HTTP/1.1\r\nHost: x\r\nX-Own: \xe9\r\n{wish}".encode("latin-1") + framed(body, form)


async def answer(reader: asyncio.StreamReader) -> dict[str, Any]:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    assert head.startswith(b"HTTP/1.1 200 ")
    length = re.search(rb"content-length: (\d+)", head)
    assert length is not None
    told: dict[str, Any] = json.loads(await asyncio.wait_for(reader.readexactly(int(length[1])), 20))
    return told


@pytest.mark.parametrize("size", [2, 500, 5_000, 200_000])
@pytest.mark.parametrize("form", ["length", "chunked"])
@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES)
async def test_it_is_answered_whole_and_so_is_the_next(connection: Connection, wish: str, form: str, size: int):
    reader, writer = connection
    body = b"x" * size
    for line in (LINE, "PUT /b"):
        writer.write(asked(wish, body, form, line))
        told = await answer(reader)
        assert told["body"] == body.decode()
        assert f"{told['method']} {told['path']}{'?' * bool(told['query'])}{told['query']}" == line
        names = [name for name, _ in told["headers"]]
        assert ("x-own", "\xe9") in [tuple(pair) for pair in told["headers"]]
        assert "upgrade" not in names and "http2-settings" not in names
        assert "upgrade" not in str(told["headers"]).lower()
    writer.write(asked("", b"last"))
    assert (await answer(reader))["body"] == "last"


@pytest.mark.parametrize("form", ["length", "chunked"])
@pytest.mark.parametrize("wish", [JAVA, WISHES["kept alive last"]], ids=["java", "kept alive last"])
async def test_it_may_come_in_pieces(connection: Connection, wish: str, form: str):
    reader, writer = connection
    whole = asked(wish, b"y" * 40, form)
    for cut in range(1, len(whole)):
        writer.write(whole[:cut])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writer.write(whole[cut:])
        assert (await answer(reader))["body"] == "y" * 40
    for place in range(len(whole)):
        writer.write(whole[place : place + 1])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert (await answer(reader))["body"] == "y" * 40


@pytest.mark.parametrize("pieces", [1, 3])
async def test_many_behind_each_other_are_answered_in_order(connection: Connection, pieces: int):
    reader, writer = connection
    wishes = [*WISHES.values(), "", *WISHES.values()]
    bodies = [b"%d" % place * (1 + 700 * (place % 3)) for place in range(len(wishes))]
    forms = ["length", "chunked"] * len(wishes)
    whole = b"".join(map(asked, wishes, bodies, forms))
    size = len(whole) // pieces + 1
    for start in range(0, len(whole), size):
        writer.write(whole[start : start + size])
        await asyncio.sleep(0)
    assert [(await answer(reader))["body"].encode() for _ in bodies] == bodies


@pytest.mark.parametrize("form", ["length", "chunked"])
@pytest.mark.parametrize("line", ["POST /a", "GET /a"])
async def test_what_has_a_body_is_no_handshake(connection: Connection, line: str, form: str):
    reader, writer = connection
    for body in (b"x" * 17, b"y" * 10_000):
        writer.write(asked("Connection: Upgrade\r\nUpgrade: websocket\r\n", body, form, line))
        assert (await answer(reader))["body"] == body.decode()


async def test_it_may_have_no_body(connection: Connection):
    reader, writer = connection
    for _ in range(2):
        writer.write(f"GET / HTTP/1.1\r\nHost: x\r\n{JAVA}\r\n".encode())
        assert (await answer(reader))["body"] == ""


async def test_a_client_that_waits_to_be_told_to_go_on_is_told_once(connection: Connection):
    reader, writer = connection
    head, _, body = asked(JAVA + "Expect: 100-continue\r\n").partition(b"\r\n\r\n")
    writer.write(head + b"\r\n\r\n")
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await answer(reader))["body"] == body.decode()


async def test_a_head_is_as_long_as_it_may_be(connection: Connection):
    reader, writer = connection
    writer.write(asked(JAVA + f"Long: {'x' * 60_000}\r\n"))
    assert (await answer(reader))["body"] == '{"input": 1}'
    writer.write(asked(JAVA + f"Long: {'x' * 70_000}\r\n"))
    assert (await reader.read()).startswith(b"HTTP/1.1 431 ")


HANDSHAKE = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nUpgrade: WebSocket\r\n"
FRAME = b"\x81\x82\x00\x00\x00\x00hi"
"""`hi` in a masked frame, whose mask is nought."""


@pytest.mark.parametrize("lines", ["Upgrade", "keep-alive, Upgrade", "Upgrade\r\nConnection: keep-alive"])
@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("before", ["", JAVA])
async def test_a_websocket_begins(connection: Connection, lines: str, at_once: bool, before: str):
    reader, writer = connection
    writer.write(asked(before))
    await answer(reader)
    writer.write(f"GET / HTTP/1.1\r\nHost: x\r\nConnection: {lines}\r\n{HANDSHAKE}\r\n".encode() + FRAME * at_once)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    assert head.startswith(b"HTTP/1.1 101 ")
    writer.write(FRAME * (not at_once))
    assert await asyncio.wait_for(reader.readexactly(10), 20) == b"\x81\x08heard hi"


@pytest.mark.parametrize("size", [1, 1_000, 200_000])
@pytest.mark.parametrize("at_once", [False, True])
async def test_what_is_sent_before_a_refusal_does_not_hide_it(
    connection: Connection, caplog: pytest.LogCaptureFixture, at_once: bool, size: int
):
    reader, writer = connection
    head = f"GET /no HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n{HANDSHAKE}\r\n".encode()
    for piece in [head + b"\0" * size] if at_once else [head, b"\0" * size]:
        writer.write(piece)
        await asyncio.sleep(0)
    assert (await asyncio.wait_for(reader.read(20), 20)).startswith(b"HTTP/1.1 403 ")
    assert "Traceback" not in caplog.text


async def test_more_than_a_little_before_the_answer_breaks_the_connection(connection: Connection):
    reader, writer = connection
    head = f"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n{HANDSHAKE}\r\n".encode()
    writer.write(head + FRAME * 20_000)
    assert b"heard" not in await asyncio.wait_for(reader.read(), 20)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2 is not spoken here: use HTTP/1.1"),
        (b"\x16\x03\x01\x02\x00\x01\x00", "a TLS handshake on a port without TLS: use http:// here"),
        (b"hello\r\n\r\n", "Invalid HTTP request received."),
    ],
)
async def test_another_protocol_is_named(
    connection: Connection, caplog: pytest.LogCaptureFixture, said: bytes, reason: str
):
    reader, writer = connection
    writer.write(said)
    answer = await asyncio.wait_for(reader.read(), 20)
    assert answer.startswith(b"HTTP/1.1 400 ") and reason in answer.decode()
    assert reason in caplog.text
