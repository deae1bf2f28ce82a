"""A server in a thread of its own, and the way to one of its worlds from the thread of a test."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TookTooLong
from contextvars import ContextVar
from typing import Any, TypeVar

from runpod_emulator.config.settings import Settings
from runpod_emulator.core.errors import ConfigurationError, RequestError
from runpod_emulator.server.loop import new_loop
from runpod_emulator.server.server import Server
from runpod_emulator.workers.functions import present
from runpod_emulator.world.standing import held_by, late
from runpod_emulator.world.world import World

Value = TypeVar("Value")
PATIENCE = 30.0
"""Seconds of real time that anything asked of the emulator may take."""
_QUICK = 1.0
"""Seconds of real time in which what holds the time must be told."""
_OWN = "it runs until that has returned, and time stands until then, so that would never end; do it in the test itself"
_BLOCKED = (
    ". This call blocks the event loop of its own thread, so that nothing in that loop can answer: "
    "write `await emu.aio...` instead"
)
_END = 60.0
"""Seconds of real time that its start and its end may take: workers are waited for."""


HeldBy = Callable[[], Coroutine[object, object, list[str]]]
"""Tells what holds the time, in the server's thread."""
ASKING: ContextVar[Asking | None] = ContextVar("ASKING", default=None)
"""For whom a thread asks."""


class Asking:
    """A coroutine for which a thread of its own asks the server: it may be cancelled, and the thread shall end then."""

    def __init__(self) -> None:
        self._future: Future[Any] | None = None
        self._is_over = False

    def began(self, future: Future[Any]) -> None:
        """The server was asked, and its answer is to come."""
        self._future = future
        if self._is_over:
            future.cancel()

    def give_up(self) -> None:
        """Nobody waits for the answer any more."""
        self._is_over = True
        if self._future is not None:
            self._future.cancel()


class NotRunning(RuntimeError):
    """The emulator has not been started, or was stopped."""

    def __init__(self) -> None:
        super().__init__("the emulator does not run: use it as `with Emulator() as emu:`, or call start()")


class ServerThread:
    """Where one server runs. `patience` is how many seconds of real time a call may take."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self.patience = patience
        self._server: Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._process = 0
        """In which it was started: a fork has no thread of it."""

    @property
    def server(self) -> Server:
        """The server at work; raises NotRunning."""
        if self._server is None:
            raise NotRunning
        if self._process != os.getpid():
            raise RuntimeError(
                "the emulator was started in another process: here its URL can be used, and nothing else"
            )
        return self._server

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped yet."""
        return self._loop is not None

    def start(self, settings: Settings) -> None:
        """Serve; raises ConfigurationError, and RuntimeError where it runs already."""
        if self.is_running:
            raise RuntimeError("the emulator runs already: stop it before it is started again")
        self._loop = new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="runpod-emulator", daemon=True)
        self._thread.start()
        self._process = os.getpid()
        try:
            server = self._run(call(lambda: Server(settings)))
            self._server = server
            self._run(server.start())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop; leaves no thread and no process behind. Harmless when it does not run."""
        self.refuse_in_handlers("stop")
        if self._loop is not None and self._thread is not None and self._process == os.getpid():
            if self._server is not None:
                self._run(self._server.stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_END)
            self._loop.close()
        self._server = self._loop = self._thread = None

    def do(
        self, work: Coroutine[object, object, Value], held_by: HeldBy | None = None, patience: float | None = None
    ) -> Value:
        """Run a coroutine in the server's thread, and wait for its value; `patience` is seconds of real time.

        Raises NotRunning, and TimeoutError with what `held_by` says when that takes longer than the patience.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._going(work))
        if (asking := ASKING.get()) is not None:
            asking.began(future)
        patience = self.patience if patience is None else patience
        try:
            return future.result(patience)
        except (TookTooLong, TimeoutError) as error:
            if future.done() and not future.cancelled():
                raise
            future.cancel()
            raise TimeoutError(self._late(patience, held_by)) from error

    def _going(self, work: Coroutine[object, object, object]) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._server is None:
            work.close()
            raise NotRunning
        if self._process != os.getpid():
            work.close()
            _ = self.server
        return self._loop

    def _late(self, patience: float, held_by: HeldBy | None) -> str:
        """What to tell of a call that took too long."""
        said = late(patience, self._holders(held_by))
        return said + blocking()

    def _holders(self, held_by: HeldBy | None) -> list[str]:
        if held_by is None or self._loop is None:
            return []
        try:
            return asyncio.run_coroutine_threadsafe(held_by(), self._loop).result(_QUICK)
        except (TookTooLong, TimeoutError):
            return ["the emulator's own thread, which is busy"]

    def refuse_in_handlers(self, what: str) -> None:
        """Raise RuntimeError in a handler that is a function, and in threads that it has started."""
        asking = present()
        if asking is not None and asking.home is self._loop:
            raise RuntimeError(f"{what} in the handler of job {asking.job}: {_OWN}")

    def inside(self, work: Callable[[], Value]) -> Value:
        """What a function returns in the server's thread, which may be this one."""
        return work() if threading.current_thread() is self._thread else self._run(call(work))

    def _run(self, work: Coroutine[object, object, Value]) -> Value:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_END)


