"""Errors of the management API as its clients read them: `application/problem+json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from runpod_emulator.core.errors import ConfigurationError, InvalidBody, MethodNotAllowed, RequestError, RouteNotFound
from runpod_emulator.core.management_errors import Unprocessable
from runpod_emulator.http.answers import WORLD
from runpod_emulator.http.call import FIDELITY
from runpod_emulator.http.remarks import remarks_of
from runpod_emulator.world.world import World

TYPE = "application/problem+json"
_NO_NAMES = frozenset(("body", "query", "header", "path", "Gpu", "GpuChange", "QUEUE_DELAY", "REQUEST_COUNT"))
"""Parts of a place that are no member's name: where it was sent, and which form of several is meant."""
_MOST, _LONGEST = 100, 500
"""Errors that are told, and characters of each."""


def problem(world: World, error: RequestError) -> Response:
    """An error as the answer, without the server's own secrets."""
    errors = [world.masks.text(one) for one in getattr(error, "errors", ())]
    body: dict[str, Any] = {"title": error.title, "status": error.status, "detail": world.masks.text(error.detail)}
    if errors:
        body["errors"] = errors
    row = error.row if error.row in world.ledger.headers else "error.management"
    headers = {FIDELITY: world.ledger.headers[row], **error.headers}
    return Response(orjson.dumps(body, default=str), error.status, headers, media_type=TYPE)


async def known(request: Request, error: Exception) -> Response:
    """An error of ours; one of the configuration is the fault of what was asked for."""
    if isinstance(error, ConfigurationError):
        error = Unprocessable(str(error)[:2_000])
    assert isinstance(error, RequestError)
    remarks_of(request.scope).why = error.why
    return problem(request.scope[WORLD], error)


async def invalid(request: Request, error: Exception) -> Response:
    """A body that is no JSON, or fields that cannot be."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(one["type"] == "json_invalid" for one in found):
        return await known(request, InvalidBody("not valid JSON"))
    return await known(request, Unprocessable(errors=_told(found)))


def _told(found: Sequence[Any]) -> list[str]:
    told = []
    for one in found[:_MOST]:
        if one["type"] == "none_required":
            continue  # it only says that what was sent is not left out
        place = ".".join(str(part) for part in one["loc"] if part not in _NO_NAMES and "[" not in str(part))
        said = one["msg"].removeprefix("Value error, ")
        told.append(f"{place}: {said}".removeprefix(": ")[:_LONGEST].encode("utf-8", "replace").decode())
    return told


async def of_framework(request: Request, error: Exception) -> Response:
    """A path or a method that there is not."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return await known(request, MethodNotAllowed((error.headers or {}).get("Allow", "")))
    return await known(request, InvalidBody() if error.status_code == 400 else RouteNotFound())
