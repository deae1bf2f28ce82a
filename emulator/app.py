"""The ASGI shell: doors, errors of the framework in the service's shape, CORS."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

from fastapi import APIRouter, FastAPI
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from emulator import __version__
from emulator.api import flash, openai, public, receiver, worker
from emulator.api.admin import alive
from emulator.api.admin.app import LateAdmin
from emulator.api.faults import FAULT
from emulator.api.guards import FIDELITY, Access, problem
from emulator.api.load_balancer import LateForwarder, LoadBalancer
from emulator.api.page import describe
from emulator.core.errors import ConfigurationError, MethodNotAllowed, NotEmulated, RequestError, RouteNotFound
from emulator.emulator import Emulator
from emulator.worlds import Worlds

ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

NOT_EMULATED = {
    "/v2/{endpoint_id}/batch": "the batch API",
    "/v2/{endpoint_id}/batch/{rest:path}": "the batch API",
    "/graphql": "the management API (GraphQL)",
}
"""Routes of the real service that answer 501, and what they are called."""

_ABOUT = """A local stand-in for `https://api.runpod.ai/v2/<endpoint_id>`.

Every answer carries `X-Emulator-Fidelity`: how well that answer of the real service is known."""


def create_app(
    worlds: Worlds | Emulator, access: Access, worker_access: Access | None = None, admin_access: Access | None = None
) -> FastAPI:
    """The application that serves these worlds.

    Workers need no key unless `worker_access` asks for one; the admin API is for
    callers on this machine, unless `admin_access` asks for a key.
    """
    if isinstance(worlds, Emulator):
        worlds = Worlds(worlds)
    emulator = worlds.first
    app = FastAPIOffline(
        title="runpod-emulator", version=__version__, description=_ABOUT, redirect_slashes=False, redoc_url=None
    )
    app.state.worlds = worlds
    app.state.admin_access = admin_access
    app.state.access = access
    app.state.worker_access = worker_access or Access(required=False)
    app.state.ready = False
    app.state.forwarder = LateForwarder()
    app.state.serve = _serves_no_more
    missing = [
        Route(path, _not_emulated(name), methods=ALL_METHODS, include_in_schema=False)
        for path, name in NOT_EMULATED.items()
    ]
    doors = [*public.router.routes, *openai.router.routes, *worker.routes, *flash.router.routes]
    quick = APIRouter()
    quick.include_router(alive.router, prefix="/__emulator")
    own = [*quick.routes, receiver.route, Mount("/__emulator", LateAdmin(app.state))]
    app.router.routes[:] = [*doors, *own, *missing, *app.router.routes]
    app.add_exception_handler(HTTPException, _framework_error)
    if emulator.platform.cors == "open":
        app.add_middleware(
            CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"],
            expose_headers=[FIDELITY, FAULT, "Retry-After", "RateLimit"],
        )  # fmt: skip
    app.add_middleware(TidyPath)
    app.add_middleware(LoadBalancer)
    plain = app.openapi
    app.openapi = functools.cache(lambda: describe(plain(), emulator.platform))  # type: ignore[method-assign]
    return app


async def _serves_no_more(world: Emulator, endpoint: str, table: object) -> None:
    raise ConfigurationError("this application has no server that could start workers")


class TidyPath:
    """Takes double and trailing slashes out of the path: a documented client default makes them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under its tidy path."""
        path: str = scope.get("path", "")
        if "//" in path or (path.endswith("/") and path != "/"):
            raw: bytes = scope.get("raw_path") or path.encode()
            tidy = "/" + "/".join(part for part in path.split("/") if part)
            tidy_raw = b"/" + b"/".join(part for part in raw.split(b"/") if part)
            scope = {**scope, "path": tidy, "raw_path": tidy_raw}
        await self.app(scope, receive, send)


def _not_emulated(name: str) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return problem(NotEmulated(name), request.app.state.worlds.first)

    return answer


async def _framework_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    ours: RequestError = RouteNotFound()
    if status == 405:
        ours = MethodNotAllowed(", ".join(_allowed(request)))
    return problem(ours, request.app.state.worlds.first)


def _allowed(request: Request) -> list[str]:
    methods: set[str] = set()
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return sorted(methods)
