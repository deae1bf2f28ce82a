"""What a store must do. It keeps records and indexes, and knows no rule.

Each index is a pure function of a record: the queue (status IN_QUEUE, by `place`), the
deadlines (`next_deadline`), the counts, and the stream chunks that nobody has read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.job import Job, JobStatus, Transition

Change = Callable[[Job], Transition | None]
"""A pure step from a record to its transition; None, or an error that it raises, leaves the record as it is."""

Listener = Callable[[Transition], None]


@dataclass(slots=True)
class Counts:
    """How many jobs of one endpoint there are, and were."""

    now: dict[JobStatus, int] = field(default_factory=lambda: dict.fromkeys(JobStatus, 0))
    ended: dict[JobStatus, int] = field(default_factory=lambda: dict.fromkeys(JobStatus, 0))
    """Cumulative, by the terminal state that was reached."""
    queued_unscaled: int = 0
    """Jobs that wait and bring up no worker."""
    held: int = 0
    """Jobs that wait where no worker can see them."""
    scripted: int = 0
    """Jobs that wait for a worker to play a script."""
    scripted_scaled: int = 0
    """Those of them that may bring up a worker."""
    requeued: int = 0
    """Cumulative: lost workers' jobs that were put back."""

    @property
    def queued(self) -> int:
        """Jobs that wait."""
        return self.now[JobStatus.IN_QUEUE]

    @property
    def running(self) -> int:
        """Jobs that a worker holds."""
        return self.now[JobStatus.IN_PROGRESS]


class DeliveryStore(Protocol):
    """Keeps what is owed to webhooks. A `JobStore` adds to it, in the step that ends a job."""

    async def claim(self, now: int, most: int) -> list[Delivery]:
        """Owed deliveries that are due, `most` at most; each is given out once until `record`."""
        ...

    async def record(self, delivery: Delivery) -> None:
        """Write what an attempt made of a delivery; one that is settled is dropped, one that was cleared stays so."""
        ...

    async def owes(self) -> bool:
        """Whether any delivery is owed."""
        ...

    async def next_due(self) -> int | None:
        """When the next owed delivery that is not given out is due."""
        ...


class JobStore(Protocol):
    """Keeps jobs and stream chunks. On the memory store no call ever suspends."""

    @property
    def deliveries(self) -> DeliveryStore:
        """What the jobs of this store owe to webhooks."""
        ...

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every transition that is heard of."""
        ...

    async def next_place(self) -> int:
        """A queue rank above all earlier ones."""
        ...

    async def create(self, transition: Transition) -> None:
        """Write a new job."""
        ...

    async def get(self, endpoint: str, job: str) -> Job:
        """The record; raises JobNotFound."""
        ...

    async def update(self, endpoint: str, job: str, change: Change) -> Transition | None:
        """Apply `change` to the record and write the outcome with its delivery; raises JobNotFound."""
        ...

    async def claim(self, endpoint: str, most: int, change: Change) -> list[Transition]:
        """Apply `change` to the first jobs of the queue, `most` at most; jobs for which it returns None stay."""
        ...

    async def drain(self, endpoint: str, job: str) -> tuple[Job, list[bytes]]:
        """The record, and the stream chunks nobody has read, in one step; raises JobNotFound."""
        ...

    async def put_back(self, job: Job, chunks: list[bytes]) -> None:
        """Chunks that were drained with the record `job` are unread still; nothing if it is gone or runs anew."""
        ...

    async def due(self, now: int) -> tuple[str, str] | None:
        """Endpoint and id of the job with the earliest deadline, if that is not later than `now`."""
        ...

    async def next_due(self) -> int | None:
        """The earliest deadline of any job."""
        ...

    def has_work(self) -> bool:
        """Whether a job waits or runs, or a delivery is owed, as far as is known here."""
        ...

    async def counts(self, endpoint: str) -> Counts:
        """The endpoint's counters; not to be changed."""
        ...

    async def queued(self, endpoint: str) -> list[str]:
        """Ids of the endpoint's waiting jobs, first in the queue first."""
        ...

    async def recent(self, endpoint: str, offset: int, limit: int) -> tuple[list[Job], int]:
        """One page of the endpoint's jobs, newest first, and how many there are."""
        ...

    async def clear(self, endpoint: str | None = None) -> None:
        """Forget jobs, counters and deliveries, of one endpoint or all; nobody hears of it."""
        ...

    async def drop(self, endpoint: str) -> None:
        """Forget an endpoint's jobs and counters, of which nobody hears; deliveries stay owed."""
        ...

    async def give_up_deadline(self, endpoint: str, job: str) -> None:
        """Take the job out of the deadlines until it is written again: what should happen then has failed."""
        ...
