"""A server: its ports, the emulator behind them, its start and its stop."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import os
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

from runpod_emulator.config.exposure import exposure
from runpod_emulator.config.file import EndpointTable
from runpod_emulator.config.plans import Plan, clock_of, plan_all, plan_one
from runpod_emulator.config.settings import Settings
from runpod_emulator.core.errors import ConfigurationError, RequestError
from runpod_emulator.core.fleet.capacity import Capacity
from runpod_emulator.core.networks import Reach
from runpod_emulator.core.records.receiver import Answer
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.core.secrets.tokens import WorkerKey, WorkerTokens
from runpod_emulator.core.settings import default_settings
from runpod_emulator.core.time.clock import AutoClock, RealClock, VirtualClock
from runpod_emulator.doors import receiver
from runpod_emulator.effects.own_post import arriving_headers
from runpod_emulator.effects.request_log import LogOptions
from runpod_emulator.effects.webhooks import PER_HOST
from runpod_emulator.http import wire
from runpod_emulator.http.access import Access
from runpod_emulator.http.names import OwnNames
from runpod_emulator.mocking.openai import LazyModel
from runpod_emulator.server.app import Application
from runpod_emulator.server.app_reload import AppReload
from runpod_emulator.server.listeners import Listeners
from runpod_emulator.server.otel import Export
from runpod_emulator.server.port_file import PortFile
from runpod_emulator.server.shared import StoreMaker
from runpod_emulator.workers.command import Command
from runpod_emulator.workers.debug_port import DebugPort
from runpod_emulator.workers.environment import client_urls, server_environment, worker_environment
from runpod_emulator.workers.http_server import HttpServer
from runpod_emulator.workers.ports import Ports
from runpod_emulator.workers.program import Program
from runpod_emulator.workers.runner.isolation import GATE
from runpod_emulator.workers.volume import VolumeLink
from runpod_emulator.world.stillness import Mention
from runpod_emulator.world.world import World
from runpod_emulator.world.worlds import Worlds

if TYPE_CHECKING:
    from runpod_emulator.core.mocks.stubs import Stub
    from runpod_emulator.mocking.faults import Fault
    from runpod_emulator.mocking.start import Mocking
    from runpod_emulator.server.keeper import Keeper
    from runpod_emulator.server.loans import Loans

log = logging.getLogger("runpod_emulator")

_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
DEFAULT_KEY = "runpod-emulator"
"""What a client may send where any key is accepted."""

_CLOCKS: dict[str, type[RealClock | VirtualClock]] = {"real": RealClock, "virtual": VirtualClock, "auto": AutoClock}


class Server:
    """One port, or further ones for HTTPS and for a proxy, with one emulator behind them.

    `terminal` is lent to workers that stop at a breakpoint.
    Raises PortTaken when a port is in use, ConfigurationError for a wrong setting or handler.
    """

    def __init__(self, settings: Settings, terminal: Loans | None = None) -> None:
        self.settings = settings
        self.terminal = terminal
        self._port_file = None if settings.port_file is None else PortFile(settings.port_file)
        if self._port_file is not None:
            self._port_file.clear()
        plans = plan_all(settings)
        self.seed = random.SystemRandom().getrandbits(32) if settings.seed is None else settings.seed
        self.plans = plans
        images = settings.images
        self.clock = clock_of(settings, plans)
        self._stubs, self._faults = _read_mocking(settings)
        self._capacity = Capacity(settings.max_processes or len(plans) + 2 * (os.cpu_count() or 1))
        self._listeners = Listeners(settings)
        self._http = self._listeners.plain
        self.port = self._http.number
        self.tls_port = None if self._listeners.secure is None else self._listeners.secure.number
        self._worker_ports = Ports()
        self._volume = VolumeLink()
        self._tokens = WorkerTokens()
        self._log = LogOptions(settings.log_requests or "errors", settings.namespaces == "key")
        self.masks = Masks(settings.secrets)
        self._traces = Export(settings.otel)
        self.shared = None if settings.store is None else StoreMaker(settings.store, self.clock)
        self.emulator = self._make_world("")
        self.worlds = Worlds(
            self.emulator, self._open_world, settings.namespaces == "key", self.key, settings.max_namespaces
        )
        access = Access(not settings.no_auth, frozenset(settings.api_key))
        worker_access = Access(bool(settings.worker_keys), frozenset(settings.worker_keys))
        admin_access = Access(True, frozenset(settings.admin_key)) if settings.admin_key else None
        names = OwnNames([settings.host, *settings.tls_name, *settings.allowed_host])
        self.app = Application(self.worlds, access, worker_access, admin_access, self._tokens, names)
        self.app.state.serve = self.serve
        self.app.state.plan_for = images.plan_for
        self.app.state.worker_key = self.worker_key
        self._watching: list[asyncio.Task[None]] = []
        self._keeper = self._kept()

    def _kept(self) -> Keeper | None:
        """What keeps the worlds in a file, where that is wanted; its part of the program is loaded for that."""
        if self.settings.state is None:
            return None
        if self.shared is not None:
            self._listeners.release()
            raise ConfigurationError("--state and --store exclude each other: a store keeps the jobs itself")
        from runpod_emulator.server.keeper import Keeper
        from runpod_emulator.server.state_file import StateFile

        try:
            return Keeper(StateFile(self.settings.state))
        except ConfigurationError:
            self._listeners.release()
            raise

    @property
    def is_closed(self) -> bool:
        """Whether its ports are closed again."""
        return self._http.is_closed

    @property
    def ca_file(self) -> Path | None:
        """What clients trust the server by over HTTPS; None when that is not served."""
        return self._listeners.ca_file

    @property
    def proxy_url(self) -> str | None:
        """What clients set as HTTPS_PROXY; None where there is no proxy."""
        return self._listeners.proxy_url

    @property
    def process_plans(self) -> list[Plan]:
        """The endpoints whose handlers run in worker processes of ours."""
        return [plan for plan in self.plans if plan.service.handler and not plan.service.balanced]

    @property
    def broken(self) -> dict[str, str]:
        """What can't be started as its code is now, and why; only with --reload there is such a thing."""
        served = {plan.settings.id: self.masks.text(str(plan.service)) for plan in self.plans}
        broken = self.emulator.endpoints.flaws.broken.items()
        return {served.get(endpoint, endpoint): self.masks.text(reason) for endpoint, reason in broken}

    @property
    def base_url(self) -> str:
        """What clients set as RUNPOD_ENDPOINT_BASE_URL."""
        return f"http://{self._listeners.reachable}:{self.port}/v2"

    @property
    def tls_base_url(self) -> str | None:
        """What clients set as RUNPOD_ENDPOINT_BASE_URL over HTTPS; None when that is not served."""
        return None if self.tls_port is None else f"https://{self._listeners.reachable}:{self.tls_port}/v2"

    @property
    def key(self) -> str:
        """A key that the server accepts."""
        return self.settings.api_key[0] if self.settings.api_key else DEFAULT_KEY

    @property
    def worker_key(self) -> WorkerKey:
        """A key that the server accepts of workers."""
        settings = self.settings
        asked = [*settings.worker_keys, DEFAULT_KEY]
        return WorkerKey(asked[0], bool(settings.worker_key) or not settings.worker_keys)

    def client_environment(self) -> dict[str, str]:
        """Environment variables that point RunPod clients here: over HTTPS, and trusting it, where that is served."""
        named = {**client_urls(self.tls_base_url or self.base_url), "RUNPOD_API_KEY": self.key}
        return {**named, **self._listeners.client_environment()}

    def _make_world(self, name: str) -> World:
        """A world with the server's endpoints and stubs, and the server's seed."""
        settings = self.settings
        is_key = bool(name) and settings.namespaces == "key"
        shared = {} if self.shared is None else self.shared.parts_of(name, is_key)
        world = World(
            settings.platform(),
            wire.webhook_body,
            **shared,
            clock=_CLOCKS[self.clock](),
            own_calls=self._take_own,
            reach=Reach(settings.webhook_allow, settings.webhook_deny),
            capacity=self._capacity,
            rate_limits=not settings.no_rate_limits,
            seed=self.seed,
            tracer=self._traces.tracer,
            keep_bytes=settings.keep_bytes,
            log=self._log,
            calls_per_host=1 if self.clock == "virtual" else PER_HOST,  # what is due in one moment comes in order
            masks=self.masks.and_known(name) if is_key else self.masks,
        )
        for plan in self.plans:
            self.add(world, name, plan)
        for endpoint in self._mocked(world):
            world.endpoints.add_mock(default_settings(endpoint, world.platform))
        self._keep_mocking(world)
        if self.clock == "virtual":
            world.timeline.leaps.in_vain = Mention(world).begin
        world.endpoints.starts.keep()
        return world

    def _take_own(self, url: str, body: bytes) -> Answer | None:
        """Take a webhook call that is for the built-in receiver; None for one that is not."""
        here = self.base_url.removesuffix("/v2") + receiver.PATH
        namespace, _, name = url.removeprefix(here).partition("/")
        if not url.startswith(here) or not _PLAIN.fullmatch(namespace) or not _PLAIN.fullmatch(name):
            return None
        try:
            return receiver.hand_over(self.worlds, namespace, name, arriving_headers(url, body), body)
        except RequestError as error:
            return Answer(error.status)

    def _mocked(self, world: World) -> list[str]:
        """Endpoints that stubs of files name, and that nobody serves."""
        named = dict.fromkeys(stub.endpoint for stub in self._stubs if stub.names_endpoint)
        return [endpoint for endpoint in named if endpoint not in world.endpoints]

    def _keep_mocking(self, world: World) -> None:
        world.stubs.keep_instead([dataclasses.replace(stub) for stub in self._stubs])
        world.faults.keep_instead([fault.to_core(world.timeline.now()) for fault in self._faults])

    async def _watch_mocking(self) -> None:
        from runpod_emulator.mocking.watch import watch_mocking

        await watch_mocking(self.settings.stubs, self.settings.fault_profile, self._mock_anew)

    def _mock_anew(self, mocking: Mocking) -> None:
        self._stubs, self._faults = mocking.stubs, mocking.faults
        for world in self.worlds:
            for endpoint in self._mocked(world):
                world.endpoints.add_mock_now(endpoint)
            self._keep_mocking(world)

    async def serve(self, world: World, endpoint: str, table: EndpointTable) -> None:
        """One endpoint more in one of the worlds; raises ConfigurationError, also for a handler that can't start."""
        plan = plan_one(self.settings, endpoint, table)
        self._volume.keep_for({one for world in self.worlds for one in world.endpoints})
        self._offer_volumes(plan)
        self.add(world, self.worlds.name_of(world), plan)
        await world.endpoints.start_one(endpoint)

    def _offer_volumes(self, *plans: Plan) -> None:
        for plan in plans:
            if plan.volume is not None and (plan.service.handler or plan.service.command):
                self._volume.offer(plan.settings.id, plan.volume)

    def _open_world(self, name: str) -> World:
        """A world that is made while the server runs; its workers come when there are jobs."""
        world = self._make_world(name)
        world.endpoints.open()
        if self.shared is not None:
            self.shared.open_later(world)
        return world

    def add(self, world: World, namespace: str, plan: Plan) -> None:
        """One endpoint more, whose workers are not begun with."""
        service, reload = plan.service, self.settings.reload
        fresh = {"PYTHONDONTWRITEBYTECODE": "1"} if reload else {}  # a stale .pyc may pass for new, within a second
        if service.balanced:
            world.endpoints.add_balancer(plan.settings, self._http_server(plan, fresh))
        elif service.handler:
            program = Program(
                service.handler, plan.python, {**plan.environment, **fresh}, plan.concurrency, plan.directory,
                folder=plan.folder if reload else None, rules=plan.rules, stop_grace=plan.stop_grace,
                ports=self._worker_ports,
                protocol=functools.partial(self._process_environment, namespace, plan.settings.id),
                never_started=plan.never_started, terminal=self.terminal, shown=plan.of_app,
                debug=DebugPort(plan.debug_port) if plan.debug_port and not namespace else None,
            )  # fmt: skip
            world.endpoints.add_program(plan.settings, program)
        elif service.command:
            url = f"http://127.0.0.1:{GATE}" if plan.isolated else ""
            protocol = functools.partial(self._worker_environment, namespace, plan.settings.id, url=url)
            command = Command(
                service.command, protocol, plan.directory, {**plan.environment, **fresh}, reload,
                service.advice, plan.stop_grace, self._worker_ports,
                self._http.admit if plan.isolated else None,
            )  # fmt: skip
            world.endpoints.add_command(plan.settings, command)
        elif service.mock:
            model = LazyModel(plan.model) if service.openai else None
            world.endpoints.add_mock(plan.settings, plan.concurrency, model)
        else:
            world.endpoints.add_remote(plan.settings)

    def _http_server(self, plan: Plan, fresh: dict[str, str]) -> HttpServer:
        url = self.base_url.removesuffix("/v2")

        def environment(worker: str, port: int, health_port: int, health_path: str) -> dict[str, str]:
            return server_environment(url, plan.settings.id, worker, self.key, port, health_port, health_path)

        return HttpServer(
            environment, plan.service.handler or "", plan.service.command, plan.python,
            plan.directory, {**plan.environment, **fresh}, self.settings.reload, plan.stop_grace,
            self._worker_ports, plan.folder if plan.of_app else None, plan.of_app,
        )  # fmt: skip

    def _worker_environment(self, namespace: str, endpoint: str, worker: str, url: str = "") -> dict[str, str]:
        url = url or self.base_url.removesuffix("/v2")
        return worker_environment(url, endpoint, worker, self.worker_key.key, self.key, namespace, self._pings)

    def _process_environment(self, namespace: str, endpoint: str, worker: str) -> dict[str, str]:
        """The environment of a worker process, whose token opens the worker protocol for its own jobs alone."""
        token = self._tokens.token(namespace, endpoint, worker)
        url = self.base_url.removesuffix("/v2")
        return worker_environment(url, endpoint, worker, token, self.key, namespace, self._pings)

    @property
    def _pings(self) -> int:
        return self.emulator.platform.worker_ping_interval

    async def start(self) -> None:
        """Serve the ports, then import every handler; raises ConfigurationError when one is broken."""
        if warning := exposure(self.settings, self._http.address):
            log.warning("%s", warning)
        await self.emulator.open()
        self._offer_volumes(*self.plans)
        if self._keeper is not None:
            await self._keeper.begin(self.worlds)
        await asyncio.gather(*(port.open(self.app) for port in self._listeners))
        if self.settings.stubs:
            self._watching.append(asyncio.ensure_future(self._watch_mocking()))
        if self.settings.reload and self.settings.app_resources:
            self._watching.append(asyncio.ensure_future(AppReload(self).watch()))
        await self.emulator.endpoints.start(lenient=self.settings.reload)
        self.app.state.ready = True
        if self._port_file is not None:
            self._port_file.write(self.port)

    async def stop(self) -> None:
        """End waits, workers, requests and the ports, in this order; leaves no process behind.

        Workers go before the ports, so that none polls, or reports a result, where nobody listens any more. Those that
        are HTTP servers go last: they have requests to answer.
        """
        if self._port_file is not None:
            self._port_file.remove()
        self.worlds.hang_up()
        for watching in self._watching:
            watching.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        if self.shared is not None:
            await self.shared.close()
        await self.worlds.end_workers()
        await asyncio.gather(*(port.close() for port in self._listeners))
        await self.app.state.forwarder.close()
        await self.worlds.stop()
        if self._keeper is not None:
            await self._keeper.end()
        await self._traces.close()
        self._volume.remove()


def _read_mocking(settings: Settings) -> tuple[list[Stub], list[Fault]]:
    """The stubs and faults of the start; their reader is loaded when there are any: it takes a tenth of a second."""
    if not (settings.stubs or settings.fault_profile):
        return [], []
    from runpod_emulator.mocking.start import read_mocking

    mocking = read_mocking(settings.stubs, settings.fault_profile)
    return mocking.stubs, mocking.faults
