"""A refusal before any route: the answer to a request, or what a WebSocket gets instead of its handshake."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket


async def refuse(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Give this answer, whatever was asked for."""
    if scope["type"] == "http":
        await answer(scope, receive, send)
        return
    await WebSocket(scope, receive, send).send_denial_response(answer)
    for _ in range(2):  # uvicorn takes an earlier return for a mistake
        if (await receive())["type"] == "websocket.disconnect":
            return
