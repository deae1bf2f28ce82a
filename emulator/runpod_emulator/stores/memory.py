"""The store of one process: dictionaries. No method ever suspends."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.freeing import free_later
from runpod_emulator.core.jobs.job import Emitted, Job, JobStatus, Requeued, Retried, Returned, Transition
from runpod_emulator.core.jobs.store import (
    Admit,
    Change,
    Claimed,
    Cleared,
    Counts,
    FirstDue,
    NoOutage,
    Outage,
    StoreNews,
    Unread,
    Written,
)
from runpod_emulator.core.time.schedule import Schedule
from runpod_emulator.stores.counting import add, count
from runpod_emulator.stores.deliveries import MemoryDeliveries
from runpod_emulator.stores.snapshot import Contents, Shelf

_ABOUT_CHUNKS = (Emitted, Requeued, Retried, Returned)
"""Events that add unread chunks to a job, or take all of them away."""
_QUEUED = JobStatus.IN_QUEUE


class _Shelf:
    """One endpoint's jobs and indexes."""

    __slots__ = ("chunks", "counts", "held", "jobs", "queue", "taken")

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.queue: Schedule[str] = Schedule()
        self.held: dict[str, int] = {}
        """Places of the jobs that no worker can see."""
        self.chunks: dict[str, list[bytes]] = {}
        """Those that no reader has taken."""
        self.taken: dict[str, int] = {}
        """How many chunks of a job's present run readers have taken."""
        self.counts = Counts()

    def running(self) -> Iterator[Job]:
        """The jobs that workers hold; looks no further than it must, for there may be a million that have ended."""
        running = (job for job in reversed(self.jobs.values()) if job.status is JobStatus.IN_PROGRESS)
        return islice(running, self.counts.running)

    def dump(self, endpoint: str) -> Shelf:
        """All there is, as it is in this step."""
        chunks = {job: tuple(chunks) for job, chunks in self.chunks.items()}
        counts = self.counts
        return Shelf(endpoint, list(self.jobs.values()), chunks, dict(self.taken), dict(counts.ended), counts.requeued)

    def load(self, kept: Shelf) -> None:
        """Put it all into its place."""
        for job in kept.jobs:
            self.jobs[job.id] = job
            add(self.counts, job, 1)
            if job.status is _QUEUED and job.held:
                self.held[job.id] = job.place
            elif job.status is _QUEUED:
                self.queue.set(job.id, job.place)
        self.chunks.update({job: list(chunks) for job, chunks in kept.chunks.items()})
        self.taken.update(kept.taken)
        self.counts.ended.update(kept.ended)
        self.counts.requeued = kept.requeued
        self.counts.writes += 1

    def remains(self) -> list[dict[Any, Any] | list[Any]]:
        """What is to be freed once nobody uses it any more."""
        return [self.jobs, self.held, self.chunks, self.taken, *self.queue.remains()]


