"""The emulator inside a Python program: `with Emulator() as emu:` for tests of whatever calls RunPod.

>>> from runpod_emulator import Emulator
>>> with Emulator("llm") as emu:
...     _ = emu.stub(endpoint="llm", respond={"output": "hello"})
...     emu.base_url.startswith("http://127.0.0.1:")
True

No client is pointed at it by itself: give yours `base_url`, or put `environment` into `os.environ` before it is made.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.records.receiver import Received
from runpod_emulator.core.time.clock import RealClock
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.doors.admin import shapes
from runpod_emulator.effects import unmocked as _loaded_before_any_mock  # noqa: F401
from runpod_emulator.server.server import Server, new_loop
from runpod_emulator.workers.functions import Function
from runpod_emulator.world.world import World

Value = TypeVar("Value")
_LONGEST = 1_000 * 366 * 86_400.0
"""Seconds: of all durations, as in `runpod_emulator.values`."""

_APART = 1_000
"""Milliseconds by which two real clocks differ that do not tell the same time."""
_PATIENCE = 60.0
"""Seconds of real time that anything asked of the emulator's thread may take, but for the passing of virtual time."""


class Emulator:
    """A server on a free port of this machine, with one world, in a thread of its own.

    `endpoints` are ids of mock endpoints; an id that a stub names is served too. `options`
    are those of `runpod-emulator serve`, such as `clock="virtual"` or `seed=7`; without a
    seed it is 0. It works inside a running event loop, under freezegun, and in any thread.
    """

    def __init__(self, *endpoints: str, **options: Any) -> None:
        self._asked = options
        self._level: int | str | None = None
        """Of the log before the start, where an option has changed it."""
        self._options = {"port": 0, "tls_port": 0, "config": os.devnull, "log_level": "warning", "seed": 0, **options}
        self._options["mock"] = [*endpoints, *self._options.get("mock", [])] or ["mock"]
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self.clock = Clock(self)
        self.webhooks = Webhooks(self)

    def start(self) -> Emulator:
        """Serve; raises ConfigurationError."""
        settings = read_settings(**self._options)
        if "log_level" in self._asked:
            self._level = _set_level(settings.log_level.upper())
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="runpod-emulator", daemon=True)
        self._thread.start()
        try:
            self._server = self._do(_call(lambda: Server(settings)))
            self._do(self._server.start())
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop; leaves no thread and no process behind. Harmless when it does not run."""
        if self._loop is not None and self._thread is not None:
            if self._server is not None:
                self._do(self._server.stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_PATIENCE)
            self._loop.close()
        self._server = self._loop = self._thread = None
        if self._level is not None:
            _set_level(self._level)
            self._level = None

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
        """What clients set as RUNPOD_ENDPOINT_BASE_URL: `http://127.0.0.1:PORT/v2`, or https with `tls=True`."""
        return self._running.tls_base_url or self._running.base_url

    @property
    def ca_file(self) -> Path | None:
        """With `tls=True`, what clients trust the emulator by; `environment` says it to most."""
        return self._running.ca_file

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
        """Add a stub, in the form of a stub file; its endpoint is served from now on. Answers its id.

        >>> with Emulator() as emu:
        ...     emu.stub(id="slow", endpoint="llm", respond={"delay": "30s", "output": "{{ input.prompt }}"})
        'slow'
        """
        from runpod_emulator.mocking.models import Stub

        written = _checked(Stub, stub)
        return self._do(_call(lambda: self._world.stub(written.to_core(taken=self._world.stubs))))

    def fault(self, kind: str, **fault: Any) -> str:
        """Add a fault, in the form of a stub file; answers its id.

        Over http:// the official Python client tries a GET again after 429 and 408, for up to 30 s; over
        https:// it raises them, as in production: `Emulator(tls=True)`.

        >>> with Emulator() as emu:
        ...     emu.fault("status", status=429, headers={"Retry-After": 2}, times=1, id="busy")
        'busy'
        """
        from runpod_emulator.mocking.faults import Fault

        written = _checked(Fault, {"fault": kind, **fault})
        return self._do(_call(lambda: self._world.faults.add(written.to_core(self._world.timeline.now())).id))

    def handler(self, endpoint: str, function: Callable[..., Any], *, return_aggregate_stream: bool = False) -> None:
        """Let a function of this process run the jobs of an endpoint that no stub answers, until the next reset.

        It gets and returns what a handler does; it may be async, or a generator, whose results
        are the stream. Each job has a thread of its own. Raises ConfigurationError where the
        endpoint has a handler already.

        >>> with Emulator() as emu:
        ...     emu.handler("adder", lambda job: job["input"]["a"] + 1)
        """
        work = Function(function, return_aggregate_stream)
        self._do(_call(lambda: self._world.endpoints.add_function(endpoint, work)))

    def profile(self, name: str) -> None:
        """Add the faults of a profile: flaky-network, cold-fleet, rate-limited, edge-timeouts or worker-crashes."""
        from runpod_emulator.mocking.profiles import profile

        for fault in profile(name):
            self._do(_call(lambda fault=fault: self._world.faults.add(fault.to_core(self._world.timeline.now()))))  # type: ignore[misc]

    def reset(self) -> None:
        """Forget jobs, requests, webhooks, stubs and faults; for use before each test."""
        self._do(self._world.reset())

    # What happened

    def requests(self, **match: Any) -> list[dict[str, Any]]:
        """The requests of clients that fit, oldest first; `match` is that of `POST /__emulator/requests/find`.

        Secrets fit as they came, and are masked in the answer, which may end in the log of a test run:
        `requests(headers={"authorization": "Bearer KEY"})` says whether they were right.
        """
        from runpod_emulator.doors.admin.questions import Filter, meant

        given = _checked(Filter, match)
        drift, masks = self._world.timeline.drift(), self._world.masks
        found = self._do(meant(self._world.journal, given))
        return [shapes.entry(one, masks, drift) for one in found]

    def assert_requested(self, *, count: int | None = None, **match: Any) -> None:
        """Raise AssertionError, which says what came instead, unless such a request came, or `count` of them."""
        from runpod_emulator.doors.admin.questions import Filter, verified

        given = _checked(Filter, match)
        answer = self._do(verified(self._world.journal, self._world.masks, given, count))
        if not answer.ok:
            raise AssertionError(answer.detail)

    def jobs(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """Whole records of the jobs there are, newest first; secrets are masked."""
        return self._do(shapes.all_jobs(self._world, endpoint))

    def wait_for(self, *, timeout: float | None = None, **what: Any) -> None:
        """Hold until idle=True, job=ID, status="COMPLETED" with count=2, or webhooks=1.

        `timeout` is seconds on the emulator's clock. Raises TimeoutError, which says what is the case instead.
        """
        from runpod_emulator.doors.admin.questions import Awaited, wait_until

        given = _checked(Awaited, {**what, "timeout": None if timeout is None else _milliseconds(timeout)})
        problem = self._do(wait_until(self._world, given, Caller()), None)
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

    def _do(self, work: Coroutine[Any, Any, Value], patience: float | None = _PATIENCE) -> Value:
        """Run a coroutine in the emulator's thread, and wait for its value."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(patience)


