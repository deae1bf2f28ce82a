"""The door to everything below `/__emulator`: no web page of elsewhere, no name of a stranger and no webhook gets in.

Whoever gets in can run commands and read what clients sent. So a browser must have been here before: what it calls is a
name of this server, and the page that calls is one of this server. A key of `--admin-key` opens the door to everybody.
"""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from runpod_emulator.core.door_errors import Forbidden
from runpod_emulator.core.errors import RequestError
from runpod_emulator.core.jobs.deliveries import CALLER
from runpod_emulator.doors import receiver, ui
from runpod_emulator.http import wire
from runpod_emulator.http.access import Access
from runpod_emulator.http.names import OwnNames, is_same
from runpod_emulator.http.refusals import refuse
from runpod_emulator.http.remarks import remarks_of
from runpod_emulator.http.routing import headers_of
from runpod_emulator.http.shield import shielded

_ROOT = "/__emulator"
_PROBES = (f"{_ROOT}/health", f"{_ROOT}/ready")


class Closed(Forbidden):
    """The door to the emulator itself does not open for this caller; `detail` says what would open it."""


def is_own(scope: Scope) -> bool:
    """Whether a request, whose path is tidy, is for the emulator itself."""
    path: str = scope.get("path", "")
    return path == _ROOT or path.startswith(f"{_ROOT}/")


class OwnDoor:
    """Refuses who may not come in, and sees to it that no browser misunderstands an answer from inside."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] not in ("http", "websocket") or not is_own(scope):
            await self.app(scope, receive, send)
            return
        state = scope["app"].state
        try:
            check(scope, state.names, state.admin_access)
        except RequestError as error:
            remarks_of(scope).why = error.why
            answer = Response(wire.problem(error), error.status, media_type="application/json")
            await refuse(scope, receive, shielded(send), answer)
            return
        await self.app(scope, receive, shielded(send))


def check(scope: Scope, names: OwnNames, access: Access | None) -> None:
    """Let a caller of `/__emulator` in; raises Closed, and NoToken or InvalidKey where `--admin-key` was given.

    The files of the page are the same for everybody: it asks for the key itself, and says why it is not let in.
    """
    if _has_key(scope, access):
        return
    if ui.is_of_page(scope["path"]):
        _check_page(scope, _all(scope, b"host"), names)
        return
    is_hook = receiver.is_call(scope)
    if access is not None and access.keys and not is_hook and scope["path"] not in _PROBES:
        access.check(_key(scope))
    if headers_of(scope).get(b"user-agent", b"").decode("latin-1") == CALLER and not is_hook:
        raise Closed(
            f"webhooks reach {receiver.PATH} only: who calls as {CALLER}, as they do, needs --admin-key KEY here"
        )
    hosts = _all(scope, b"host")
    if not is_hook:  # whoever posts there knows the server by a name that is none of its own: a tunnel's, a proxy's
        _check_host(hosts, scope["path"], names)
    _check_page(scope, hosts, names)


def _has_key(scope: Scope, access: Access | None) -> bool:
    if access is None or not access.keys:
        return False
    try:
        access.check(_key(scope))
    except RequestError:
        return False
    return True


def _key(scope: Scope) -> str:
    return headers_of(scope).get(b"authorization", b"").decode("latin-1")


def _all(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for header, value in scope["headers"] if header == name]


def _check_host(hosts: list[str], path: str, names: OwnNames) -> None:
    if path in _PROBES and all(map(names.is_safe, hosts)):  # containers probe each other by name, clusters by address
        return
    if len(hosts) != 1:
        raise Closed("name the server in one Host header, by one of its own names or one of --allowed-host NAME")
    if not names.knows(hosts[0]):
        raise Closed(
            f"{hosts[0][:100]!r} is no name of this server: start it with --allowed-host NAME for one more, or with "
            "--admin-key KEY, and send 'Authorization: Bearer KEY'"
        )


def _check_page(scope: Scope, hosts: list[str], names: OwnNames) -> None:
    """Refuse pages of other origins; of browsers, all but old ones say where a request without `Origin` comes from."""
    ours = [host for host in hosts if names.knows(host)]
    for origin in _all(scope, b"origin"):
        if not any(is_same(origin, scope["scheme"], host) for host in ours):
            raise Closed(
                f"a page of {origin[:100]!r} may not call {_ROOT}, only one of this server under a name that it has "
                "or gets by --allowed-host NAME; else start it with --admin-key KEY, and send the key"
            )
    headers = headers_of(scope)
    if headers.get(b"sec-fetch-site", b"none") in (b"none", b"same-origin") or b"origin" in headers:
        return
    if (scope.get("method"), headers.get(b"sec-fetch-mode"), headers.get(b"sec-fetch-dest")) != (
        "GET", b"navigate", b"document",
    ):  # fmt: skip
        raise Closed(
            f"a page of elsewhere may not load what is below {_ROOT}, only one of this server under a name that it has "
            "or gets by --allowed-host NAME"
        )
