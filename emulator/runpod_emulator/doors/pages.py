"""Web pages as clients: which of them are answered, and which may read the answers (CORS).

A browser asks before it sends a key for a page, and only pages of this machine are told yes. What it sends without
asking has no key, so it is refused where none is needed too: with `--no-auth`, and as a worker over HTTP. An address
that it opens may show something, and change nothing. Where a stranger's own name leads here, the page is one of this
server to the browser, but that name is none of ours.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runpod_emulator.core.door_errors import ForeignPage
from runpod_emulator.doors import worker
from runpod_emulator.doors.own_door import is_own
from runpod_emulator.http.answers import problem
from runpod_emulator.http.call import FIDELITY
from runpod_emulator.http.faults import FAULT
from runpod_emulator.http.head import only_shows, verb_in
from runpod_emulator.http.names import OwnNames, authority, is_local
from runpod_emulator.http.refusals import refuse
from runpod_emulator.http.remarks import remarks_of
from runpod_emulator.http.routing import headers_of, may_be_browser

_ASKS_PRIVATE = b"access-control-request-private-network"
_FOR_WORKERS = {route.path.split("/")[3] for route in worker.routes}
"""Verbs of the worker protocol: none of them is an address that a person opens."""
_SHOWN = [FIDELITY, FAULT, "Retry-After", "RateLimit"]


def is_strange(scope: Scope, is_app: bool = False) -> bool:
    """Whether a request is what a page of a stranger can send without being allowed to.

    With `is_app` it is for an application: what its GETs change is its own affair.
    """
    state = scope["app"].state
    if state.worlds.first.platform.cors == "open" or scope.get("method") == "OPTIONS":
        return False
    headers = headers_of(scope)
    if not is_app and _is_opened(headers) and verb_in(scope) in _FOR_WORKERS:
        return True
    origin = headers.get(b"origin")
    if origin is not None:
        return not _may_call(origin.decode("latin-1"), scope, state.names, _has_key(headers))
    return not _is_asked_here(headers, state.names, is_app or only_shows(scope), scope.get("method") == "GET")


def _is_opened(headers: dict[bytes, bytes]) -> bool:
    """Whether a browser opens an address: one that was typed, or that a page, a mail or a program leads to."""
    return headers.get(b"sec-fetch-mode") == b"navigate"


def _is_asked_here(headers: dict[bytes, bytes], names: OwnNames, only_shows: bool, is_get: bool) -> bool:
    """Whether a request without `Origin` is no page's, or that of a page which may ask.

    A browser tells where it comes from only at loopback addresses and over TLS. Elsewhere a page that hides itself
    looks like an address that was typed: such may do what `only_shows`.
    """
    site = headers.get(b"sec-fetch-site", b"")
    if site in (b"", b"none", b"same-origin"):
        is_said_to_be = site == b"none" or not _is_browser(headers)
        return is_said_to_be or only_shows or not is_get or _is_ours(headers, names, site == b"same-origin")
    if _has_key(headers) or is_local(_referrer(headers)):
        return True
    if site == b"same-site" and _is_on_loopback(headers):
        return True
    opens = _is_opened(headers) and headers.get(b"sec-fetch-dest") == b"document"
    return opens and is_get and only_shows


def _is_ours(headers: dict[bytes, bytes], names: OwnNames, is_same: bool) -> bool:
    """Whether a page of this machine sends it, or one of this server under a name that no stranger can have made."""
    host, page = _host(headers), _referrer(headers)
    if is_local(page):
        return True
    is_same = is_same or authority(page.partition("//")[2]) == authority(host)
    return (is_same or _has_key(headers)) and names.is_safe(host)


def _is_browser(headers: dict[bytes, bytes]) -> bool:
    """PowerShell calls itself so too; no page can make its browser say that name."""
    return may_be_browser(headers) and b"PowerShell/" not in headers[b"user-agent"]


def _has_key(headers: dict[bytes, bytes]) -> bool:
    """Whether there is a key; a page of anybody can lead to an address with a name and a password in it (Basic)."""
    return not headers.get(b"authorization", b"basic").lower().startswith(b"basic")


def _is_on_loopback(headers: dict[bytes, bytes]) -> bool:
    called = authority(_host(headers))
    return called is not None and called.is_loopback


def _host(headers: dict[bytes, bytes]) -> str:
    return headers.get(b"host", b"").decode("latin-1")


def _referrer(headers: dict[bytes, bytes]) -> str:
    """The origin of the page that the browser names."""
    return "/".join(headers.get(b"referer", b"").decode("latin-1").split("/")[:3])


def _may_call(origin: str, scope: Scope, names: OwnNames, has_key: bool) -> bool:
    if is_local(origin):
        return True
    host = _host(headers_of(scope))
    called = authority(host)
    if called is not None and authority(origin.partition("//")[2]) == called:  # by whatever scheme: a proxy may add TLS
        return names.is_safe(host)
    return has_key


async def refuse_page(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer such a request."""
    error = ForeignPage()
    remarks_of(scope).why = error.why
    await refuse(scope, receive, send, problem(error, scope["app"].state.worlds.first))


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
