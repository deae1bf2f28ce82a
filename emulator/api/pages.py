"""Web pages as clients: which of them are answered, and which may read the answers (CORS).

A browser asks before it sends a key for a page, and only pages of this machine are told yes. What it sends without
asking has no key, so it is refused where none is needed too: with `--no-auth`, and as a worker over HTTP. Where a
stranger's own name leads here, the page is one of this server to the browser, but that name is none of ours.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulator.api.faults import FAULT
from emulator.api.guards import FIDELITY, problem
from emulator.api.names import OwnNames, authority, is_local
from emulator.api.own_door import is_own
from emulator.api.refusal import refuse
from emulator.api.routing import headers_of
from emulator.core.door_errors import ForeignPage

_ASKS_PRIVATE = b"access-control-request-private-network"
_SHOWN = [FIDELITY, FAULT, "Retry-After", "RateLimit"]


def is_strange(scope: Scope) -> bool:
    """Whether a request is what a page of a stranger can send without being allowed to."""
    state = scope["app"].state
    if state.worlds.first.platform.cors == "open" or scope.get("method") == "OPTIONS":
        return False
    headers = headers_of(scope)
    origin, has_key = headers.get(b"origin"), b"authorization" in headers
    if origin is not None:
        return not _may_call(origin.decode("latin-1"), scope, state.names, has_key)
    if has_key or headers.get(b"sec-fetch-site") != b"cross-site" or headers.get(b"sec-fetch-mode") == b"navigate":
        return False
    return not is_local(_origin_of(headers.get(b"referer", b"").decode("latin-1")))


def _may_call(origin: str, scope: Scope, names: OwnNames, has_key: bool) -> bool:
    if is_local(origin):
        return True
    host = headers_of(scope).get(b"host", b"").decode("latin-1")
    called = authority(host)
    if called is not None and authority(origin.partition("//")[2]) == called:  # by whatever scheme: a proxy may add TLS
        return names.is_safe(host)
    return has_key


def _origin_of(url: str) -> str:
    return "/".join(url.split("/")[:3])


async def refuse_page(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer such a request."""
    await refuse(problem(ForeignPage(), scope["app"].state.worlds.first), scope, receive, send)


class PageGuard:
    """Refuses what pages of strangers send, but for what is below `/__emulator`: that has a door of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        is_request = scope["type"] in ("http", "websocket")
        if is_request and not is_own(scope) and is_strange(scope):
            await refuse_page(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class Cors:
    """Lets pages read answers: all of them, or the `local` ones of this machine; none what is below `/__emulator`."""

    def __init__(self, app: ASGIApp, local: bool) -> None:
        self.app = app
        self._local = local
        everywhere, here = (["*"], None) if not local else ([], ".*")
        self._cors = CORSMiddleware(
            app, everywhere, ["*"], ["*"], allow_origin_regex=here, expose_headers=_SHOWN
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or is_own(scope):
            await self.app(scope, receive, send)
        elif not self._local or is_local(headers_of(scope).get(b"origin", b"").decode("latin-1")):
            if _ASKS_PRIVATE in headers_of(scope):
                headers = [header for header in scope["headers"] if header[0] != _ASKS_PRIVATE]
                scope, send = (
                    {**scope, "headers": headers},
                    _private(send),
                )  # newer Starlettes refuse it, older know none
            await self._cors(scope, receive, _varied(send))
        else:
            await self.app(scope, receive, _varied(send))


def _private(send: Send) -> Send:
    """A `send` that lets a page of a public address in too: a browser asks whether it may call a private one."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            MutableHeaders(scope=message)["Access-Control-Allow-Private-Network"] = "true"
        await send(message)

    return sending


def _varied(send: Send) -> Send:
    """A `send` that says that another origin may be answered otherwise; older Starlettes forget to."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if "origin" not in headers.get("vary", "").lower():
                headers.add_vary_header("Origin")
        await send(message)

    return sending
