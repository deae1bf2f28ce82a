"""What blocks, for tests that share their event loop with what they test: awaited, the loop goes on meanwhile.

Each is the method of the same name, with its arguments, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from runpod_emulator.testing.clock import Clock
from runpod_emulator.testing.thread import ASKING, Asking
from runpod_emulator.testing.verbs import Verbs

Subject = TypeVar("Subject")
Given = ParamSpec("Given")
Value = TypeVar("Value")


class Awaited(Generic[Subject, Given, Value]):
    """A method that blocks, as one that is awaited: an attribute of an `Asynchronous`."""

    def __init__(self, method: Callable[Concatenate[Subject, Given], Value]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(
        self, owner: Asynchronous[Subject], kind: object = None
    ) -> Callable[Given, Coroutine[Any, Any, Value]]:
        """The method of the subject that `owner` has."""

        async def asked(*args: Given.args, **kwargs: Given.kwargs) -> Value:
            return await in_thread(lambda: self._method(owner.subject, *args, **kwargs))

        return asked


class Asynchronous(Generic[Subject]):
    """The methods of a subject that block, to be awaited."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject


class AioClock(Asynchronous[Clock]):
    """What moves the time, and asks for it."""

    advance = Awaited(Clock.advance)
    run_until_idle = Awaited(Clock.run_until_idle)
    held_by = Awaited(Clock.held_by)


class Aio(Asynchronous[Verbs]):
    """What a test tells one world, and asks of it."""

    stub = Awaited(Verbs.stub)
    fault = Awaited(Verbs.fault)
    profile = Awaited(Verbs.profile)
    handler = Awaited(Verbs.handler)
    reset = Awaited(Verbs.reset)
    requests = Awaited(Verbs.requests)
    assert_requested = Awaited(Verbs.assert_requested)
    jobs = Awaited(Verbs.jobs)
    job = Awaited(Verbs.job)
    wait_for = Awaited(Verbs.wait_for)

    @property
    def clock(self) -> AioClock:
        """The time of the emulator."""
        return AioClock(self.subject.clock)


class BothVerbs(Verbs):
    """What a test tells one world and asks of it: in any thread, and as `aio` in an event loop."""

    @property
    def aio(self) -> Aio:
        """What blocks, to be awaited: `await emu.aio.wait_for(idle=True)`, `await emu.aio.clock.advance(5)`.

        For tests that share their event loop with what they test, such as an application that takes webhooks.
        """
        return Aio(self)


async def in_thread(work: Callable[[], Value]) -> Value:
    """What a function returns that waits for the server; whoever is cancelled here gives it up there too."""
    loop, asking = asyncio.get_running_loop(), Asking()
    answer: asyncio.Future[Value] = loop.create_future()
    context = contextvars.copy_context()
    context.run(ASKING.set, asking)

    def tell(settle: Callable[[Any], None], outcome: Any) -> None:
        if not answer.done():
            settle(outcome)

    def run() -> None:
        try:
            value = context.run(work)
        except BaseException as error:
            outcome: tuple[Callable[[Any], None], Any] = (answer.set_exception, error)
        else:
            outcome = (answer.set_result, value)
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, *outcome)

    threading.Thread(target=run, name="runpod-emulator-aio", daemon=True).start()
    try:
        return await answer
    except asyncio.CancelledError:
        asking.give_up()
        raise
