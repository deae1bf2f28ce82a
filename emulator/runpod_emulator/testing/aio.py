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
from runpod_emulator.testing.records import WebhookCall
from runpod_emulator.testing.state import State
from runpod_emulator.testing.thread import ASKING, Asking
from runpod_emulator.testing.webhooks import Webhooks

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


class AioWebhooks:
    """The receiver for webhooks."""

    def __init__(self, subject: Webhooks) -> None:
        self.subject = subject

    answer = Awaited(Webhooks.answer)
    assert_received = Awaited(Webhooks.assert_received)
    received_at = Awaited(Webhooks.received_at)
    clear = Awaited(Webhooks.clear)

    async def received(self) -> list[WebhookCall]:
        """The calls that came, oldest first."""
        return await in_thread(lambda: self.subject.received)


class AioState:
    """What takes a world, and brings it back."""

    def __init__(self, subject: State) -> None:
        self.subject = subject

    take = Awaited(State.take)
    load = Awaited(State.load)


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

    daemon = threading.current_thread().daemon or True  # which says whether a handler asks
    threading.Thread(target=run, name="runpod-emulator-aio", daemon=daemon).start()
    try:
        return await answer
    except asyncio.CancelledError:
        asking.give_up()
        raise
