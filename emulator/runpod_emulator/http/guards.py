"""What stands before every door: the key, the endpoint, faults, rate limits, body size, hang-ups."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response

from runpod_emulator.core.endpoint.balancer import Balancer
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.errors import BodyTooLarge, InternalError, RequestError
from runpod_emulator.core.fidelity import Ledger
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.rates import Admission, Operation
from runpod_emulator.core.settings import FLASH
from runpod_emulator.core.time.waiting import Caller, Waiter
from runpod_emulator.http import wire
from runpod_emulator.http.access import Access, bare_key
from runpod_emulator.http.bounded import HEAD
from runpod_emulator.http.connection import EXTENSION
from runpod_emulator.http.faults import Edge
from runpod_emulator.http.members import check_depth
from runpod_emulator.http.routing import headers_of
from runpod_emulator.world.world import Emulator
from runpod_emulator.world.worlds import Worlds

log = logging.getLogger("runpod_emulator.api")

FIDELITY = "X-Emulator-Fidelity"
_FIDELITY, _JSON = FIDELITY.lower().encode(), (b"content-type", b"application/json")
_AUTHORIZATION = b"authorization"
_AT_ONCE = 1 << 20
"""Bytes whose nesting is checked on the loop; a text that is made for it takes 20 ms then."""
NAMESPACE = b"x-emulator-namespace"
"""The header that names a namespace, as it is in a scope."""
WORLD, BODY, JOB = "emulator.world", "emulator.body", "emulator.job"
"""What the journal finds in the scope of a request."""


class HttpCaller(Caller):
    """The client of one request, watched from the moment it has to wait."""

    def __init__(self, request: Request) -> None:
        super().__init__()
        self._request = request
        self._is_watched = False
        self._watch: asyncio.Task[None] | None = None
        """Reads on, where the connection does not tell by itself that the client has left."""

    def attach(self, waiter: Waiter | None) -> None:
        """The wait that the client's leaving will end."""
        super().attach(waiter)
        if waiter is None or self._is_watched:
            return
        self._is_watched = True
        scope = self._request.scope
        ways = scope.get("extensions") if BODY in scope else None
        if ways and EXTENSION in ways:
            ways[EXTENSION]["left"](self.hang_up)
        else:
            self._watch = asyncio.ensure_future(self._until_gone())

    def answered(self) -> None:
        """Watch no more."""
        if self._watch is not None:
            self._watch.cancel()

    async def _until_gone(self) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        self.hang_up()


@dataclass(slots=True)
class Call:
    """One request that was let in."""

    request: Request
    emulator: Emulator
    endpoint: Endpoint
    caller: HttpCaller
    ledger: Ledger
    admission: Admission
    """Counts the request in its rate limits until it is answered."""

    @property
    def platform(self) -> Platform:
        """The numbers in force."""
        return self.endpoint.platform

    @property
    def job_id(self) -> str:
        """The job in the path."""
        job_id: str = self.request.scope["path_params"]["job_id"]
        return job_id

    def keep_admission(self) -> Admission:
        """The admission, to be ended when a streamed answer has."""
        return self.admission.take_on()

    def now(self) -> int:
        """The present time in ms."""
        return self.endpoint.world.timeline.now()

    def duration(self, name: str, low: int, high: int | None, default: int | None) -> int | None:
        """A duration of the query string in ms; raises OutOfRange."""
        if not self.request.scope["query_string"]:
            return default
        return wire.milliseconds(self.request.query_params, name, low, high, default, self.platform)

    def wait(self, default: int) -> int:
        """When a held answer must go out: now plus `?wait=`."""
        wait = self.duration("wait", self.platform.wait_min, self.platform.wait_max, default)
        return self.now() + (default if wait is None else wait)

    def count(self, name: str, default: int, low: int, high: int | None = None) -> int:
        """A whole number of the query string; raises InvalidQuery."""
        return wire.count(self.request.query_params, name, default, low, high)

    async def body(self, limit: int, row: str | None = None) -> bytes:
        """The whole body; raises BodyTooLarge, whose ledger row is `row`."""
        body = self.request.scope[BODY] = await read_body(self.request, limit, row)
        return body

    async def json(self, limit: int, row: str | None = None) -> bytes:
        """The same of a body that is not nested too deep; raises BodyTooLarge, InvalidBody."""
        body = await self.body(limit, row)
        if len(body) > _AT_ONCE:
            await asyncio.to_thread(check_depth, body, self.platform)
        elif len(body) > self.platform.json_depth_limit:
            check_depth(body, self.platform)
        return body

    def reply(self, row: str, body: bytes, status: int = 200) -> Response:
        """An answer whose evidence is ledger row `row`."""
        return Answer(body, status, self.ledger.header(row))


