"""HEAD as GET without the body, wherever a look changes nothing: tools that wait for a port ask so."""

from __future__ import annotations

from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SHOWN = {"health", "metrics", "requests"}
"""Verbs of an endpoint whose GET holds nothing, drains nothing, and tells no worker of a job."""
_FEED = "/__emulator/events"


class HeadAsGet:
    """Answers HEAD by what answers GET. Where that would take a job or a chunk, or be held, HEAD stays refused."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD" or not only_shows(scope):
            await self.app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self.app({**scope, "method": "GET"}, receive, send_head)


def only_shows(scope: Scope) -> bool:
    """Whether a GET, whose path is tidy, changes nothing and is not held."""
    verb = verb_in(scope)
    if verb is None:
        return bool(scope["path"] != _FEED)
    return verb in _SHOWN or (verb == "status" and b"ttl" not in parse_qs(scope["query_string"]))


def verb_in(scope: Scope) -> str | None:
    """What an endpoint is asked for, "" for nothing; None for what is not below `/v2`."""
    parts: list[str] = scope["path"].split("/")
    if parts[1:2] != ["v2"]:
        return None
    return parts[3] if len(parts) > 3 else ""