class Link:
    """The way from a test's thread to one world of the server; `namespace` is the world's name, "" for the first."""

    def __init__(self, thread: ServerThread, namespace: str = "") -> None:
        self._thread = thread
        self._namespace = namespace

    @property
    def namespace(self) -> str:
        """The world's name, "" for the first."""
        return self._namespace

    @property
    def server(self) -> Server:
        """The server; raises NotRunning."""
        return self._thread.server

    @property
    def world(self) -> World:
        """The world, which lives in the server's thread; raises NotRunning."""
        server = self.server
        if not self._namespace:
            return server.emulator
        return self._thread.inside(lambda: server.worlds.named(self._namespace))

    def to(self, namespace: str) -> Link:
        """The way to another world, which is made if need be; raises ConfigurationError."""
        if not namespace:
            raise ConfigurationError("a namespace has a name: the first world is the emulator itself")
        keys = self.server.settings.api_key
        if self.server.worlds.by_key and keys and namespace not in keys:
            raise ConfigurationError(f"{namespace} is none of the keys that the server accepts, which choose worlds")
        link = Link(self._thread, namespace)
        try:
            _ = link.world
        except RequestError as error:
            problem = error.detail
        else:
            return link
        raise ConfigurationError(problem)

    @property
    def key(self) -> str:
        """A key that the server accepts, and that chooses the world where keys do."""
        server = self.server
        return self._namespace if self._namespace and server.worlds.by_key else server.key

    @property
    def chosen_by(self) -> dict[str, str]:
        """The header that chooses the world, where that is not the first, nor chosen by its key."""
        if not self._namespace or self.server.worlds.by_key:
            return {}
        return {"X-Emulator-Namespace": self._namespace}

    def do(self, work: Coroutine[object, object, Value], patience: float | None = None) -> Value:
        """What a coroutine returns in the server's thread; raises NotRunning, TimeoutError.

        `patience` is how many seconds of real time it may take; without it those of the emulator.
        """
        return self._thread.do(work, self._held_by, patience)

    @property
    def patience(self) -> float:
        """How many seconds of real time a call may take."""
        return self._thread.patience

    async def _held_by(self) -> list[str]:
        return await held_by(self.world)

    def refuse_in_handlers(self, what: str) -> None:
        """Raise RuntimeError in a handler that is a function: it would wait for itself."""
        self._thread.refuse_in_handlers(what)

    def ask(self, question: Callable[[World], Value]) -> Value:
        """What a function of the world returns in the server's thread; raises NotRunning, TimeoutError."""
        return self._thread.do(call(lambda: question(self.world)), self._held_by)

    def reseed(self, seed: int) -> None:
        """Let ids and dice of the world be thrown from another seed, from its next reset on."""
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise ConfigurationError(f"seed: {seed!r} is no whole number")
        if not self._namespace:
            self.server.seed = seed  # of the worlds to come
        self.ask(lambda world: world.reseed(seed))

    def hooks_url(self, name: str) -> str:
        """Where the world's own receiver takes webhook calls."""
        return f"{self.server.base_url.removesuffix('/v2')}/__emulator/hooks/{self._namespace or '-'}/{name}"


def blocking() -> str:
    """What to add to a complaint where this thread runs an event loop, which stands as long as it waits; or ""."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return ""
    return _BLOCKED


async def call(work: Callable[[], Value]) -> Value:
    """What a function returns, as a coroutine."""
    return work()