class Answer(Response):
    """An answer in JSON: nothing about its headers needs to be found out."""

    def __init__(self, body: bytes, status: int, fidelity: str) -> None:
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [
            (_FIDELITY, fidelity.encode()), (b"content-length", b"%d" % len(body)), _JSON
        ]  # fmt: skip


async def read_body(request: Request, limit: int, row: str | None = None) -> bytes:
    """The whole body; raises BodyTooLarge when it has more than `limit` bytes, of which no more are kept.

    The rest is read and dropped, so that the client gets to see the answer.
    """
    parts: list[bytes] = []
    announced = headers_of(request.scope).get(b"content-length", b"")
    size = int(announced) if announced.isdigit() and len(announced) < 20 else 0
    held, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more, part = message.get("more_body", False), message.get("body", b"")
        held += len(part)
        if held > limit or size > limit:
            size = limit + 1
            parts.clear()
        else:
            parts.append(part)
    if size > limit:
        raise BodyTooLarge(limit, row)
    return parts[0] if len(parts) == 1 else b"".join(parts)


Verb = Callable[[Call], Awaitable[Response]]
BalancedVerb = Callable[[Balancer, Emulator], Awaitable[Response]]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def world_of_client(request: HTTPConnection) -> Emulator:
    """The world that a client's header, or else its key, names, which only a client with a key makes.

    Raises NoToken, InvalidKey, NamespaceInvalid, NamespacesFull.
    """
    worlds: Worlds = request.app.state.worlds
    if not worlds.by_key and NAMESPACE not in headers_of(request.scope):
        return worlds.first
    world = known_world(request)
    if world is None:
        access: Access = request.app.state.access
        access.check(headers_of(request.scope).get(_AUTHORIZATION, b"").decode("latin-1"))
        world = world_of_admin(request)
    return world


def known_world(request: HTTPConnection) -> Emulator | None:
    """The same if there is one already."""
    worlds: Worlds = request.app.state.worlds
    return worlds.known(*_names(request, worlds))


def world_of_admin(request: HTTPConnection) -> Emulator:
    """The same for a caller who was let in already; raises NamespaceInvalid, NamespacesFull."""
    worlds: Worlds = request.app.state.worlds
    return worlds.of(*_names(request, worlds))


def _names(request: HTTPConnection, worlds: Worlds) -> tuple[str, str]:
    headers = headers_of(request.scope)
    key = bare_key(headers.get(_AUTHORIZATION, b"").decode("latin-1")) if worlds.by_key else ""
    return headers.get(NAMESPACE, b"").decode("latin-1"), key


def world_of_worker(request: Request) -> Emulator:
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


def answering(
    work: Callable[[Request, Emulator, HttpCaller], Awaitable[Response]],
    find_world: Callable[[Request], Emulator] = world_of_client,
    caller_of: Callable[[Request], HttpCaller] = HttpCaller,
) -> Handler:
    """A request handler that does `work`, and turns whatever goes wrong into an answer."""

    async def answer(request: Request) -> Response:
        caller = caller_of(request)
        emulator: Emulator | None = None
        try:
            emulator = request.scope[WORLD] = find_world(request)
            emulator.open_requests += 1
            return await work(request, emulator, caller)
        except RequestError as error:
            return problem(error, emulator or request.app.state.worlds.first)
        except (ClientDisconnect, asyncio.CancelledError):
            # Cancelled only by a stop of the server, for a request that did not come to its end.
            return Response(status_code=499)
        except Exception:
            log.exception("%s %s failed", request.method, request.url.path)
            return problem(InternalError(), emulator or request.app.state.worlds.first)
        finally:
            caller.answered()
            if emulator is not None:
                emulator.open_requests -= 1

    return answer


