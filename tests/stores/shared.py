"""One store that several servers use: each has a view of it, and all of them hear of every transition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.crews import Lead, Member, Word
from runpod_emulator.core.jobs.job import Job, JobStatus, Transition
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
        self.polled: dict[tuple[str, str], Job] = {}
        """The jobs that workers without an owner hold."""
        self.crews: dict[str, dict[str, Member]] = {}
        self.hosts: dict[tuple[str, str], dict[str, int]] = {}
        """Until when which server starts workers, by endpoint and kind."""
        self.leaders: dict[tuple[str, str], str] = {}
        self.words: list[Word] = []
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
        self.polled.pop((job.endpoint, job.id), None)
        if transition.after is not None and job.owner is not None:
            self.held[job.endpoint, job.id] = job
        elif transition.after is not None and job.status is JobStatus.IN_PROGRESS:
            self.polled[job.endpoint, job.id] = job

    def tell(self, word: Word) -> None:
        """Let every view hear a word."""
        self.words.append(word)
        for told in self.memory.news.words:
            told(word)


class View(YieldingStore):
    """The store as one server sees it. One that sleeps hears what it has missed when it wakes, a dead one nothing."""

    def __init__(self, shared: SharedStore, seed: int, most: int) -> None:
        super().__init__(seed, most, shared.memory)
        self.owners: ViewedOwners = ViewedOwners(self, shared)
        self.deliveries.shared = True
        self.news = StoreNews()
        self._missed: list[Transition | Cleared | Word] | None = None
        self.dead = False
        shared.memory.news.transitions.append(self._hear)
        shared.memory.news.clears.append(self._hear)
        shared.memory.news.words.append(self._hear)

    def sleep(self) -> None:
        self._missed = []

    def wake(self) -> None:
        missed, self._missed = self._missed or [], None
        for news in missed:
            self._hear(news)

    def _hear(self, news: Transition | Cleared | Word) -> None:
        if self._missed is not None:
            self._missed.append(news)
        elif self.dead:
            return
        elif isinstance(news, Word):
            for of_words in self.news.words:
                of_words(news)
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
        self.crews = ViewedCrews(view, shared)

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


class ViewedCrews:
    """The `Crews` of such a store."""

    def __init__(self, view: View, shared: SharedStore) -> None:
        self._step = view.step
        self._shared = shared

    def _crew(self, endpoint: str) -> dict[str, Member]:
        return self._shared.crews.setdefault(endpoint, {})

    async def members(self, endpoint: str) -> Mapping[str, Member]:
        async def step() -> Mapping[str, Member]:
            return dict(self._crew(endpoint))

        return await self._step("members", step)

    async def join(self, endpoint: str, worker: str, member: Member, most: int | None = None) -> bool:
        async def step() -> bool:
            crew = self._crew(endpoint)
            old = crew.get(worker)
            if old is None and most is not None and sum(bool(one.owner) for one in crew.values()) >= most:
                return False
            crew[worker] = member
            if old is None or (*old[:3], not old.heard) != (*member[:3], not member.heard):
                self._shared.tell(Word(endpoint, worker, member))
            return True

        return await self._step("join", step)

    async def leave(self, endpoint: str, worker: str, unheard_since: int | None = None) -> bool:
        async def step() -> bool:
            old = self._crew(endpoint).get(worker)
            if old is None:
                return True
            if unheard_since is not None and old.heard > unheard_since:
                return False
            del self._crew(endpoint)[worker]
            self._shared.tell(Word(endpoint, worker))
            return True

        return await self._step("leave", step)

    async def spare(self, endpoint: str, worker: str, fewest: int) -> bool:
        async def step() -> bool:
            crew = self._crew(endpoint)
            old = crew.get(worker)
            if old is None or not old.is_up:
                return True
            if sum(bool(one.owner) and one.is_up for one in crew.values()) <= fewest:
                return False
            crew[worker] = old._replace(is_up=False)
            self._shared.tell(Word(endpoint, worker, crew[worker]))
            return True

        return await self._step("spare", step)

    async def free(self, endpoint: str, worker: str, jobs: Sequence[str]) -> None:
        async def step() -> None:
            self._shared.tell(Word(endpoint, worker, freed=tuple(jobs)))

        await self._step("free", step)

    async def lead(self, endpoint: str, kind: str, owner: str, now: int, until: int) -> Lead:
        async def step() -> Lead:
            key = endpoint, kind
            before = self._shared.hosts.get(key, {})
            hosts = {one: end for one, end in before.items() if end > now and one != owner}
            if until > now:
                hosts[owner] = until
                if self._shared.leaders.get(key) not in hosts:
                    self._shared.leaders[key] = owner
            elif self._shared.leaders.get(key) == owner:
                del self._shared.leaders[key]
            self._shared.hosts[key] = hosts
            if (owner in before) != (owner in hosts):
                self._shared.tell(Word(endpoint))
            return Lead(self._shared.leaders.get(key, ""), sorted(hosts))

        return await self._step("lead", step)

    async def polled(self, endpoint: str) -> list[Job]:
        async def step() -> list[Job]:
            return [job for (one, _), job in self._shared.polled.items() if one == endpoint]

        return await self._step("polled", step)
