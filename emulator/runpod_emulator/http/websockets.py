"""One WebSocket from a client to a worker, both ways until one of them closes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, MutableMapping
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import aiohttp
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from yarl import URL

from runpod_emulator.core.balancer_errors import AnswerTooLate, WorkerFailed
from runpod_emulator.core.endpoint.balancer import Seat
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.time.clock import turn
from runpod_emulator.http.connection import ways_of
from runpod_emulator.http.forwarding import (
    ANSWER_LIMITS,
    client,
    headers_to_client,
    headers_to_worker,
    passed_on,
    unless,
)
from runpod_emulator.http.raw_headers import RawRequest
from runpod_emulator.http.refusals import header_lines

Worker: TypeAlias = "aiohttp.ClientWebSocketResponse[Any]"

_OWN = "sec-websocket-"
"""Headers that each of the two connections makes for itself."""
_SUBPROTOCOL = b"sec-websocket-protocol"
_GOING_AWAY, _TOO_BIG, _LOST = 1001, 1009, 1011
"""Close codes: the client has left; a message is too large; the worker has left."""


class _Refused(Exception):
    """A worker answers something else than a WebSocket."""


class _Request(RawRequest):
    """A handshake whose refusal may end with its connection: the client of WebSockets wants no body of it."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        """Send the request."""
        conn.protocol.set_response_params(read_until_eof=True, auto_decompress=False, **ANSWER_LIMITS)
        return await super().send(conn)


class Opened(Response):
    """A WebSocket that a worker has taken and its client not yet; `heard` is called for each message.

    A message may have `limit` bytes.
    """

    def __init__(
        self, worker: Worker, answer: aiohttp.ClientResponse, seat: Seat, limit: int, heard: Callable[[], None]
    ) -> None:
        self.status_code = 101
        self.background = None
        own = _OWN.encode()
        kept = headers_to_client(answer, seat.worker)
        self.raw_headers = [pair for pair in kept if pair[0] == _SUBPROTOCOL or not pair[0].startswith(own)]
        self.worker = worker
        self.heard = heard
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Begin to say that it is open, for who breaks that off."""
        await send({"type": "http.response.start", "status": 101, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": b""})

    async def join(self, socket: WebSocket) -> None:
        """Take the client too, and pass messages on until one of the two closes."""
        ways = ways_of(socket.scope)
        if ways is None:
            await socket.accept(self.worker.protocol, [one for one in self.raw_headers if one[0] != _SUBPROTOCOL])
        else:  # as they are: the web server takes texts, and what it makes of them depends on its version
            lines = header_lines(self.raw_headers)
            ways["head"](lambda head: head[:-2] + lines + head[-2:])
            await socket.accept()
        both = {asyncio.ensure_future(way(socket, self)) for way in (_to_worker, _to_client)}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in both:
                way.cancel()
            await asyncio.gather(*both, return_exceptions=True)


async def handshake(
    socket: WebSocket,
    url: URL,
    seat: Seat,
    platform: Platform,
    heard: Callable[[], None],
    left: asyncio.Future[None],
    closing: AsyncExitStack,
) -> Response | None:
    """What a worker answers: Opened, or its refusal; to be closed with `closing`. None for a client who has `left`.

    Raises WorkerFailed, AnswerTooLarge, AnswerTooLate.
    """
    answers: list[aiohttp.ClientResponse] = []
    limit = platform.balancer_body_limit

    async def looked_at(request: aiohttp.ClientRequest, handler: Any) -> aiohttp.ClientResponse:
        answers.append(await handler(request))
        if answers[-1].status != 101:
            raise _Refused
        return answers[-1]

    session = await closing.enter_async_context(client(request_class=_Request, middlewares=(looked_at,)))
    try:
        connecting = _connect(session, socket, url, platform)
        worker = await unless(left, asyncio.wait_for(connecting, platform.balancer_answer_limit / 1000))
        if worker is None:
            return None
        closing.push_async_callback(worker.close)
        return Opened(worker, answers[-1], seat, limit, heard)
    except _Refused:
        return await passed_on(answers[-1], seat, limit, left, closing)
    except asyncio.TimeoutError as error:
        raise AnswerTooLate(platform.balancer_answer_limit) from error
    except aiohttp.WSServerHandshakeError as error:
        raise WorkerFailed(seat.worker, f"its handshake is wrong: {error.message}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise WorkerFailed(seat.worker, str(error) or type(error).__name__) from error


async def _connect(session: aiohttp.ClientSession, socket: WebSocket, url: URL, platform: Platform) -> Worker:
    headers = [(name, value) for name, value in headers_to_worker(socket.scope, platform) if not name.startswith(_OWN)]
    return await session.ws_connect(
        url, headers=headers, protocols=socket.scope["subprotocols"], autoclose=False,
        max_msg_size=platform.balancer_body_limit + 1,  # that is refused, and what is larger
        timeout=aiohttp.ClientWSTimeout(ws_close=1.0),  # pyright: ignore[reportCallIssue]
    )  # fmt: skip


async def _to_worker(socket: WebSocket, opened: Opened) -> None:
    worker = opened.worker
    code, reason = _GOING_AWAY, b""
    with contextlib.suppress(WebSocketDisconnect, aiohttp.ClientError, ConnectionError):
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                code, reason = message.get("code") or code, (message.get("reason") or "").encode()
                break
            opened.heard()
            await turn()  # neither side waits while the other has something
            if _size(message, opened.limit) > opened.limit:
                code, reason = _TOO_BIG, b"the message is too large"
                await socket.close(code, reason.decode())
                break
            if message.get("text") is not None:
                await worker.send_str(message["text"])
            else:
                await worker.send_bytes(message.get("bytes") or b"")
    may_be_sent = 1000 <= code < 5000 and code not in (1005, 1006, 1015)
    await worker.close(code=code if may_be_sent else _GOING_AWAY, message=reason)


def _size(message: MutableMapping[str, Any], limit: int) -> int:
    """Bytes of a message; of a text that is far below the limit, no more than them."""
    text: str | None = message.get("text")
    if text is None:
        return len(message.get("bytes") or b"")
    return len(text) if len(text) * 4 <= limit else len(text.encode())


async def _to_client(socket: WebSocket, opened: Opened) -> None:
    worker = opened.worker
    code, reason = _LOST, "the worker has gone"
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        while True:
            message = await worker.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                await socket.send_text(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await socket.send_bytes(message.data)
            else:
                if message.type is aiohttp.WSMsgType.CLOSE:
                    code, reason = message.data or 1000, message.extra or ""
                elif isinstance(message.data, aiohttp.WebSocketError):
                    code, reason = message.data.code, "the worker's message is wrong, or too large"
                break
            opened.heard()
            await turn()
        await socket.close(code, reason)
