"""A server: a port, the emulator behind it, its start and its stop."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import functools
import os
import random
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn

from emulator.api import wire
from emulator.api.connection import BreakableProtocol
from emulator.api.guards import Access
from emulator.app import create_app
from emulator.config.file import EndpointTable
from emulator.config.plans import Plan, plan_all, plan_one
from emulator.config.settings import Settings
from emulator.core.capacity import Capacity
from emulator.core.clock import AutoClock, RealClock, VirtualClock
from emulator.core.errors import ConfigurationError, PortTaken
from emulator.core.settings import default_settings
from emulator.emulator import Emulator
from emulator.workers.command import Command
from emulator.workers.environment import worker_environment
from emulator.workers.process import Program
from emulator.worlds import Worlds

if TYPE_CHECKING:
    from emulator.core.stubs import Stub
    from emulator.mocking.faults import Fault
    from emulator.mocking.start import Mocking

Outcome = TypeVar("Outcome")
DEFAULT_KEY = "runpod-emulator"
"""What a client may send where any key is accepted."""

_CLOCKS: dict[str, type[RealClock | VirtualClock]] = {"real": RealClock, "virtual": VirtualClock, "auto": AutoClock}
_LAST_ANSWERS = 2
"""Seconds that open requests have to be answered once every wait was ended."""


class Server:
    """One listening port with one emulator behind it.

    Raises PortTaken when the port is in use, ConfigurationError for a wrong setting or handler.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        plans = plan_all(settings)
        self.seed = random.SystemRandom().getrandbits(32) if settings.seed is None else settings.seed
        self._plans = plans
        self._stubs, self._faults = _read_mocking(settings)
        self._capacity = Capacity(settings.max_processes or len(plans) + 2 * (os.cpu_count() or 1))
        self._socket = _bind(settings.host, settings.port)
        self.port: int = self._socket.getsockname()[1]
        self._lifeline, self._held_end = os.pipe()
        self.emulator = self._make_world("")
        self._worlds = Worlds(self.emulator, self._open_world, settings.namespaces == "key", self.key)
        access = Access(not settings.no_auth, frozenset(settings.api_key))
        worker_access = Access(bool(settings.worker_key), frozenset(settings.worker_key))
        admin_access = Access(True, frozenset(settings.admin_key)) if settings.admin_key else None
        self.app = create_app(self._worlds, access, worker_access, admin_access)
        self.app.state.serve = self.serve
        config = uvicorn.Config(
            self.app, log_config=None, access_log=False, lifespan="off", date_header=False, server_header=False,
            timeout_graceful_shutdown=_LAST_ANSWERS, ws="none", proxy_headers=False,
            http=BreakableProtocol,
        )  # fmt: skip
        self._web = _Web(config)
        self._serving: asyncio.Task[None] | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def base_url(self) -> str:
        """What clients set as RUNPOD_ENDPOINT_BASE_URL."""
        host = self.settings.host
        reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        return f"http://{reachable}:{self.port}/v2"

    @property
    def key(self) -> str:
        """A key that the server accepts."""
        return self.settings.api_key[0] if self.settings.api_key else DEFAULT_KEY

    def client_environment(self) -> dict[str, str]:
        """Environment variables that point RunPod clients here."""
        return {"RUNPOD_ENDPOINT_BASE_URL": self.base_url, "RUNPOD_API_KEY": self.key}

    def _make_world(self, name: str) -> Emulator:
        """A world with the server's endpoints and stubs, and the server's seed."""
        settings = self.settings
        world = Emulator(
            settings.platform(),
            wire.webhook_body,
            clock=_CLOCKS[settings.clock](),
            capacity=self._capacity,
            rate_limits=not settings.no_rate_limits,
            seed=self.seed,
        )
        for plan in self._plans:
            self._add(world, name, plan)
        for endpoint in self._mocked(world):
            world.add_mock(default_settings(endpoint, world.platform))
        self._keep_mocking(world)
        return world

    def _mocked(self, world: Emulator) -> list[str]:
        """Endpoints that stubs of files name, and that nobody serves."""
        named = dict.fromkeys(stub.endpoint for stub in self._stubs if stub.names_endpoint)
        return [endpoint for endpoint in named if endpoint not in world.endpoints]

    def _keep_mocking(self, world: Emulator) -> None:
        world.stubs.keep_instead([dataclasses.replace(stub) for stub in self._stubs])
        world.faults.keep_instead([fault.to_core(world.timeline.now()) for fault in self._faults])

    async def _watch_mocking(self) -> None:
        from emulator.mocking.watch import watch_mocking

        await watch_mocking(self.settings.stubs, self.settings.fault_profile, self._mock_anew)

    def _mock_anew(self, mocking: Mocking) -> None:
        self._stubs, self._faults = mocking.stubs, mocking.faults
        for world in self._worlds:
            for endpoint in self._mocked(world):
                world.add_mock_now(endpoint)
            self._keep_mocking(world)

    async def serve(self, world: Emulator, endpoint: str, table: EndpointTable) -> None:
        """One endpoint more in one of the worlds; raises ConfigurationError, also for a handler that can't start."""
        plan = plan_one(self.settings, endpoint, table)
        self._add(world, self._worlds.name_of(world), plan)
        await world.start_one(endpoint)

    def _open_world(self, name: str) -> Emulator:
        """A world that is made while the server runs; its workers come when there are jobs."""
        world = self._make_world(name)
        world.open()
        return world

    def _add(self, world: Emulator, namespace: str, plan: Plan) -> None:
        service, reload = plan.service, self.settings.reload
        fresh = (
            {"PYTHONDONTWRITEBYTECODE": "1"} if reload else {}
        )  # a stale .pyc may pass for new: it tells by the second
        if service.handler:
            environment = {**self.client_environment(), **plan.environment, **fresh}
            program = Program(
                service.handler, plan.python, self._lifeline, environment, plan.concurrency, plan.directory,
                folder=plan.folder if reload else None,
            )  # fmt: skip
            world.add_program(plan.settings, program)
        elif service.command:
            protocol = functools.partial(self._worker_environment, namespace, plan.settings.id)
            command = Command(
                service.command, protocol, self._lifeline, plan.directory, {**plan.environment, **fresh}, reload,
                service.advice,
            )  # fmt: skip
            world.add_command(plan.settings, command)
        elif service.mock:
            world.add_mock(plan.settings, plan.concurrency)
        else:
            world.add_remote(plan.settings)

    def _worker_environment(self, namespace: str, endpoint: str, worker: str) -> dict[str, str]:
        worker_key = self.settings.worker_key[0] if self.settings.worker_key else DEFAULT_KEY
        return worker_environment(self.base_url.removesuffix("/v2"), endpoint, worker, worker_key, self.key, namespace)

    async def start(self) -> None:
        """Serve the port, then import every handler; raises ConfigurationError when one is broken."""
        if self.settings.port_file is not None:
            self._claim(self.settings.port_file)
        self._serving = asyncio.ensure_future(self._web.serve([self._socket]))
        await self._web.listening.wait()
        if self.settings.stubs:
            self._watching = asyncio.ensure_future(self._watch_mocking())
        await self.emulator.start(lenient=self.settings.reload)
        self.app.state.ready = True
        if self.settings.port_file is not None:
            _write_whole(self.settings.port_file, str(self.port))

    @staticmethod
    def _claim(port_file: Path) -> None:
        """Take away the file of an earlier run, so that nobody is misled."""
        try:
            port_file.unlink(missing_ok=True)
            if not os.access(port_file.parent, os.W_OK):
                raise PermissionError(errno.EACCES, f"{port_file.parent} is no folder that this user can write to")
        except OSError as error:
            raise ConfigurationError(f"--port-file {port_file}: {error.strerror}") from error

    async def stop(self) -> None:
        """End waits, requests, workers and the port, in this order; leaves no process behind."""
        self._worlds.hang_up()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        self._web.leave()
        if self._serving is not None:
            await self._serving
        await self._worlds.stop()
        os.close(self._lifeline)
        os.close(self._held_end)
        self._socket.close()


