"""What stands before the management API: whose world is meant, the key, the quota; and what the journal has of it."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runpod_emulator.core.errors import InvalidKey, NoToken, RequestError
from runpod_emulator.core.management_errors import AccessDenied, MissingToken
from runpod_emulator.core.quota import Quota, windows_of
from runpod_emulator.core.rates import MANAGEMENT
from runpod_emulator.core.records.news import LONGEST_BODY
from runpod_emulator.doors.management.problems import problem
from runpod_emulator.http.access import Access, world_of_client
from runpod_emulator.http.answers import WORLD, note
from runpod_emulator.http.bodies import BODY, has_body
from runpod_emulator.http.remarks import remarks_of
from runpod_emulator.http.safety_net import SafetyNet
from runpod_emulator.world.world import World


class Quotas:
    """The quota of each world, which begins anew with a reset."""

    def __init__(self) -> None:
        self._quotas: WeakKeyDictionary[World, tuple[int, Quota]] = WeakKeyDictionary()

    def of(self, world: World) -> Quota:
        """The quota of a world."""
        resets, quota = self._quotas.get(world, (-1, None))
        if quota is None or resets != world.resets:
            quota = Quota(windows_of(world.platform))
            self._quotas[world] = world.resets, quota
        return quota


class Guard:
    """Lets requests in, each with its world in the scope, or answers why not."""

    def __init__(self, app: ASGIApp, quotas: Quotas) -> None:
        self.app = app
        self._quotas = quotas

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        state = request.app.state
        headers: dict[str, str] = {}
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(headers)
            await send(message)

        world: World = state.worlds.first
        try:
            world = scope[WORLD] = world_of_client(request)
            check(request, state)
            await self._spend(world, headers)
        except RequestError as error:
            error = MissingToken() if isinstance(error, NoToken) else error
            remarks_of(scope).why = error.why
            await problem(world, error)(scope, receive, sending)
        else:
            with world.visited():
                await self._answer(world, scope, _heard(scope, receive), sending)
        if BODY not in scope and scope["method"] != "GET" and has_body(scope):
            await state.rest.keep(request)
        note(request, _endpoint_of(scope), MANAGEMENT, status)

    async def _spend(self, world: World, headers: dict[str, str]) -> None:
        """Count a request; what is left goes into the headers of its answer. Raises QuotaSpent."""
        at = await world.timeline.present() + world.timeline.drift()
        if not world.rate_limits:
            return
        quota = self._quotas.of(world)
        try:
            quota.spend(at)
        finally:
            headers.update(quota.headers(at))

    async def _answer(self, world: World, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on; a fault of the emulator is an answer in the API's shape, too."""
        await SafetyNet(self.app, lambda error: problem(world, error))(scope, receive, send)


def _heard(scope: Scope, receive: Receive) -> Receive:
    """A `receive` that leaves the beginning of the body in the scope, for the journal."""

    async def receiving() -> Message:
        message = await receive()
        if message["type"] == "http.request":
            scope[BODY] = (scope.get(BODY, b"") + message.get("body", b""))[: LONGEST_BODY + 1]
        return message

    return receiving


def check(request: Request, state: Any) -> None:
    """Accept a client's key; raises NoToken, InvalidKey, AccessDenied for one that only workers have."""
    access: Access = state.access
    workers: Access = state.worker_access
    shown = request.headers.get("authorization")
    try:
        access.check(shown)
    except InvalidKey:
        if workers.keys:
            workers.check(shown)
            raise AccessDenied from None
        raise


def _endpoint_of(scope: Scope) -> str:
    """The endpoint that a path names, "" for none."""
    parts: list[str] = scope["path"].split("/")
    return parts[3] if len(parts) > 3 else ""
