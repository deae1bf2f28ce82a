"""What stands before the verbs that clients call: the key, the endpoint, faults, rate limits."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from runpod_emulator.core.endpoint.balancer import Balancer
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.errors import EndpointNotFound
from runpod_emulator.core.rates import Admission, Operation
from runpod_emulator.core.settings import BATCHES
from runpod_emulator.http.access import Access
from runpod_emulator.http.answers import Handler, answering, problem, refusal
from runpod_emulator.http.bodies import LET_IN
from runpod_emulator.http.call import Call, HttpCaller
from runpod_emulator.http.faults import Edge
from runpod_emulator.http.routing import HEADERS
from runpod_emulator.world.world import World

_AUTHORIZATION = b"authorization"

Verb = Callable[[Call], Awaitable[Response]]
BalancedVerb = Callable[[Balancer, World], Awaitable[Response]]
Find = Callable[[Request, World], Awaitable[Endpoint]]


async def endpoint_in_path(request: Request, emulator: World) -> Endpoint:
    """The endpoint that a client names in the path; raises EndpointNotFound, QueueCall."""
    if request.scope["path_params"]["endpoint_id"].endswith(BATCHES):
        raise EndpointNotFound
    return queue_in_path(request, emulator)


def queue_in_path(request: Request, emulator: World) -> Endpoint:
    """The endpoint that a worker names, or the queue for the batches of one; raises EndpointNotFound, QueueCall."""
    endpoint_id = request.scope["path_params"]["endpoint_id"]
    return emulator.endpoints.queues.get(endpoint_id) or emulator.endpoints.queue(endpoint_id, verb_of(request))


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

    async def let_in(request: Request, emulator: World, caller: HttpCaller) -> Response:
        access: Access = request.app.state.access
        access.check(request.scope[HEADERS].get(_AUTHORIZATION, b"").decode("latin-1"))
        caller.hurries = True
        if emulator.polls is not None:
            caller.come(emulator.timeline)
        balancer = (
            emulator.endpoints.balancers.get(request.scope["path_params"].get("endpoint_id", "")) if balanced else None
        )
        if balancer is not None and balanced is not None:
            return await balanced(balancer, emulator)
        endpoint = await find(request, emulator)
        if not emulator.faults.rules:
            return await _serve(verb, operation, request, emulator, endpoint, caller)
        serve = functools.partial(_serve, verb, operation, request, emulator, endpoint, caller)
        made, refused = functools.partial(problem, emulator=emulator), functools.partial(refusal, request, emulator)
        edge = Edge(request, endpoint, operation, caller, made, refused)
        return await edge.answer(serve)

    answer = answering(let_in, noted_as=operation.value)
    answer.__name__ = operation.value
    answer.__doc__ = verb.__doc__
    return answer


async def _serve(
    verb: Verb, operation: Operation, request: Request, emulator: World, endpoint: Endpoint, caller: HttpCaller
) -> Response:
    at = request.scope[LET_IN] = await emulator.timeline.present()
    admission = await endpoint.limits.admit(operation, at) if emulator.rate_limits else Admission()
    with admission:
        call = Call(request, emulator, endpoint, caller, emulator.ledger, admission, endpoint.platform, at)
        return await verb(call)
