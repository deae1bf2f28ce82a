"""The last answer: what a client gets when a route itself fails."""

from __future__ import annotations

import logging
from collections.abc import Callable

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runpod_emulator.core.errors import InternalError

log = logging.getLogger("runpod_emulator")


class SafetyNet:
    """Turns an exception into an answer that `answer` makes of it, and logs the traceback.

    Starlette would answer in plain text and raise it again, at which uvicorn closes the
    connection. That remains so for an answer that has begun: it cannot be completed.
    """

    def __init__(self, app: ASGIApp, answer: Callable[[InternalError], Response]) -> None:
        self.app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_begun = False

        async def sending(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, sending)
        except ClientDisconnect:
            return  # nobody is there to be answered
        except ConnectionResetError:
            raise  # a fault that was asked for, and that has no connection to break
        except Exception:
            if has_begun:
                raise
            log.exception("%s %s failed", scope["method"], scope["path"])
            await self._answer(InternalError())(scope, receive, send)
