"""The emulator inside a Python program: `with Emulator() as emu:` for tests of whatever calls RunPod.

>>> from emulator.testing import Emulator
>>> with Emulator("llm") as emu:
...     _ = emu.stub(endpoint="llm", respond={"output": "hello"})
...     emu.base_url.startswith("http://127.0.0.1:")
True
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from emulator.api.admin import shapes
from emulator.api.admin.state import Awaited, Filter, missing, verified
from emulator.config.settings import read_settings
from emulator.core.waiting import Caller
from emulator.emulator import Emulator as World
from emulator.mocking.models import Stub
from emulator.server import Server, new_loop

Value = TypeVar("Value")

_PATIENCE = 30.0
"""Seconds of real time that anything asked of the emulator's thread may take."""


class Emulator:
    """A server on a free port of this machine, with one world, in a thread of its own.

    `endpoints` are ids of mock endpoints; an id that a stub names is served too. `options`
    are those of `runpod-emulator serve`, such as `clock="virtual"` or `seed=7`.
    """

    def __init__(self, *endpoints: str, **options: Any) -> None:
        self._options = {"port": 0, "config": os.devnull, "log_level": "warning", "seed": 0, **options}
        self._options["mock"] = [*endpoints, *self._options.get("mock", [])] or ["mock"]
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Emulator:
        """Serve; raises ConfigurationError."""
        settings = read_settings(**self._options)
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="runpod-emulator", daemon=True)
        self._thread.start()
        self._server = self._do(_made(settings))
        self._do(self._server.start())
        return self

    def stop(self) -> None:
        """Stop; leaves no thread and no process behind. Harmless when it does not run."""
        if self._server is not None and self._loop is not None and self._thread is not None:
            self._do(self._server.stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_PATIENCE)
            self._loop.close()
        self._server = self._loop = self._thread = None

    def __enter__(self) -> Emulator:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Emulator:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    # Where it is

    @property
    def base_url(self) -> str:
        """What clients set as RUNPOD_ENDPOINT_BASE_URL: `http://127.0.0.1:PORT/v2`."""
        return self._running.base_url

    @property
    def key(self) -> str:
        """A key that the server accepts."""
        return self._running.key

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point RunPod clients here."""
        return self._running.client_environment()

    # What shall happen

    def stub(self, **stub: Any) -> str:
        """Add a stub, in the form of a stub file; answers its id. Its endpoint is served from now on."""
        return self._do(self._add_stub(Stub.model_validate(stub)))

    def reset(self) -> None:
        """Forget jobs, requests, webhooks and stubs; for use before each test."""
        self._do(self._world.reset())

    # What happened

    def requests(self, **match: Any) -> list[dict[str, Any]]:
        """The requests of clients that fit, oldest first; `match` is that of `POST /__emulator/requests/find`."""
        wish = Filter.model_validate(match)
        return self._do(_later(lambda: [shapes.entry(one) for one in self._world.journal if not wish.differences(one)]))

    def assert_requested(self, *, count: int | None = None, **match: Any) -> None:
        """Raise AssertionError, which says what came instead, unless such a request came, or `count` of them."""
        answer = self._do(_later(lambda: verified(self._world.journal, Filter.model_validate(match), count)))
        if not answer.ok:
            raise AssertionError(answer.detail)

    def jobs(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """Whole records of the jobs there are, newest first."""
        return self._do(shapes.all_jobs(self._world, endpoint))

    def wait_for(self, *, timeout: float = 10.0, **what: Any) -> None:
        """Hold until idle=True, job=ID, status="COMPLETED" with count=2, or webhooks=1.

        `timeout` is seconds on the emulator's clock. Raises TimeoutError, which says what is the case instead.
        """
        problem = self._do(self._wait(Awaited.model_validate({**what, "timeout": round(timeout * 1000)})))
        if problem:
            raise TimeoutError(problem)

    # Inside

    @property
    def _running(self) -> Server:
        if self._server is None:
            raise RuntimeError("the emulator does not run: use it as `with Emulator() as emu:`")
        return self._server

    @property
    def _world(self) -> World:
        return self._running.emulator

    def _do(self, work: Coroutine[Any, Any, Value]) -> Value:
        """Run a coroutine in the emulator's thread, and wait for its value."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE)

    async def _add_stub(self, stub: Stub) -> str:
        return self._world.stub(stub.to_core(taken=[one.id for one in self._world.stubs]))

    async def _wait(self, wish: Awaited) -> str:
        problem = ""

        async def done() -> bool:
            nonlocal problem
            problem = await missing(self._world, wish)
            return not problem

        caller = Caller()
        caller.hurries = True
        world = self._world
        await world.wait_for(done, world.timeline.now() + wish.timeout, caller)
        return problem


async def _made(settings: Any) -> Server:
    return Server(settings)


async def _later(work: Callable[[], Value]) -> Value:
    return work()
