"""One store that several servers use: each has a view of it, and all of them hear of every transition."""

from __future__ import annotations

from collections.abc import Mapping

from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.job import Job, Transition
from runpod_emulator.core.jobs.owners import LEASE, Numbers
from runpod_emulator.core.jobs.store import Cleared, StoreNews
from runpod_emulator.stores.memory import MemoryStore

from tests.stores.yielding import YieldingStore


class SharedStore:
    """What the views have in common. `most` are the turns of the loop that each call of a view takes at most."""

    def __init__(self, most: int = 0) -> None:
        self.memory = MemoryStore()
        self.until: dict[str, int] = {}
        """When the time of each owner is over."""
        self.workers: dict[str, Mapping[str, Numbers]] = {}
        self.held: dict[tuple[str, str], Job] = {}
        """The jobs that have an owner."""
        self._most = most
        self._views = 0
        self.memory.news.transitions.append(self._follow)

    def view(self) -> View:
        """The store as one server more sees it."""
        self._views += 1
        return View(self, seed=self._views, most=self._most)

    def _follow(self, transition: Transition) -> None:
        job = transition.job
        self.held.pop((job.endpoint, job.id), None)
        if transition.after is not None and job.owner is not None:
            self.held[job.endpoint, job.id] = job


class View(YieldingStore):
    """The store as one server sees it. One that sleeps hears what it has missed when it wakes, a dead one nothing."""

    def __init__(self, shared: SharedStore, seed: int, most: int) -> None:
        super().__init__(seed, most, shared.memory)
        self.owners: ViewedOwners = ViewedOwners(self, shared)
        self.deliveries.shared = True
        self.news = StoreNews()
        self._missed: list[Transition | Cleared] | None = None
        self.dead = False
        shared.memory.news.transitions.append(self._hear)
        shared.memory.news.clears.append(self._hear)

    def sleep(self) -> None:
        self._missed = []

    def wake(self) -> None:
        missed, self._missed = self._missed or [], None
        for news in missed:
            self._hear(news)

    def _hear(self, news: Transition | Cleared) -> None:
        if self._missed is not None:
            self._missed.append(news)
        elif self.dead:
            return
        elif isinstance(news, Cleared):
            for of_clears in self.news.clears:
                of_clears(news)
        else:
            for listener in self.news.transitions:
                listener(news)


class ViewedOwners:
    """The `Owners` of such a store."""

    def __init__(self, view: View, shared: SharedStore) -> None:
        self._step = view.step
        self._shared = shared

    async def beat(self, owner: str, until: int, workers: Mapping[str, Numbers]) -> None:
        async def step() -> None:
            self._shared.until[owner], self._shared.workers[owner] = until, workers

        await self._step("beat", step)

    async def over(self, now: int) -> list[str]:
        async def step() -> list[str]:
            ends: dict[str, int] = {}
            for job in self._shared.held.values():
                if job.owner is not None and job.taken_at is not None:
                    ends[job.owner] = max(ends.get(job.owner, 0), job.taken_at + LEASE)
            return [owner for owner, until in {**ends, **self._shared.until}.items() if until <= now]

        return await self._step("over", step)

    async def held(self, owner: str) -> list[Job]:
        async def step() -> list[Job]:
            jobs: list[Job] = []
            for key in [key for key, job in self._shared.held.items() if job.owner == owner]:
                try:
                    jobs.append(await self._shared.memory.get(*key))
                except JobNotFound:  # forgotten with its endpoint, of which nobody heard
                    del self._shared.held[key]
            return jobs

        return await self._step("held", step)

    async def forget(self, owner: str, now: int) -> None:
        async def step() -> None:
            if self._shared.until.get(owner, now) <= now:
                self._shared.until.pop(owner, None)
                self._shared.workers.pop(owner, None)

        await self._step("forget", step)

    async def workers(self, endpoint: str, now: int) -> Mapping[str, Numbers]:
        async def step() -> Mapping[str, Numbers]:
            living = [owner for owner, until in self._shared.until.items() if until > now]
            told = {owner: self._shared.workers[owner] for owner in living}
            return {owner: workers[endpoint] for owner, workers in told.items() if endpoint in workers}

        return await self._step("workers", step)