class Clock:
    """The time of an emulator. Only one that was made with clock="virtual" can be moved."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    def now(self) -> float:
        """Seconds since the epoch."""
        timeline = self._emulator._world.timeline
        return (timeline.now() + timeline.drift()) / 1000

    @property
    def is_true(self) -> bool:
        """Whether a clock that began now, frozen as `time` may be, would say the same."""
        return abs(self._emulator._world.timeline.now() - RealClock().now()) < _APART

    def advance(self, seconds: float) -> list[float]:
        """Move on, deadline by deadline; answers the deadlines that fired, in seconds since the epoch.

        >>> with Emulator("llm", clock="virtual") as emu:
        ...     before = emu.clock.now()
        ...     _ = emu.clock.advance(3600)
        ...     emu.clock.now() - before
        3600.0
        """
        timeline = self._emulator._world.timeline
        fired = self._emulator._do(timeline.advance(timeline.now() + _milliseconds(seconds)), None)
        return [due / 1000 for due in fired]

    def run_until_idle(self, most: float = 7 * 86_400) -> list[float]:
        """Move on until no job waits or runs and no webhook is owed, by `most` seconds."""
        fired = self._emulator._do(self._emulator._world.run_until_idle(_milliseconds(most)), None)
        return [due / 1000 for due in fired]


class Webhooks:
    """A receiver for webhooks, on the emulator's own port."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    @property
    def url(self) -> str:
        """What a client gives as `webhook`."""
        return self._emulator._running.base_url.removesuffix("/v2") + "/__emulator/hooks/-/test"

    @property
    def received(self) -> list[Received]:
        """The calls that came, oldest first; each has `json`, `headers` and the `status` it was answered."""
        return self._emulator._do(_call(lambda: list(self._emulator._world.receiver)))

    def answer(self, status: int, times: int = 1) -> None:
        """Answer the next calls with this status; all others with 200."""
        self._emulator._do(_call(lambda: self._emulator._world.receiver.answer(status, times)))


def _milliseconds(seconds: float) -> int:
    """A duration in ms; raises ConfigurationError for one that is longer than any time here, or none."""
    if not abs(seconds) < _LONGEST:  # what is no number is not less either
        raise ConfigurationError(f"a time in seconds is below {_LONGEST:.0f}")
    return round(seconds * 1000)


Model = TypeVar("Model", bound=BaseModel)


def _checked(model: type[Model], given: dict[str, Any]) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{place}: {first['msg'].removeprefix('Value error, ')}".removeprefix(": ")) from error


def _set_level(level: int | str) -> int:
    """Set the level of the emulator's log; answers the one before."""
    log = logging.getLogger("runpod_emulator")
    before = log.level
    log.setLevel(level)
    return before


async def _call(work: Callable[[], Value]) -> Value:
    return work()
