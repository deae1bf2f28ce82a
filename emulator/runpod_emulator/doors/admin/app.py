"""The admin API as an application of its own, with its own OpenAPI page. Built when it is first called."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from runpod_emulator import __version__
from runpod_emulator.core.door_errors import Forbidden
from runpod_emulator.core.errors import EmulatorError, MethodNotAllowed, RequestError, RouteNotFound
from runpod_emulator.doors.admin.bodies import JsonBodies
from runpod_emulator.doors.admin.schema import mended
from runpod_emulator.doors.swagger import add_page
from runpod_emulator.http.access import Access
from runpod_emulator.http.safety_net import SafetyNet
from runpod_emulator.world.worlds import Worlds

_ABOUT = """What tests and tools tell the emulator, and ask of it.

A namespace is chosen as clients choose it: by the header `X-Emulator-Namespace`, or by the key where the
server was started with `--namespaces key`. Times are milliseconds since the epoch, durations are text such as
`2s` or milliseconds."""

_LONGEST = 2_000
"""Characters of an error's text that are shown."""


def admin_app(state: Any) -> FastAPI:
    """The application; `state` holds `worlds` and `admin_access`."""
    from runpod_emulator.doors import alive
    from runpod_emulator.doors.admin import hooks, keys, lives, metrics, mocks, overview, snapshots, timeline
    from runpod_emulator.doors.admin import state as facts

    app = FastAPIOffline(None, None, title="runpod-emulator admin", version=__version__, description=_ABOUT)
    add_page(app, "/__emulator")
    described = app.openapi
    app.openapi = functools.cache(lambda: mended(described()))  # type: ignore[method-assign]
    app.state.worlds = state.worlds
    app.state.serve = state.serve
    app.state.worker_key = state.worker_key
    app.state.admin_access = state.admin_access
    app.state.tallies = WeakKeyDictionary()
    app.state.examples = overview.examples_of_handlers()
    alive.describe(app)
    app.include_router(overview.router)
    app.include_router(facts.router)
    app.include_router(snapshots.router)
    app.include_router(timeline.router)
    app.include_router(lives.router)
    app.include_router(metrics.router)
    app.include_router(mocks.router)
    app.include_router(hooks.router)
    app.include_router(keys.router)
    app.add_exception_handler(RequestError, _known)
    app.add_exception_handler(EmulatorError, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    access: Access | None = state.admin_access

    app.add_middleware(JsonBodies, answer=_answer)

    @app.middleware("http")
    async def let_in(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            _check(request, access)
        except RequestError as error:
            return _answer(error)
        return await go_on(request)

    app.add_middleware(SafetyNet, answer=_answer)
    return app


def _check(request: Request, access: Access | None) -> None:
    if access is not None:
        access.check(request.headers.get("authorization"))
    elif not _is_local(request.client.host if request.client else ""):
        raise RemoteAdmin


class RemoteAdmin(Forbidden):
    """Without an admin key only callers on this machine are let in."""

    detail = (
        "the admin API is for this machine only: start the server with --admin-key KEY, and send the header "
        "'Authorization: Bearer KEY', to use it from another (the host of a container is another)"
    )


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("", "testclient")


def _problem(status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"status": status, "title": title, "detail": detail}, status, headers)


def _answer(error: RequestError) -> JSONResponse:
    return _problem(error.status, error.title, error.detail, error.headers)


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _problem(error.status, error.title, _shown(request, error.detail), error.headers)


async def _refused(request: Request, error: Exception) -> Response:
    return _problem(400, "Bad Request", _shown(request, str(error)))


def _shown(request: Request, text: str) -> str:
    """What an error says of what somebody has written, without secrets."""
    worlds: Worlds = request.app.state.worlds
    return worlds.first.masks.text(text)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # a body that Python cannot hold, such as a number of 5,000 digits
        return _problem(400, "Bad Request", str(error.detail))
    ours: RequestError = RouteNotFound()
    if error.status_code == 405:
        ours = MethodNotAllowed((error.headers or {}).get("Allow", ""))
    answer = _problem(ours.status, ours.title, ours.detail)
    answer.headers.update(ours.headers)
    return answer


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    from runpod_emulator.mocking.forms import TAGS
    from runpod_emulator.mocking.words import reason_of

    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", *TAGS))
    detail = f"{place}: {reason_of(first)}".removeprefix(": ")
    return _problem(400, "Bad Request", _shown(request, detail[:_LONGEST]))
