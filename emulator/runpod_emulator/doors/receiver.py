"""Where webhook calls to the built-in receiver arrive: `/__emulator/hooks/<namespace>/<name>`, `-` for no namespace."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from runpod_emulator.core.errors import BodyTooLarge, NamespaceNotFound, RequestError
from runpod_emulator.http.answers import problem
from runpod_emulator.http.call import read_body
from runpod_emulator.world.feeds import NEWS
from runpod_emulator.world.worlds import Worlds

LONGEST = 20 * 1024 * 1024
"""Bytes of the body of a call."""


async def receive(request: Request) -> Response:
    """Take one call; no key is asked for, as of any receiver."""
    path = request.path_params
    try:
        body = await read_body(request, LONGEST)
        status = hand_over(request.app.state.worlds, path["namespace"], path["name"], dict(request.headers), body)
    except RequestError as error:
        return problem(error, request.app.state.worlds.first)
    return Response(status_code=status)


def hand_over(worlds: Worlds, namespace: str, name: str, headers: Mapping[str, str], body: bytes) -> int:
    """Give a call to the receiver of a world; returns the status of its answer.

    Raises NamespaceNotFound, BodyTooLarge.
    """
    world = worlds.first if namespace == "-" else worlds.known(namespace)
    if world is None:
        raise NamespaceNotFound(namespace)
    if len(body) > LONGEST:
        raise BodyTooLarge(LONGEST)
    status = world.receiver.take(world.timeline.now(), name, headers, body)
    world.room.call(NEWS)
    return status


def is_call(scope: Scope) -> bool:
    """Whether a request is such a call, and none of the admin API about them."""
    return scope.get("method") == "POST" and bool(_CALL.fullmatch(scope["path"]))


PATH = "/__emulator/hooks/"
_CALL = re.compile(PATH + "[^/]+/[^/]+")
route = Route(PATH + "{namespace}/{name}", receive, methods=["POST"], include_in_schema=False)
