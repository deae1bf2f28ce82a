"""The memory store as one over a network would be: every call suspends, so the steps of several verbs interleave."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.job import Job, Transition
from runpod_emulator.core.jobs.owners import Owners
from runpod_emulator.core.jobs.store import Admit, Change, Claimed, Counts, FirstDue, Unread, Written
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.stores.deliveries import MemoryDeliveries
from runpod_emulator.stores.memory import MemoryStore

Answer = TypeVar("Answer")


def _now(counts: Counts) -> Counts:
    """The counts as they are now: those of a store over a network do not change once they are told."""
    return dataclasses.replace(counts, kept=dict(counts.kept), ended=dict(counts.ended))


class YieldingStore:
    """A `JobStore` whose calls give the loop 1 to `most` turns, by the dice of `seed`, before and after their step.

    The step itself is whole, as a transaction is. Virtual time stands while a call is under way.
    With `most` 0 no call suspends.
    """

    owners: Owners | None = None
    board = None

    def __init__(self, seed: int = 0, most: int = 1, store: MemoryStore | None = None) -> None:
        self._store = store or MemoryStore()
        self.news = self._store.news
        self.outage = self._store.outage
        self.deliveries = YieldingDeliveries(self, self._store.deliveries)
        self._dice = random.Random(seed)
        self._most = most
        self.timeline: Timeline | None = None
        """Where calls under way are counted."""
        self.after: dict[str, Callable[[], Awaitable[object]]] = {}
        """What happens, once, when the step of the call of this name is over, and its caller has no answer yet."""

    async def step(self, name: str, call: Callable[[], Awaitable[Answer]]) -> Answer:
        if self.timeline is not None:
            self.timeline.begin()
        try:
            await self._turns()
            try:
                return await call()
            finally:
                if name in self.after:
                    await self.after.pop(name)()
                await self._turns()
        finally:
            if self.timeline is not None:
                self.timeline.end()

    async def _turns(self) -> None:
        for _ in range(self._dice.randint(min(1, self._most), self._most)):
            await asyncio.sleep(0)

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    def has_work(self) -> bool:
        return self._store.has_work()

    async def next_place(self) -> int:
        return await self.step("next_place", self._store.next_place)

    async def create(self, transition: Transition, admit: Admit | None = None) -> Counts:
        async def call() -> Counts:
            return _now(await self._store.create(transition, admit))

        return await self.step("create", call)

    async def get(self, endpoint: str, job: str) -> Job:
        return await self.step("get", lambda: self._store.get(endpoint, job))

    async def update(self, endpoint: str, job: str, change: Change, patient: bool = False) -> Written:
        async def call() -> Written:
            written = await self._store.update(endpoint, job, change, patient)
            return written._replace(counts=_now(written.counts))

        return await self.step("update", call)

    async def claim(self, endpoint: str, most: int, change: Change) -> Claimed:
        async def call() -> Claimed:
            claimed = await self._store.claim(endpoint, most, change)
            return claimed._replace(counts=_now(claimed.counts))

        return await self.step("claim", call)

    async def unread(self, endpoint: str, job: str) -> Unread:
        return await self.step("unread", lambda: self._store.unread(endpoint, job))

    async def acknowledge(self, read: Unread) -> bool:
        return await self.step("acknowledge", lambda: self._store.acknowledge(read))

    async def first_due(self) -> FirstDue | None:
        return await self.step("first_due", self._store.first_due)

    async def counts(self, endpoint: str) -> Counts:
        async def call() -> Counts:
            return _now(await self._store.counts(endpoint))

        return await self.step("counts", call)

    async def queued(self, endpoint: str, most: int | None = None) -> list[str]:
        return await self.step("queued", lambda: self._store.queued(endpoint, most))

    async def recent(self, endpoint: str, offset: int, limit: int) -> tuple[list[Job], int]:
        return await self.step("recent", lambda: self._store.recent(endpoint, offset, limit))

    async def clear(self, endpoint: str | None = None) -> None:
        await self.step("clear", lambda: self._store.clear(endpoint))

    async def drop(self, endpoint: str) -> None:
        await self.step("drop", lambda: self._store.drop(endpoint))

    async def give_up_deadline(self, endpoint: str, job: str) -> None:
        await self.step("give_up_deadline", lambda: self._store.give_up_deadline(endpoint, job))


class YieldingDeliveries:
    """The `DeliveryStore` of such a store."""

    shared = False

    def __init__(self, store: YieldingStore, kept: MemoryDeliveries) -> None:
        self._step = store.step
        self._kept = kept

    async def claim(self, now: int, most: int, until: int | None) -> list[Delivery]:
        return await self._step("claim delivery", lambda: self._kept.claim(now, most, until))

    async def renew(self, deliveries: list[Delivery], until: int) -> None:
        await self._step("renew delivery", lambda: self._kept.renew(deliveries, until))

    async def record(self, delivery: Delivery) -> bool:
        return await self._step("record delivery", lambda: self._kept.record(delivery))

    async def owes(self) -> bool:
        return await self._step("owes", self._kept.owes)

    async def next_due(self) -> int | None:
        return await self._step("next due of deliveries", self._kept.next_due)
