"""The door of load-balancing endpoints: `<endpoint>.<any host>` and `/lb/<endpoint>/<path>`, before all others."""

from __future__ import annotations

import functools
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from runpod_emulator.core.endpoint.balancer import Balancer, affinity_of
from runpod_emulator.core.errors import RequestError
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import FLASH
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.doors import flash
from runpod_emulator.doors.management.not_emulated import is_management
from runpod_emulator.doors.pages import is_strange, refuse_page
from runpod_emulator.http.access import Access, known_world, world_of_client
from runpod_emulator.http.answers import WORLD, answering, note, problem, refusal
from runpod_emulator.http.bodies import LET_IN, has_body
from runpod_emulator.http.call import HttpCaller
from runpod_emulator.http.faults import Edge
from runpod_emulator.http.read_ahead import ReadAhead
from runpod_emulator.http.routing import headers_of, may_be_page
from runpod_emulator.world.world import World
from runpod_emulator.world.worlds import Worlds

if TYPE_CHECKING:
    from runpod_emulator.http.forwarding import Forwarder

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
            from runpod_emulator.http.forwarding import Forwarder

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
        elif may_be_page(headers_of(scope)) and is_strange(scope, is_app=True):
            await refuse_page(scope, receive, send)
        elif scope["type"] == "http":
            await _respond(target, scope, receive, send)
        else:
            ahead = ReadAhead(receive, has_body=False)
            try:
                await _connect(target, WebSocket(scope, ahead.receive, send), ahead, send)
            finally:
                ahead.close()


async def _respond(target: Target, scope: Scope, receive: Receive, send: Send) -> None:
    ahead = ReadAhead(receive, scope["method"] != "GET")
    request = Request(scope, ahead.receive, send)
    async with AsyncExitStack() as closing:
        closing.callback(ahead.close)
        work = functools.partial(_answer, target, ahead, closing)
        response = await answering(work, caller_of=ahead.caller, noted_as=None)(request)
        endpoint = request.path_params.get("endpoint_id", target.endpoint)
        if ahead.beginning is not None:
            await ahead.keep_body(request, ahead.beginning)
        note(request, endpoint, Operation.BALANCED.value, response.status_code)
        world: World | None = scope.get(WORLD)
        if world is not None:
            world.open_requests += 1
        try:
            await response(scope, ahead.receive, send)
        finally:
            if world is not None:
                world.open_requests -= 1


def _target(scope: Scope) -> Target | None:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    target = _by_host(scope, raw)
    if target is None and raw.startswith(_PREFIX):
        endpoint, slash, path = raw[len(_PREFIX) :].partition(b"/")
        return Target(endpoint.decode("latin-1"), slash + path or b"/")
    return target


