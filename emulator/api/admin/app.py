"""The admin API as an application of its own, with its own OpenAPI page. Built when it is first called."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from emulator import __version__
from emulator.api.guards import Access
from emulator.api.safety_net import SafetyNet
from emulator.core.errors import EmulatorError, MethodNotAllowed, RequestError, RouteNotFound

_ABOUT = """What tests and tools tell the emulator, and ask of it.

A namespace is chosen as clients choose it: by the header `X-Emulator-Namespace`, or by the key where the
server was started with `--namespaces key`. Times are milliseconds since the epoch, durations are text such as
`2s` or milliseconds."""


def admin_app(state: Any) -> FastAPI:
    """The application; `state` holds `worlds` and `admin_access`."""
    from emulator.api import alive
    from emulator.api.admin import hooks, mocks
    from emulator.api.admin import state as facts

    app = FastAPIOffline(title="runpod-emulator admin", version=__version__, description=_ABOUT, redoc_url=None)
    app.state.worlds = state.worlds
    app.state.serve = state.serve
    alive.describe(app)
    app.include_router(facts.router)
    app.include_router(mocks.router)
    app.include_router(hooks.router)
    app.add_exception_handler(RequestError, _known)
    app.add_exception_handler(EmulatorError, _refused)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    access: Access | None = state.admin_access

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


class RemoteAdmin(RequestError):
    """Without an admin key only callers on this machine are let in."""

    status = 403
    title = "Forbidden"
    detail = "the admin API is for this machine only; start the server with --admin-key KEY to open it"


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("", "testclient")


def _problem(status: int, title: str, detail: str) -> JSONResponse:
    return JSONResponse({"status": status, "title": title, "detail": detail}, status)


_NOT_SAID_TO_BE_JSON = "send JSON, with the header Content-Type: application/json"


def _answer(error: RequestError) -> JSONResponse:
    return _problem(error.status, error.title, error.detail)


async def _known(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    return _answer(error)


async def _refused(request: Request, error: Exception) -> Response:
    return _problem(400, "Bad Request", str(error))


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
    from emulator.mocking.forms import TAGS

    first = error.errors()[0]
    if isinstance(first.get("input"), bytes):
        return _problem(400, "Bad Request", _NOT_SAID_TO_BE_JSON)
    place = ".".join(str(part) for part in first["loc"] if part not in ("body", *TAGS))
    return _problem(400, "Bad Request", f"{place}: {first['msg'].removeprefix('Value error, ')}".removeprefix(": "))
