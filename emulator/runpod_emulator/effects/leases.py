"""The deliveries that a webhook sender has been given, and how it keeps them while it needs them.

Where the store is this process's own, they are its own until they are recorded, however long a call takes, waits in its
line, or is held back by a fault on a virtual clock. Where senders of several processes share a store, each is given a
delivery for `LEASE`, and renews what it still has three times in that time. So those of a process that died come
to another one soon, and those of a slow receiver stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.store import DeliveryStore
from runpod_emulator.core.store_errors import Unavailable
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.core.time.timers import Timer

LEASE = 30_000
"""Milliseconds after which a process that says nothing has lost its deliveries; our own choice."""


class Leases:
    """What one sender has of a store; `spawn` runs what a timer causes."""

    def __init__(
        self,
        store: DeliveryStore,
        timeline: Timeline,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        lease: int = LEASE,
    ) -> None:
        self.lease = lease
        self._store = store
        self._timeline = timeline
        self._spawn = spawn
        self._held: dict[tuple[int, str, str], Delivery] = {}
        """Only where the store is shared."""
        self._timer: Timer | None = None

    async def claim(self, most: int) -> list[Delivery]:
        """Owed deliveries that are due, `most` at most."""
        now = self._timeline.now()
        if not self._store.shared:
            return await self._store.claim(now, most, None)
        claimed = await self._store.claim(now, most, now + self.lease)
        self._held.update((delivery.key, delivery) for delivery in claimed)
        self._wait()
        return claimed

    async def record(self, delivery: Delivery) -> bool:
        """Write what an attempt made of a delivery; False if it was another sender's by then, or was cleared."""
        recorded = await self._store.record(delivery)
        if self._held:  # until then it is renewed
            self._held.pop(delivery.key, None)
        return recorded

    def cleared(self, endpoint: str | None) -> None:
        """Those of an endpoint, or all, are owed no more."""
        self._held = {} if endpoint is None else {key: one for key, one in self._held.items() if key[1] != endpoint}

    async def close(self) -> None:
        """Leave what is still held to other senders, at once."""
        if self._timer is not None:
            self._timer.cancel()
        held, self._held = self._held, {}
        if held:
            with suppress(Unavailable):  # then they are left to others once the lease is over
                await self._store.renew(list(held.values()), self._timeline.now())

    def _wait(self) -> None:
        if self._held and self._timer is None:
            self._timer = self._timeline.at(self._timeline.now() + self.lease // 3, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._held:
            self._spawn(self._renew())

    async def _renew(self) -> None:
        try:
            await self._store.renew(list(self._held.values()), self._timeline.now() + self.lease)
        finally:
            self._wait()