class MemoryStore:
    """A `JobStore` in this process's memory."""

    owners = None
    board = None
    """Nobody else can look at it."""

    def __init__(self) -> None:
        self._shelves: dict[str, _Shelf] = {}
        self._deadlines: Schedule[tuple[str, str]] = Schedule()
        self.news = StoreNews()
        self.outage: Outage = NoOutage()
        self._listeners = self.news.transitions
        self._places = 0
        self.deliveries = MemoryDeliveries()

    async def next_place(self) -> int:
        """A queue rank above all earlier ones."""
        self._places += 1
        return self._places

    async def create(self, transition: Transition, admit: Admit | None = None) -> Counts:
        """Write a new job, unless `admit` raises; returns the endpoint's counters."""
        shelf = self._shelf(transition.job.endpoint)
        if admit is not None:
            admit.check(shelf.counts)
        self._write(shelf, transition)
        return shelf.counts

    async def get(self, endpoint: str, job: str) -> Job:
        """The record; raises JobNotFound."""
        return self._find(self._shelf(endpoint), job)

    async def update(self, endpoint: str, job: str, change: Change, patient: bool = False) -> Written:
        """Apply `change` to the record and write the outcome; raises JobNotFound."""
        shelf = self._shelf(endpoint)
        transition = change(self._find(shelf, job))
        if transition is not None:
            self._write(shelf, transition)
        return Written(transition, shelf.counts)

    async def claim(self, endpoint: str, most: int, change: Change) -> Claimed:
        """Apply `change` to the first jobs of the queue, `most` at most; those for which it returns None stay."""
        shelf = self._shelf(endpoint)
        claimed: list[Transition] = []
        left: list[Job] = []
        while len(claimed) < most and (first := shelf.queue.first()) is not None:
            job = shelf.jobs[first[1]]
            transition = change(job)
            if transition is None:
                shelf.queue.set(job.id, None)
                left.append(job)
            else:
                self._write(shelf, transition)
                claimed.append(transition)
        for job in left:
            shelf.queue.set(job.id, job.place)
        return Claimed(claimed, shelf.counts)

    async def unread(self, endpoint: str, job: str) -> Unread:
        """The record and the chunks that no reader has taken; raises JobNotFound."""
        shelf = self._shelf(endpoint)
        return Unread(self._find(shelf, job), list(shelf.chunks.get(job, ())), shelf.taken.get(job, 0))

    async def acknowledge(self, read: Unread) -> bool:
        """Take the chunks that were read; False, and nothing, if another reader was faster or the run is over."""
        shelf, job_id = self._shelf(read.job.endpoint), read.job.id
        if shelf.taken.get(job_id, 0) != read.taken or not read.is_of(shelf.jobs.get(job_id)):
            return False
        taken = len(read.chunks)
        left = shelf.chunks.pop(job_id, [])[taken:]
        if left:
            shelf.chunks[job_id] = left
        shelf.taken[job_id] = read.taken + taken
        return True

    async def first_due(self) -> FirstDue | None:
        """The earliest deadline of any job."""
        return self._deadlines.first()

    def has_work(self) -> bool:
        """Whether a job waits or runs, or a delivery is owed."""
        counts = (shelf.counts for shelf in self._shelves.values())
        return self.deliveries.owes_any or any(one.queued or one.running for one in counts)

    async def counts(self, endpoint: str) -> Counts:
        """The endpoint's counters."""
        return self._shelf(endpoint).counts

    async def queued(self, endpoint: str, most: int | None = None) -> list[str]:
        """Ids of the waiting jobs, `most` at most, first in the queue first."""
        shelf = self._shelf(endpoint)
        if not shelf.held:
            first = shelf.queue.first() if most == 1 else None
            return shelf.queue.keys()[:most] if first is None else [first[1]]
        return sorted((*shelf.queue.keys(), *shelf.held), key=lambda job: shelf.jobs[job].place)[:most]

    async def recent(self, endpoint: str, offset: int, limit: int) -> tuple[list[Job], int]:
        """One page of the jobs, newest first, and how many there are."""
        jobs = self._shelf(endpoint).jobs
        return list(islice(reversed(jobs.values()), offset, offset + limit)), len(jobs)

    async def clear(self, endpoint: str | None = None) -> None:
        """Forget jobs, counters and deliveries, of one endpoint or all, and tell whoever listens to clears."""
        chosen = self._shelves.values() if endpoint is None else [self._shelf(endpoint)]
        running = [job for shelf in chosen for job in shelf.running()]
        if endpoint is None:
            free_later(part for shelf in self._shelves.values() for part in shelf.remains())
            free_later(self._deadlines.remains())
            self._shelves, self._deadlines = {}, Schedule()
        else:
            await self.drop(endpoint)
        self.deliveries.clear(endpoint)
        for listener in self.news.clears:
            listener(Cleared(endpoint, running))

    async def drop(self, endpoint: str) -> None:
        """Forget an endpoint's jobs and counters, of which nobody hears; deliveries stay owed."""
        shelf = self._shelves.pop(endpoint, None)
        if shelf is None:
            return
        free_later((*shelf.remains(), *self._deadlines.remains()))
        self._deadlines = self._deadlines.without(lambda key: key[0] == endpoint)

    async def give_up_deadline(self, endpoint: str, job: str) -> None:
        """Take the job out of the deadlines until it is written again: what should happen then has failed."""
        self._deadlines.set((endpoint, job), None)

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    def dump(self) -> Contents:
        """All there is, as it is in this step; what is written afterwards does not change it."""
        shelves = [shelf.dump(endpoint) for endpoint, shelf in self._shelves.items()]
        return Contents(self._places, shelves, self.deliveries.dump())

    def load(self, contents: Contents) -> None:
        """Keep this too, of which nobody hears. Its endpoints have no jobs yet."""
        self._places = max(self._places, contents.places)
        for kept in contents.shelves:
            shelf = self._shelf(kept.endpoint)
            shelf.load(kept)
            for job in kept.jobs:
                self._deadlines.set((job.endpoint, job.id), job.next_deadline)
        self.deliveries.load(contents.deliveries)

    def _shelf(self, endpoint: str) -> _Shelf:
        shelf = self._shelves.get(endpoint)
        if shelf is None:
            shelf = self._shelves[endpoint] = _Shelf()
        return shelf

    @staticmethod
    def _find(shelf: _Shelf, job: str) -> Job:
        try:
            return shelf.jobs[job]
        except KeyError:
            raise JobNotFound from None

    def _write(self, shelf: _Shelf, transition: Transition) -> None:
        before, after = transition.before, transition.after
        job = transition.job
        count(shelf.counts, transition)
        if after is None:
            del shelf.jobs[job.id]
            self._drop_chunks(shelf, job.id)
        else:
            shelf.jobs[job.id] = after
        if type(transition.event) in _ABOUT_CHUNKS:
            self._keep_chunks(shelf, transition)
        queued = after is not None and after.status is JobStatus.IN_QUEUE
        if queued or (before is not None and before.status is JobStatus.IN_QUEUE):
            shelf.queue.set(job.id, job.place if queued and not job.held else None)
        if queued and job.held:
            shelf.held[job.id] = job.place
        elif shelf.held:
            shelf.held.pop(job.id, None)
        self._deadlines.set((job.endpoint, job.id), transition.due)
        if transition.delivery is not None:
            self.deliveries.owe(transition.delivery)
        for listener in self._listeners:
            listener(transition)

    def _keep_chunks(self, shelf: _Shelf, transition: Transition) -> None:
        event = transition.event
        if isinstance(event, Emitted):
            shelf.chunks.setdefault(transition.job.id, []).extend(event.chunks)
        else:
            self._drop_chunks(shelf, transition.job.id)

    @staticmethod
    def _drop_chunks(shelf: _Shelf, job_id: str) -> None:
        if shelf.chunks or shelf.taken:
            shelf.chunks.pop(job_id, None)
            shelf.taken.pop(job_id, None)
