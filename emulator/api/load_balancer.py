"""The door of load-balancing endpoints: `<endpoint>.<any host>` and `/lb/<endpoint>/<path>`, before all others."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from emulator.api import flash
from emulator.api.faults import Edge
from emulator.api.guards import Access, HttpCaller, answering, note, problem, world_of_client
from emulator.core.balancer import Balancer, affinity_of
from emulator.core.errors import InternalError, RequestError
from emulator.core.rates import Operation
from emulator.core.settings import FLASH
from emulator.core.waiting import Caller
from emulator.emulator import Emulator

if TYPE_CHECKING:
    from emulator.api.forwarding import Forwarder

_PREFIX = b"/lb/"
_OWN = (b"/v2/", b"/__emulator", b"/docs", b"/openapi.json")
"""Paths of this server, whatever the host is called, unless that names a load-balancing endpoint."""


class Target(NamedTuple):
    """What a request is for; `path` is the raw path at the worker."""

    endpoint: str
    path: bytes


class LateForwarder:
    """The connections to workers, once there is a request for one: their client takes long to load."""

    def __init__(self) -> None:
        self._forwarder: Forwarder | None = None

    def get(self) -> Forwarder:
        """The forwarder."""
        if self._forwarder is None:
            from emulator.api.forwarding import Forwarder

            self._forwarder = Forwarder()
        return self._forwarder

    async def close(self) -> None:
        """Close every connection."""
        if self._forwarder is not None:
            await self._forwarder.close()


class LoadBalancer:
    """Takes out the requests that are for load-balancing endpoints; their paths stay verbatim."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        target = _target(scope) if scope["type"] in ("http", "websocket") else None
        if target is None:
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            request = Request(scope, receive, send)
            response = await answering(functools.partial(_answer, target))(request)
            endpoint = request.path_params.get("endpoint_id", target.endpoint)
            note(request, endpoint, Operation.BALANCED, response.status_code)
            await response(scope, receive, send)
        else:
            await _connect(target, WebSocket(scope, receive, send))


def _target(scope: Scope) -> Target | None:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    if raw.startswith(_PREFIX):
        endpoint, slash, path = raw[len(_PREFIX) :].partition(b"/")
        return Target(endpoint.decode("latin-1"), slash + path or b"/")
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    label, dot, _ = host.partition(b".")
    if not dot or label.isdigit():
        return None
    endpoint_id = label.decode("latin-1")
    if endpoint_id == FLASH and not raw.startswith(_OWN):
        return Target(FLASH, raw)
    try:
        world = world_of_client(HTTPConnection(scope))
    except RequestError:
        return None
    named = _called(endpoint_id, world)
    if named is None or (named in world.endpoints and raw.startswith(_OWN)):
        return None
    return Target(named, raw)


def _called(label: str, world: Emulator) -> str | None:
    """The endpoint of a host name, in which clients may have made all letters small."""
    ids = world.all_endpoints
    return label if label in ids else next((one for one in ids if one.lower() == label.lower()), None)


def _admitted(connection: HTTPConnection, target: Target, world: Emulator) -> Balancer:
    """The endpoint, for a caller with a key; raises Unauthorized, EndpointNotFound, WrongKind."""
    access: Access = connection.app.state.access
    access.check(connection.headers.get("authorization"))
    if target.endpoint == FLASH:
        return flash.balancer_named(connection, world)
    return world.balancer(target.endpoint)


async def _answer(target: Target, request: Request, world: Emulator, caller: HttpCaller) -> Response:
    balancer = _admitted(request, target, world)
    request.scope["path_params"] = {"endpoint_id": balancer.id}
    caller.hurries = True
    serve = functools.partial(_serve, target, request, balancer, caller)
    if not world.faults:
        return await serve()
    shown = functools.partial(problem, emulator=world)
    return await Edge(request, balancer, Operation.BALANCED, caller, shown).answer(serve)


async def _serve(target: Target, request: Request, balancer: Balancer, caller: HttpCaller) -> Response:
    from emulator.api.forwarding import Forwarded, forward, url_at

    affinity = affinity_of(request.headers.get("x-runpod-worker-id", ""))
    seat = await balancer.admit(affinity, caller)
    caller.answered()
    if seat is None:
        return Response(status_code=499)
    leave = functools.partial(balancer.release, seat)
    answer: Response | None = None
    try:
        url = url_at(seat, request.scope, target.path)
        answer = await forward(request.app.state.forwarder.get(), request, url, seat, balancer.platform, leave)
        return answer or Response(status_code=499)
    finally:
        if not isinstance(answer, Forwarded):
            await leave()


async def _connect(target: Target, socket: WebSocket) -> None:
    """Join a WebSocket to a worker, or refuse it with the status that a request would get."""
    world: Emulator = socket.app.state.worlds.first
    try:
        world = world_of_client(socket)
        await _bridge(target, socket, _admitted(socket, target, world))
    except RequestError as error:
        await socket.send_denial_response(problem(error, world))


async def _bridge(target: Target, socket: WebSocket, balancer: Balancer) -> None:
    from emulator.api.forwarding import url_at
    from emulator.api.websockets import bridge

    affinity = affinity_of(socket.headers.get("x-runpod-worker-id", ""))
    seat = await balancer.admit(affinity, Caller(), counts=balancer.platform.websockets_count)
    if seat is None:
        raise InternalError
    try:
        url = url_at(seat, socket.scope, target.path)
        heard = functools.partial(balancer.fleet.touch, seat.worker)
        await bridge(socket.app.state.forwarder.get(), socket, url, seat, balancer.platform, heard)
    finally:
        await balancer.release(seat)
