"""What blocks, for tests that share their event loop with what they test: awaited, and the loop goes on meanwhile.

Each is the method of the same name, with its arguments, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from runpod_emulator.testing.clock import Clock
from runpod_emulator.testing.thread import ASKING, Asking
from runpod_emulator.testing.verbs import Verbs

Subject = TypeVar("Subject", covariant=True)
Given = ParamSpec("Given")
Value = TypeVar("Value")


class Owner(Protocol[Subject]):
    """What has methods to be awaited: they are those of its subject."""

    @property
    def subject(self) -> Subject:
        """What it is for."""
        ...


class Awaited(Generic[Subject, Given, Value]):
    """A method that blocks, as one that is awaited."""

    def __init__(self, method: Callable[Concatenate[Subject, Given], Value]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, owner: Owner[Subject], kind: object = None) -> Callable[Given, Coroutine[Any, Any, Value]]:
        """The method of the subject that `owner` has."""

        async def asked(*args: Given.args, **kwargs: Given.kwargs) -> Value:
            return await in_thread(lambda: self._method(owner.subject, *args, **kwargs))

        return asked


class AioClock:
    """What moves the time, and asks for it."""

    def __init__(self, subject: Clock) -> None:
        self.subject = subject

    advance = Awaited(Clock.advance)
    run_until_idle = Awaited(Clock.run_until_idle)
    held_by = Awaited(Clock.held_by)


class Aio:
    """What a test tells one world, and asks of it."""

    def __init__(self, subject: Verbs) -> None:
        self.subject = subject
        self.clock = AioClock(subject.clock)

    stub = Awaited(Verbs.stub)
    fault = Awaited(Verbs.fault)
    profile = Awaited(Verbs.profile)
    handler = Awaited(Verbs.handler)
    reset = Awaited(Verbs.reset)
    requests = Awaited(Verbs.requests)
    assert_requested = Awaited(Verbs.assert_requested)
    assert_order = Awaited(Verbs.assert_order)
    story = Awaited(Verbs.story)
    jobs = Awaited(Verbs.jobs)
    job = Awaited(Verbs.job)
    wait_for = Awaited(Verbs.wait_for)


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