class _Web(uvicorn.Server):
    """uvicorn without its signal handling and without its tick ten times a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Stop serving."""
        self.should_exit = True
        self._leaving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command's, not the web server's."""
        yield

    async def main_loop(self) -> None:
        """Serve until `leave`."""
        self.listening.set()
        await self._leaving.wait()


def new_loop() -> asyncio.AbstractEventLoop:
    """The fastest loop there is."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def run(main: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Run a coroutine on the fastest loop there is."""
    loop = new_loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(_end_tasks())
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def until_signal(on_signal: Callable[[], None] | None = None) -> None:
    """Wait for SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


def _read_mocking(settings: Settings) -> tuple[list[Stub], list[Fault]]:
    """The stubs and faults of the start; their reader is loaded when there are any: it takes a tenth of a second."""
    if not (settings.stubs or settings.fault_profile):
        return [], []
    from emulator.mocking.start import read_mocking

    mocking = read_mocking(settings.stubs, settings.fault_profile)
    return mocking.stubs, mocking.faults


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With protocol 0 asyncio would leave Nagle's algorithm on: 44 ms a request.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            why = "is in use" if error.errno == errno.EADDRINUSE else "may not be opened by this user"
            way_out = "stop what listens there, or choose another with --port (0 takes a free one)"
            raise PortTaken(f"port {port} on {host} {why}: {way_out}") from error
        raise ConfigurationError(f"cannot listen on {host}, port {port}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


def _write_whole(path: Path, text: str) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.write_text(text)
    draft.replace(path)
