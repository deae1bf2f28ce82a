"""Where webhook calls to the built-in receiver arrive: `/__emulator/hooks/<namespace>/<name>`, `-` for no namespace."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from runpod_emulator.core.errors import BodyTooLarge, NamespaceNotFound, RequestError
from runpod_emulator.core.records.receiver import Answer
from runpod_emulator.http.answers import problem
from runpod_emulator.http.call import HttpCaller, read_body
from runpod_emulator.http.faults import Reset
from runpod_emulator.world.feeds import NEWS
from runpod_emulator.world.world import World
from runpod_emulator.world.worlds import Worlds

LONGEST = 20 * 1024 * 1024
"""Bytes of the body of a call."""


async def receive(request: Request) -> Response:
    """Take one call; no key is asked for, as of any receiver."""
    path, worlds = request.path_params, request.app.state.worlds
    try:
        body = await read_body(request, LONGEST)
        answer = hand_over(worlds, path["namespace"], path["name"], dict(request.headers), body)
        if answer.delay:
            await _hold(world_of(worlds, path["namespace"]), answer.delay, request)
    except RequestError as error:
        return problem(error, worlds.first)
    return Reset() if answer.drops else Response(answer.body, answer.status, media_type=_kind(answer.body))


async def _hold(world: World, delay: int, request: Request) -> None:
    caller = HttpCaller(request)
    caller.hurries = True
    try:
        with world.visited():
            await world.wait_to_answer(delay, caller)
    finally:
        caller.answered()


def _kind(body: bytes) -> str | None:
    """The media type of an answer's body."""
    if not body:
        return None
    try:
        json.loads(body)
    except ValueError:
        return "text/plain"
    return "application/json"


def world_of(worlds: Worlds, namespace: str) -> World:
    """The world that the path of a call names; raises NamespaceNotFound."""
    world = worlds.first if namespace == "-" else worlds.known(namespace)
    if world is None:
        raise NamespaceNotFound(namespace)
    return world


def hand_over(worlds: Worlds, namespace: str, name: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Give a call to the receiver of a world; returns its answer.

    Raises NamespaceNotFound, BodyTooLarge.
    """
    world = world_of(worlds, namespace)
    if len(body) > LONGEST:
        raise BodyTooLarge(LONGEST)
    answer = world.receiver.take(world.timeline.now(), name, headers, body)
    world.room.call(NEWS)
    return answer


def is_call(scope: Scope) -> bool:
    """Whether a request is such a call, and none of the admin API about them."""
    return scope.get("method") == "POST" and bool(_CALL.fullmatch(scope["path"]))


PATH = "/__emulator/hooks/"
_CALL = re.compile(PATH + "[^/]+/[^/]+")
route = Route(PATH + "{namespace}/{name}", receive, methods=["POST"], include_in_schema=False)
