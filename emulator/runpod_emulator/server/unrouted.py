"""Requests that no route has, or that meet one by a wrong method, or one that is not emulated: what becomes of them.

They are refused in the service's shape, and the effects of the world that they mean are told as of any other refusal: a
client that misspells a path is seen in the log, in the journal, on the page, and by a strict test.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from runpod_emulator.core.errors import RequestError
from runpod_emulator.doors.own_door import is_own
from runpod_emulator.http.access import known_world
from runpod_emulator.http.answers import WORLD, note, problem
from runpod_emulator.http.bodies import has_body
from runpod_emulator.http.remarks import remarks_of
from runpod_emulator.world.world import World

_OF_PAGES = (
    "/docs", "/openapi.json", "/static-offline-docs/", "/favicon.ico", "/robots.txt", "/apple-touch-icon",
    "/.well-known/",
)  # fmt: skip
"""How paths begin that are the API page's, or for which browsers ask unasked."""


async def refuse_unrouted(request: Request, error: RequestError) -> Response:
    """An error as the answer; the journal has the request, with "" for its operation.

    A world that nobody has named before is not made for it: then the log alone has the request, as it has what browsers
    ask of themselves before a page's request to another origin.
    """
    scope = request.scope
    remarks_of(scope).why = error.why
    first: World = request.app.state.worlds.first
    if not (is_own(scope) or scope["path"].startswith(_OF_PAGES) or _is_preflight(scope)):
        world = known_world(request)
        age = None if world is None else world.resets
        if scope["method"] != "GET" and has_body(scope):
            await request.app.state.rest.keep(request)
        if world is not None and age == world.resets:  # a reset forgets what was on its way
            scope[WORLD] = world
            note(request, _endpoint_of(scope), "", error.status)
    return problem(error, first)


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


def _endpoint_of(scope: Scope) -> str:
    """The endpoint that a path names, "" for none."""
    parts: list[str] = scope["path"].split("/")
    found: str = scope.get("path_params", {}).get("endpoint_id", "")
    return found or (parts[2] if parts[1:2] == ["v2"] and len(parts) > 2 else "")