Find = Callable[[Request, Emulator], Awaitable[Endpoint]]


async def endpoint_in_path(request: Request, emulator: Emulator) -> Endpoint:
    """The endpoint in the path; raises EndpointNotFound, QueueCall."""
    endpoint_id = request.scope["path_params"]["endpoint_id"]
    return emulator.endpoints.get(endpoint_id) or emulator.endpoint(endpoint_id, verb_of(request))


def verb_of(request: Request) -> str:
    """The verb in a path such as /v2/<endpoint>/status/<job>."""
    path: str = request.scope["path"]
    return [part for part in path.split("/") if part][2]


def guarded(
    operation: Operation, verb: Verb, find: Find = endpoint_in_path, balanced: BalancedVerb | None = None
) -> Handler:
    """The request handler that lets a call through to `verb`, or answers why not; `find` says whose it is.

    `balanced` answers it on load-balancing endpoints; without it they refuse it.
    """

    async def let_in(request: Request, emulator: Emulator, caller: HttpCaller) -> Response:
        access: Access = request.app.state.access
        access.check(headers_of(request.scope).get(_AUTHORIZATION, b"").decode("latin-1"))
        caller.hurries = True
        balancer = emulator.balancers.get(request.scope["path_params"].get("endpoint_id", "")) if balanced else None
        if balancer is not None and balanced is not None:
            return await balanced(balancer, emulator)
        endpoint = await find(request, emulator)
        if not emulator.faults:
            return await _serve(verb, operation, request, emulator, endpoint, caller)
        serve = functools.partial(_serve, verb, operation, request, emulator, endpoint, caller)
        edge = Edge(request, endpoint, operation, caller, functools.partial(problem, emulator=emulator))
        return await edge.answer(serve)

    answer = answering(let_in)
    name = operation.value

    async def journaled(request: Request) -> Response:
        response = await answer(request)
        note(request, request.scope["path_params"].get("endpoint_id", FLASH), name, response.status_code)
        return response

    journaled.__name__ = name
    journaled.__doc__ = verb.__doc__
    return journaled


def note(request: HTTPConnection, endpoint_id: str, operation: str, status: int) -> None:
    """Write a request into the journal of its world."""
    scope = request.scope
    emulator: Emulator | None = scope.get(WORLD)
    if emulator is None:
        return
    path, query = scope["path"], scope["query_string"].decode("latin-1")
    job: str = scope.get(JOB, "") or scope.get("path_params", {}).get("job_id", "")
    method = scope.get("method", "WEBSOCKET")
    body = scope.get(BODY, b"")
    if body:
        scope[BODY] = b""  # a connection keeps the scope of its last request, and is a ring when it ends
    emulator.journal.add(
        emulator.timeline.now(), endpoint_id, operation, (method, path, query, scope["headers"]),
        body, status, job, scope.get(HEAD, 0),
    )  # fmt: skip


async def _serve(
    verb: Verb, operation: Operation, request: Request, emulator: Emulator, endpoint: Endpoint, caller: HttpCaller
) -> Response:
    with _admit(operation, endpoint) as admission:
        return await verb(Call(request, emulator, endpoint, caller, emulator.ledger, admission))


def problem(error: RequestError, emulator: Emulator) -> Response:
    """An error in the service's own shape."""
    headers = {FIDELITY: emulator.ledger.header(error.row), **error.headers}
    content_type = emulator.platform.error_content_type
    return Response(wire.problem(error), error.status, headers, media_type=content_type)


def _admit(operation: Operation, endpoint: Endpoint) -> Admission:
    world = endpoint.world
    if not world.rate_limits:
        return Admission()
    return endpoint.limits.admit(operation, world.timeline.now(), endpoint.fleet.running)
