"""Who may call, and whose world a caller means: what a key opens, and what it names."""

from __future__ import annotations

import contextlib
import hmac
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection, Request

from runpod_emulator.core.errors import InvalidKey, NoToken
from runpod_emulator.http.routing import HEADERS, headers_of
from runpod_emulator.world.world import World
from runpod_emulator.world.worlds import Worlds

NAMESPACE = b"x-emulator-namespace"
"""The header that names a namespace, as it is in a scope."""
_AUTHORIZATION = b"authorization"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call. Without `keys` any key is accepted; without `required` none is asked for."""

    required: bool = True
    keys: frozenset[str] = field(default=frozenset(), repr=False)
    _bytes: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_bytes", tuple(form for key in self.keys for form in _forms(key)))

    def check(self, authorization: str | None) -> None:
        """Accept `Bearer KEY` or the bare key; raises NoToken, InvalidKey."""
        if not self.required:
            return
        key = bare_key(authorization or "")
        if not key:
            raise NoToken
        if self.keys and not self._is_one(key):
            raise InvalidKey

    def _is_one(self, key: str) -> bool:
        """Whether it is one of the keys; how long the answer takes does not tell how much of it is right."""
        given, found = _forms(key)[-1], False
        for one in self._bytes:
            found |= hmac.compare_digest(given, one)
        return found


def _forms(key: str) -> list[bytes]:
    """The bytes that clients send for a key: all write ASCII alike, anything else in UTF-8 or, if it can be, Latin-1.

    What came in a header was read as Latin-1, so the last of them is how it came.
    """
    forms = [key.encode("utf-8", "surrogateescape")]
    if not key.isascii():
        with contextlib.suppress(UnicodeEncodeError):
            forms.append(key.encode("latin-1"))
    return forms


def bare_key(authorization: str) -> str:
    """The key in `Bearer KEY` or `KEY`."""
    scheme, _, rest = authorization.strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else authorization.strip()


def world_of_client(request: HTTPConnection) -> World:
    """The world that a client's header, or else its key, names, which only a client with a key makes.

    Raises NoToken, InvalidKey, NamespaceInvalid, NamespacesFull.
    """
    worlds: Worlds = request.app.state.worlds
    if not worlds.by_key and NAMESPACE not in request.scope[HEADERS]:
        return worlds.first
    world = known_world(request)
    if world is None:
        access: Access = request.app.state.access
        access.check(headers_of(request.scope).get(_AUTHORIZATION, b"").decode("latin-1"))
        world = world_of_admin(request)
    return world


def known_world(request: HTTPConnection) -> World | None:
    """The world that a client's header or key names, if there is one already."""
    worlds: Worlds = request.app.state.worlds
    return worlds.known(*_names(request, worlds))


def world_of_admin(request: HTTPConnection) -> World:
    """The world that a caller names who was let in already; raises NamespaceInvalid, NamespacesFull."""
    worlds: Worlds = request.app.state.worlds
    return worlds.of(*_names(request, worlds))


def _names(request: HTTPConnection, worlds: Worlds) -> tuple[str, str]:
    headers = headers_of(request.scope)
    key = bare_key(headers.get(_AUTHORIZATION, b"").decode("latin-1")) if worlds.by_key else ""
    return headers.get(NAMESPACE, b"").decode("latin-1"), key


def world_of_worker(request: Request) -> World:
    """The world that a worker's URL names, as `&ns=NAME`, which only a worker with a key makes.

    Raises NoToken, InvalidKey, NamespaceInvalid, NamespacesFull.
    """
    worlds: Worlds = request.app.state.worlds
    name = request.query_params.get("ns", "")
    world = worlds.known(name)
    if world is None:
        access: Access = request.app.state.worker_access
        access.check(request.headers.get("authorization"))
        world = worlds.of(name)
    return world
