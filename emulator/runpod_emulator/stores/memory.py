"""The store of one process: dictionaries. No method ever suspends."""

from __future__ import annotations

from itertools import islice
from typing import Any

from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.freeing import free_later
from runpod_emulator.core.jobs.job import Emitted, Job, JobStatus, Requeued, Retried, Returned, Transition
from runpod_emulator.core.jobs.store import Change, Counts, Listener
from runpod_emulator.core.time.schedule import Schedule
from runpod_emulator.stores.deliveries import MemoryDeliveries

_ABOUT_CHUNKS = (Emitted, Requeued, Retried, Returned)
"""Events that add unread chunks to a job, or take all of them away."""
_QUEUED = JobStatus.IN_QUEUE


class _Shelf:
    """One endpoint's jobs and indexes."""

    __slots__ = ("chunks", "counts", "held", "jobs", "queue")

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.queue: Schedule[str] = Schedule()
        self.held: dict[str, int] = {}
        """Places of the jobs that no worker can see."""
        self.chunks: dict[str, list[bytes]] = {}
        self.counts = Counts()

    def remains(self) -> list[dict[Any, Any] | list[Any]]:
        """What is to be freed once nobody uses it any more."""
        return [self.jobs, self.held, self.chunks, *self.queue.remains()]


class MemoryStore:
    """A `JobStore` in this process's memory."""

    def __init__(self) -> None:
        self._shelves: dict[str, _Shelf] = {}
        self._deadlines: Schedule[tuple[str, str]] = Schedule()
        self._listeners: list[Listener] = []
        self._places = 0
        self.deliveries = MemoryDeliveries()

    def listen(self, listener: Listener) -> None:
        """Call `listener` after every write, in the same step."""
        self._listeners.append(listener)

    async def next_place(self) -> int:
        """A queue rank above all earlier ones."""
        self._places += 1
        return self._places

    async def create(self, transition: Transition) -> None:
        """Write a new job."""
        self._write(self._shelf(transition.job.endpoint), transition)

    async def get(self, endpoint: str, job: str) -> Job:
        """The record; raises JobNotFound."""
        return self._find(self._shelf(endpoint), job)

    async def update(self, endpoint: str, job: str, change: Change) -> Transition | None:
        """Apply `change` to the record and write the outcome; raises JobNotFound."""
        shelf = self._shelf(endpoint)
        transition = change(self._find(shelf, job))
        if transition is not None:
            self._write(shelf, transition)
        return transition

    async def claim(self, endpoint: str, most: int, change: Change) -> list[Transition]:
        """Apply `change` to the first jobs of the queue, `most` at most; jobs it answers None for stay."""
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
        return claimed

    async def drain(self, endpoint: str, job: str) -> tuple[Job, list[bytes]]:
        """The record and the unread chunks; raises JobNotFound."""
        shelf = self._shelf(endpoint)
        return self._find(shelf, job), shelf.chunks.pop(job, [])

    async def put_back(self, job: Job, chunks: list[bytes]) -> None:
        """Chunks that were drained with the record `job` are unread still; nothing if it is gone or runs anew."""
        shelf = self._shelf(job.endpoint)
        now = shelf.jobs.get(job.id)
        same_run = now is not None and now.lease == job.lease and now.status is not JobStatus.IN_QUEUE
        if same_run and chunks:
            shelf.chunks[job.id] = chunks + shelf.chunks.get(job.id, [])

    async def due(self, now: int) -> tuple[str, str] | None:
        """Endpoint and id of the job with the earliest deadline, if that is not later than `now`."""
        first = self._deadlines.first()
        return first[1] if first is not None and first[0] <= now else None

    async def next_due(self) -> int | None:
        """The earliest deadline of any job."""
        first = self._deadlines.first()
        return None if first is None else first[0]

    def has_work(self) -> bool:
        """Whether a job waits or runs, or a delivery is owed."""
        counts = (shelf.counts for shelf in self._shelves.values())
        return self.deliveries.owes_any or any(one.queued or one.running for one in counts)

    async def counts(self, endpoint: str) -> Counts:
        """The endpoint's counters."""
        return self._shelf(endpoint).counts

    async def queued(self, endpoint: str) -> list[str]:
        """Ids of the waiting jobs, first in the queue first."""
        shelf = self._shelf(endpoint)
        if not shelf.held:
            return shelf.queue.keys()
        return sorted((*shelf.queue.keys(), *shelf.held), key=lambda job: shelf.jobs[job].place)

    async def recent(self, endpoint: str, offset: int, limit: int) -> tuple[list[Job], int]:
        """One page of the jobs, newest first, and how many there are."""
        jobs = self._shelf(endpoint).jobs
        return list(islice(reversed(jobs.values()), offset, offset + limit)), len(jobs)

    async def clear(self, endpoint: str | None = None) -> None:
        """Forget jobs, counters and deliveries, of one endpoint or all; nobody hears of it."""
        if endpoint is None:
            free_later(part for shelf in self._shelves.values() for part in shelf.remains())
            free_later(self._deadlines.remains())
            self._shelves, self._deadlines = {}, Schedule()
        else:
            await self.drop(endpoint)
        self.deliveries.clear(endpoint)

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
        if after is None:
            del shelf.jobs[job.id]
            shelf.chunks.pop(job.id, None)
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
        _count(shelf.counts, before, after, transition)
        if transition.delivery is not None:
            self.deliveries.owe(transition.delivery)
        for listener in self._listeners:
            listener(transition)

    @staticmethod
    def _keep_chunks(shelf: _Shelf, transition: Transition) -> None:
        event = transition.event
        if isinstance(event, Emitted):
            shelf.chunks.setdefault(transition.job.id, []).extend(event.chunks)
        else:
            shelf.chunks.pop(transition.job.id, None)


def _count(counts: Counts, before: Job | None, after: Job | None, transition: Transition) -> None:
    if before is not None:
        counts.now[before.status] -= 1
        if before.status is _QUEUED:
            _count_queued(counts, before, -1)
    if after is not None:
        counts.now[after.status] += 1
        if after.status is _QUEUED:
            _count_queued(counts, after, 1)
        if transition.ended:
            counts.ended[after.status] += 1
    if type(transition.event) is Requeued:
        counts.requeued += 1


def _count_queued(counts: Counts, job: Job, by: int) -> None:
    if job.held:
        counts.held += by
        counts.queued_unscaled += by
        return
    if job.low_priority:
        counts.queued_unscaled += by
    if job.script is not None:
        counts.scripted += by
        counts.scripted_scaled += by * (not job.low_priority)
