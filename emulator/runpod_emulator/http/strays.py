"""Requests that no effect is told of, in the log: no route has them, or they are workers' or the emulator's own."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runpod_emulator.effects.request_log import LogOptions, short_path
from runpod_emulator.http.remarks import remarks_of

log = logging.getLogger("runpod_emulator.requests")


def log_stray(scope: Scope, status: int, why: str, options: LogOptions) -> None:
    """Log a request of which the effects were not told: one that was refused as others are, another one at `debug`."""
    level = logging.INFO if status >= 400 else logging.DEBUG
    if options.requests == "none" or not log.isEnabledFor(level):
        return
    path = options.shown(scope["path"])
    facts = {"event": "request", "method": scope["method"], "path": path, "status": status, "why": why}
    log.log(level, "%s %s %s%s", scope["method"], short_path(path), status, why and f" {why}", extra={"facts": facts})


class Strays:
    """Logs what comes by the long way and was not noted there."""

    def __init__(self, app: ASGIApp, options: LogOptions) -> None:
        self._app = app
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and look at its answer."""
        if scope["type"] != "http" or self._options.requests == "none":
            await self._app(scope, receive, send)
            return
        remarks = remarks_of(scope)
        status = 0

        async def look(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._app(scope, receive, look)
        if not remarks.noted:
            log_stray(scope, status, remarks.why, self._options)
