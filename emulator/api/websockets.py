"""One WebSocket from a client to a worker, both ways until one of them closes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import aiohttp
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect
from yarl import URL

from emulator.api.forwarding import WORKER, Forwarder, headers_to_worker, unless
from emulator.core.balancer import Seat
from emulator.core.balancer_errors import AnswerTooLate, WorkerFailed
from emulator.core.platform import Platform

Worker: TypeAlias = "aiohttp.ClientWebSocketResponse[Any]"

_OWN = "sec-websocket-"
"""Headers that each of the two connections makes for itself."""
_GOING_AWAY, _LOST = 1001, 1011
"""Close codes: the client has left; the worker has."""


async def bridge(
    forwarder: Forwarder,
    socket: WebSocket,
    url: URL,
    seat: Seat,
    platform: Platform,
    heard: Callable[[], None],
    left: asyncio.Future[None],
) -> int:
    """Connect a client that has not been accepted yet; `heard` is called for each message.

    Answers the status of the handshake: what a worker answers instead of taking the connection, the
    client is answered too; 499 is for a client who has `left` before. Raises WorkerFailed, AnswerTooLate.
    """
    headers = [(name, value) for name, value in headers_to_worker(socket.scope, platform) if not name.startswith(_OWN)]
    try:
        connecting = forwarder.session().ws_connect(
            url, headers=headers, protocols=socket.scope["subprotocols"], autoclose=False, max_msg_size=0,
            timeout=aiohttp.ClientWSTimeout(ws_close=1.0),  # pyright: ignore[reportCallIssue]
        )  # fmt: skip
        limit = platform.balancer_answer_limit / 1000
        worker = await unless(left, asyncio.wait_for(_opened(connecting), limit))
    except asyncio.TimeoutError as error:
        raise AnswerTooLate(platform.balancer_answer_limit) from error
    except aiohttp.WSServerHandshakeError as error:
        if error.status < 400:
            raise WorkerFailed(seat.worker, f"it speaks no WebSocket there, and answers {error.status}") from error
        await socket.send_denial_response(Response(status_code=error.status, headers={WORKER: seat.worker}))
        return error.status
    except (aiohttp.ClientError, OSError) as error:
        raise WorkerFailed(seat.worker, str(error) or type(error).__name__) from error
    if worker is None:
        return 499
    await _join(socket, worker, seat, heard)
    return 101


async def _opened(connecting: Awaitable[Worker]) -> Worker:
    return await connecting


async def _join(socket: WebSocket, worker: Worker, seat: Seat, heard: Callable[[], None]) -> None:
    async with worker:
        await socket.accept(worker.protocol, [(WORKER.encode(), seat.worker.encode())])
        ways = {
            asyncio.ensure_future(_to_worker(socket, worker, heard)),
            asyncio.ensure_future(_to_client(socket, worker, heard)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def _to_worker(socket: WebSocket, worker: Worker, heard: Callable[[], None]) -> None:
    code, reason = _GOING_AWAY, b""
    with contextlib.suppress(WebSocketDisconnect, aiohttp.ClientError, ConnectionError):
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                code, reason = message.get("code") or code, (message.get("reason") or "").encode()
                break
            heard()
            if message.get("text") is not None:
                await worker.send_str(message["text"])
            else:
                await worker.send_bytes(message.get("bytes") or b"")
    may_be_sent = 1000 <= code < 5000 and code not in (1005, 1006, 1015)
    await worker.close(code=code if may_be_sent else _GOING_AWAY, message=reason)


async def _to_client(socket: WebSocket, worker: Worker, heard: Callable[[], None]) -> None:
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
                break
            heard()
        await socket.close(code, reason)
