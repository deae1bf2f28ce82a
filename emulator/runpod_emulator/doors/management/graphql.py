"""The door `/graphql`: how clients of the management API list, deploy, change and delete endpoints without REST."""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any, NamedTuple

import orjson
from starlette.requests import Request
from starlette.responses import Response

from runpod_emulator.core.errors import MethodNotAllowed, RequestError
from runpod_emulator.core.graphql_errors import GraphQLInvalid
from runpod_emulator.http.access import Access
from runpod_emulator.http.answers import answering, note
from runpod_emulator.http.bodies import BODY
from runpod_emulator.http.call import FIDELITY, HttpCaller, read_body
from runpod_emulator.http.members import check_depth
from runpod_emulator.http.remarks import remarks_of
from runpod_emulator.http.routing import ExactRoute, headers_of
from runpod_emulator.http.why import why
from runpod_emulator.world.world import World

LONGEST = 1 << 20
"""Bytes of a body."""
_AUTHORIZATION = b"authorization"
_LATE = "runpod_emulator.doors.management.operations"
"""What needs the library of GraphQL, which takes a tenth of a second to load: nobody else waits for that."""


class _Asked(NamedTuple):
    query: str
    variables: dict[str, Any] | None
    name: str | None


async def ask(request: Request) -> Response:
    """Answer one operation. What goes wrong is in `errors`, as clients of GraphQL read it."""
    _take_key_of_query(request)
    answer = await answering(_answer, noted_as=None, refused=_refused)(request)
    note(request, "", "graphql", answer.status_code)
    return answer


def _take_key_of_query(request: Request) -> None:
    """Older clients send their key as `?api_key=`."""
    headers, key = headers_of(request.scope), request.query_params.get("api_key", "")
    if key and not headers.get(_AUTHORIZATION):
        headers[_AUTHORIZATION] = key.encode("latin-1", "replace")


async def _answer(request: Request, world: World, caller: HttpCaller) -> Response:
    access: Access = request.app.state.access
    access.check(headers_of(request.scope).get(_AUTHORIZATION, b"").decode("latin-1"))
    if request.method != "POST":
        raise MethodNotAllowed("POST")
    asked = _asked(await _body(request, world))
    if _LATE not in sys.modules:
        await asyncio.to_thread(importlib.import_module, _LATE)
    from runpod_emulator.doors.management.fields import fields_of
    from runpod_emulator.doors.management.operations import run

    told = await run(asked.query, asked.variables, asked.name, fields_of(request.app.state, world))
    if told.error is not None:
        remarks_of(request.scope).why = why(told.error, request.scope, world)
    return _response(told.body, 200, world, told.error.row if told.error else "graphql.answer")


async def _body(request: Request, world: World) -> bytes:
    body = request.scope[BODY] = await read_body(request, LONGEST)
    check_depth(body, world.platform)
    return body


def _asked(body: bytes) -> _Asked:
    """The operation that a body asks for; raises GraphQLInvalid."""
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise GraphQLInvalid("the body is no JSON: send an object with a query and its variables") from error
    if not isinstance(given, dict):
        raise GraphQLInvalid("the body is no object: send one operation, not a list of them")
    query, variables, name = given.get("query"), given.get("variables"), given.get("operationName")
    if not isinstance(query, str):
        raise GraphQLInvalid("query must be a text")
    if not isinstance(variables, dict | None):
        raise GraphQLInvalid("variables must be an object")
    if not isinstance(name, str | None):
        raise GraphQLInvalid("operationName must be a text")
    return _Asked(query, variables, name)


def _refused(request: Request, world: World, error: RequestError) -> Response:
    remarks_of(request.scope).why = why(error, request.scope, world)
    told = _response({"errors": [{"message": world.masks.text(error.detail)}]}, error.status, world, error.row)
    told.headers.update(error.headers)
    return told


def _response(told: Any, status: int, world: World, row: str) -> Response:
    headers = {FIDELITY: world.ledger.headers[row]}
    return Response(orjson.dumps(told), status, headers, media_type="application/json")


route = ExactRoute("/graphql", ask, ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
