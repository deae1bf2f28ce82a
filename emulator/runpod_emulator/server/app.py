"""The ASGI shell: doors, errors of the framework in the service's shape, CORS."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from runpod_emulator.core.errors import ConfigurationError, MethodNotAllowed, NotEmulated, RequestError, RouteNotFound
from runpod_emulator.core.secrets.tokens import WorkerKey, WorkerTokens
from runpod_emulator.core.time.clock import genuine_dates
from runpod_emulator.doors import alive, batch, flash, openai, public, receiver, ui, worker
from runpod_emulator.doors.load_balancer import LateForwarder, LoadBalancer
from runpod_emulator.doors.management import graphql, not_emulated
from runpod_emulator.doors.management.creating import no_images
from runpod_emulator.doors.own_door import OwnDoor
from runpod_emulator.doors.pages import Cors, PageGuard
from runpod_emulator.http.access import Access
from runpod_emulator.http.answers import problem
from runpod_emulator.http.bodies import Rest
from runpod_emulator.http.head import HeadAsGet
from runpod_emulator.http.names import OwnNames
from runpod_emulator.http.routing import ExactRoute, ShortCut
from runpod_emulator.http.safety_net import SafetyNet
from runpod_emulator.http.shield import Shielded
from runpod_emulator.http.strays import Strays
from runpod_emulator.server.unrouted import refuse_unrouted
from runpod_emulator.world.world import World
from runpod_emulator.world.worlds import Worlds

if TYPE_CHECKING:
    from fastapi import FastAPI

ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

NOT_EMULATED = not_emulated.MANAGEMENT
"""Routes of the real service that answer 501, and what they are called."""
MANAGEMENT = (
    "/v2/serverless",
    "/v2/serverless/{id}",
    "/v2/serverless/{id}/workers",
    "/v2/serverless/{id}/releases",
    "/v2/serverless/{id}/workers/{worker_id}/logs",
)
"""Routes of the management API, REST v2."""


class Application(Starlette):
    """The application that serves these worlds.

    Workers need no key unless `worker_access` asks for one; the admin API is for
    callers on this machine, unless `admin_access` asks for a key. What a handler starts
    reports by the token that `worker_tokens` made for its worker. `names` are those under which
    the admin API is called; without them it has those of this machine.
    """

    def __init__(
        self,
        worlds: Worlds,
        access: Access,
        worker_access: Access | None = None,
        admin_access: Access | None = None,
        worker_tokens: WorkerTokens | None = None,
        names: OwnNames | None = None,
    ) -> None:
        self._doors = [*public.routes, *openai.routes, *flash.routes]
        self._short_cut = ShortCut([*public.routes, *openai.routes, *worker.routes])
        self._always = [(b"vary", b"Origin")] if worlds.first.platform.cors != "none" else []
        """Headers that the layers add to every answer."""
        own = [*ui.routes, *alive.routes, receiver.route, Mount("/__emulator", LateApp(self._make_admin))]
        management = LateApp(self._make_management)
        own += [Route(path, management) for path in MANAGEMENT]
        super().__init__(
            routes=[
                *self._doors,
                *batch.routes,
                *worker.routes,
                *own,
                graphql.route,
                *_not_emulated_routes(),
                *self._page_routes(),
            ],
            middleware=[Middleware(SafetyNet, answer=self._fault), *_layers(worlds.first)],
            exception_handlers={HTTPException: _framework_error},
        )
        self.router.redirect_slashes = False
        self.state: Any = SimpleNamespace()  # Starlette's own looks each name up in Python, with every request
        self.state.worlds = worlds
        self.state.admin_access = admin_access
        self.state.names = names or OwnNames()
        self.state.access = access
        self.state.worker_access = worker_access or Access(required=False)
        self.state.worker_tokens = worker_tokens or WorkerTokens()
        self.state.worker_key = WorkerKey("", lasts=True)
        self.state.ready = False
        self.state.rest = Rest()
        self.state.forwarder = LateForwarder()
        self.state.serve = _serves_no_more
        self.state.plan_for = no_images

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: by the short cut, or through all layers."""
        handler = self._short_cut.find(scope) if scope["type"] == "http" else None
        if handler is None:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        response: Response = await handler(Request(scope, receive, send))
        response.raw_headers += self._always
        await response(scope, receive, send)

    def _fault(self, error: RequestError) -> Response:
        return problem(error, self.state.worlds.first)

    def openapi(self) -> dict[str, Any]:
        """What the API page says."""
        return self._page.get().openapi()

    def _page_routes(self) -> list[Route]:
        page = Shielded(self._page)
        files = [Route(path, page, methods=["GET"]) for path in ("/openapi.json", "/static-offline-docs/{file:path}")]
        return [ExactRoute("/docs", page, ["GET"]), *files]

    @functools.cached_property
    def _page(self) -> LateApp[FastAPI]:
        return LateApp(self._make_page)

    def _make_page(self) -> FastAPI:
        from runpod_emulator.doors.page import page_app

        page = page_app(self._doors, self.state.worlds.first.platform)
        page.add_exception_handler(HTTPException, _framework_error)
        page.add_middleware(SafetyNet, answer=self._fault)
        page.state.worlds = self.state.worlds
        return page

    def _make_management(self) -> FastAPI:
        from runpod_emulator.doors.management.app import management_app

        return management_app(self.state)

    def _make_admin(self) -> FastAPI:
        from runpod_emulator.doors.admin.app import admin_app

        return admin_app(self.state)


Made = TypeVar("Made", bound=ASGIApp)


class LateApp(Generic[Made]):
    """An application that is made for its first request: FastAPI takes longer to load than all the rest.

    A thread makes it, so that nobody else waits for that.
    """

    def __init__(self, make: Callable[[], Made]) -> None:
        self._make = make
        self._made: Made | None = None
        self._making: asyncio.Future[Made] | None = None

    def get(self) -> Made:
        """The application."""
        if self._made is None:
            self._made = self._load()
        return self._made

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        made = self._made or await self._make_aside()
        await made(scope, receive, send)

    async def _make_aside(self) -> Made:
        if self._making is None:
            self._making = asyncio.ensure_future(asyncio.to_thread(self._load))
            self._making.add_done_callback(self._note)
        return await asyncio.shield(self._making)

    def _load(self) -> Made:
        with genuine_dates():
            return self._make()

    def _note(self, making: asyncio.Future[Made]) -> None:
        self._making = None
        if not making.cancelled() and making.exception() is None:
            self._made = making.result()


def _layers(world: World) -> list[Middleware]:
    strays, platform = Middleware(Strays, options=world.log), world.platform
    behind = [Middleware(one) for one in (TidyPath, OwnDoor, PageGuard, HeadAsGet)]
    layers = [Middleware(LoadBalancer), strays, *behind]
    return layers if platform.cors == "none" else [*layers, Middleware(Cors, local=platform.cors == "local")]


def _not_emulated_routes() -> list[Route]:
    return [Route(path, _not_emulated(name), methods=ALL_METHODS) for path, name in NOT_EMULATED.items()]


async def _serves_no_more(world: World, endpoint: str, table: object) -> None:
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
        return await refuse_unrouted(request, NotEmulated(name))

    return answer


async def _framework_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    ours: RequestError = RouteNotFound()
    if not_emulated.is_management(request):
        ours = NotEmulated("this route of the management API")
    elif status == 405:
        ours = MethodNotAllowed(", ".join(_allowed(request)))
    return await refuse_unrouted(request, ours)


def _allowed(request: Request) -> list[str]:
    methods: set[str] = set()
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return sorted(methods)