def _by_host(scope: Scope, raw: bytes) -> Target | None:
    """The endpoint that is the first part of the host's name."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    label, dot, _ = host.partition(b".")
    if not dot or label.isdigit():
        return None
    endpoint_id = label.decode("latin-1")
    if endpoint_id == FLASH and not raw.startswith(_OWN):
        return Target(FLASH, raw)
    connection = HTTPConnection(scope)
    if is_management(connection):
        return None
    worlds: Worlds = connection.app.state.worlds
    world = known_world(connection) or worlds.first  # a new one would have the same endpoints
    named = _called(endpoint_id, world)
    if named is None or (named in world.endpoints.queues and raw.startswith(_OWN)):
        return None
    return Target(named, raw)


def _called(label: str, world: World) -> str | None:
    """The endpoint of a host name, in which clients may have made all letters small."""
    ids = world.endpoints
    return label if label in ids else next((one for one in ids if one.lower() == label.lower()), None)


def _admitted(connection: HTTPConnection, target: Target, world: World) -> Balancer:
    """The endpoint, for a caller with a key; raises Unauthorized, EndpointNotFound, WrongKind."""
    access: Access = connection.app.state.access
    access.check(connection.headers.get("authorization"))
    if target.endpoint == FLASH:
        return flash.balancer_named(connection, world)
    return world.endpoints.balancers.get(target.endpoint) or world.endpoints.balancer(target.endpoint)


async def _answer(
    target: Target, ahead: ReadAhead, closing: AsyncExitStack, request: Request, world: World, caller: HttpCaller
) -> Response:
    balancer = _admitted(request, target, world)
    request.scope["path_params"] = {"endpoint_id": balancer.id}
    request.scope[LET_IN] = at = await world.timeline.present()
    serve = functools.partial(_serve, target, ahead, closing, request, balancer, caller)
    if not world.faults.rules:
        return await serve(at)
    made, refused = functools.partial(problem, emulator=world), functools.partial(refusal, request, world)
    return await Edge(request, balancer, Operation.BALANCED, caller, made, refused).answer(serve)


async def _serve(
    target: Target, ahead: ReadAhead, closing: AsyncExitStack, request: Request, balancer: Balancer, caller: HttpCaller,
    at: int | None = None,
) -> Response:  # fmt: skip
    """The worker's answer; `at` is the present, if it was read."""
    from runpod_emulator.http.forwarding import forward, url_at

    affinity = affinity_of(request.headers.get("x-runpod-worker-id", ""))
    seat = await balancer.admit(affinity, caller, at=at)
    if seat is None:
        return Response(status_code=499)
    closing.push_async_callback(balancer.release, seat)
    forwarder = request.app.state.forwarder.get()
    url = url_at(seat, request.scope, target.path)
    answer = await forward(forwarder, request, url, seat, balancer.platform, ahead.left, closing)
    if ahead.beginning is not None and has_body(request.scope):
        ahead.beginning.put(request.scope)
    return answer or Response(status_code=499)


async def _connect(target: Target, socket: WebSocket, ahead: ReadAhead, send: Send) -> None:
    """Join a WebSocket to a worker, or refuse it as a request would be."""
    from runpod_emulator.http.refusals import refuse

    endpoint = target.endpoint
    async with AsyncExitStack() as closing:
        try:
            world = socket.scope[WORLD] = world_of_client(socket)
            balancer = _admitted(socket, target, world)
        except RequestError as error:
            response = refusal(socket, socket.scope.get(WORLD, socket.app.state.worlds.first), error)
        else:
            endpoint = balancer.id
            closing.enter_context(world.visited())
            response = await _shake(target, socket, ahead, closing, balancer, world)
        note(socket, endpoint, Operation.BALANCED.value, response.status_code)
        if response.status_code == 101:
            opened: Any = response
            await opened.join(socket)
        else:
            await refuse(socket.scope, ahead.receive, send, response)


async def _shake(
    target: Target, socket: WebSocket, ahead: ReadAhead, closing: AsyncExitStack, balancer: Balancer, world: World
) -> Response:
    """The worker's answer to a handshake, or what faults make of it."""
    caller = Caller()
    ahead.left.add_done_callback(lambda left: None if left.cancelled() else caller.hang_up())
    serve = functools.partial(_handshake, target, socket, ahead, closing, balancer, caller)
    made, refused = functools.partial(problem, emulator=world), functools.partial(refusal, socket, world)
    socket.scope[LET_IN] = world.timeline.now()
    try:
        if not world.faults.rules:
            return await serve()
        socket.scope["path_params"] = {"endpoint_id": balancer.id}
        return await Edge(socket, balancer, Operation.BALANCED, caller, made, refused).answer(serve)
    except RequestError as error:
        return refused(error)


async def _handshake(
    target: Target, socket: WebSocket, ahead: ReadAhead, closing: AsyncExitStack, balancer: Balancer, caller: Caller
) -> Response:
    from runpod_emulator.http.forwarding import url_at
    from runpod_emulator.http.websockets import handshake

    affinity = affinity_of(socket.headers.get("x-runpod-worker-id", ""))
    seat = await balancer.admit(affinity, caller, counts=balancer.platform.websockets_count)
    if seat is None:
        return Response(status_code=499)
    closing.push_async_callback(balancer.release, seat)
    url = url_at(seat, socket.scope, target.path)
    heard = functools.partial(balancer.fleet.touch, seat.worker)
    answer = await handshake(socket, url, seat, balancer.platform, heard, ahead.left, closing)
    return answer or Response(status_code=499)
