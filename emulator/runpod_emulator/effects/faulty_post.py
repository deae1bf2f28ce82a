"""Webhook calls that come late, twice, out of order, or never: a `Post` around the real one.

A call that is held back holds no line, so it delays no other; virtual time passes meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault, FaultBook
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.core.time.timers import Timer
from runpod_emulator.effects.webhooks import Post

Send = Callable[[Delivery], None]


class FaultyPost:
    """The faults of one emulator's webhook calls."""

    def __init__(self, post: Post, faults: FaultBook, timeline: Timeline) -> None:
        self._post = post
        self._faults = faults
        self._timeline = timeline
        self._age = 0
        """How often everything was forgotten."""
        self._overtaken: dict[str, tuple[Timer, Callable[[], None]]] = {}
        """By endpoint: a call that waits for the next one, until a timer rings, and how to make it."""

    def clear(self) -> None:
        """Forget the calls that are held back."""
        self._age += 1
        self._overtaken.clear()

    def pass_on(self, delivery: Delivery, send: Send) -> None:
        """Hand a call that is due to `send`, now or later."""
        if not self._faults:
            send(delivery)
            return
        endpoint = delivery.endpoint
        late = self._faults.draw(FaultKind.WEBHOOK_LATE, endpoint)
        if late is not None:
            self._after(late, partial(send, delivery))
        elif endpoint not in self._overtaken and (fault := self._faults.draw(FaultKind.WEBHOOK_OUT_OF_ORDER, endpoint)):
            timer = self._after(fault, partial(self._let_go, endpoint))
            self._overtaken[endpoint] = timer, partial(send, delivery)
        else:
            send(delivery)

    async def send(self, delivery: Delivery) -> str:
        """Make one call; returns "" when it was acknowledged, else what went wrong."""
        endpoint = delivery.endpoint
        lost = self._faults.draw(FaultKind.WEBHOOK_LOST, endpoint) if self._faults else None
        if lost is not None:
            return f"lost on its way by {lost.id}"
        problem = await self._post.send(delivery.url, delivery.body)
        again = self._faults.draw(FaultKind.WEBHOOK_DUPLICATE, endpoint) if self._faults else None
        for _ in range((again.count or 1) if again else 0):
            await self._post.send(delivery.url, delivery.body)
        self._let_go(endpoint)
        return problem

    def _let_go(self, endpoint: str) -> None:
        waiting = self._overtaken.pop(endpoint, None)
        if waiting is not None:
            timer, send = waiting
            timer.cancel()
            send()

    def _after(self, fault: Fault, act: Callable[[], None]) -> Timer:
        age = self._age
        return self._timeline.at(self._timeline.now() + fault.draw_delay(), lambda: act() if age == self._age else None)
