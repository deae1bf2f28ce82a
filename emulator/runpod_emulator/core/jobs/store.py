"""What a store must do. It keeps records and indexes, and knows no rule.

Each index is a pure function of a record: the queue (status IN_QUEUE, by `place`), the
deadlines (`next_deadline`), the counts, and the stream chunks that nobody has read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeVar

from runpod_emulator.core.jobs.board import Board
from runpod_emulator.core.jobs.crews import Word
from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.job import Job, JobStatus, Transition
from runpod_emulator.core.jobs.owners import Owners
from runpod_emulator.core.store_errors import Unavailable

Change = Callable[[Job], Transition | None]
"""A pure step from a record to its transition; None, or an error that it raises, leaves the record as it is."""

Value = TypeVar("Value")
Listener = Callable[[Transition], None]


@dataclass(slots=True)
class Counts:
    """How many jobs of one endpoint there are, and were."""

    queued: int = 0
    """Jobs that wait."""
    running: int = 0
    """Jobs that a worker holds."""
    kept: dict[JobStatus, int] = field(default_factory=lambda: dict.fromkeys(JobStatus, 0))
    """Jobs that have ended and are not forgotten, by their state."""
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
    writes: int = 0
    """How often any job was written: of two answers, the one with more is the newer."""

    @property
    def now(self) -> dict[JobStatus, int]:
        """All jobs, by their state."""
        return {**self.kept, JobStatus.IN_QUEUE: self.queued, JobStatus.IN_PROGRESS: self.running}


class Written(NamedTuple):
    """What an `update` did. The counts of the endpoint are those after it, and not to be changed."""

    transition: Transition | None
    """None where nothing was written."""
    counts: Counts


class Claimed(NamedTuple):
    """What a `claim` did. The counts of the endpoint are those after it, and not to be changed."""

    transitions: list[Transition]
    counts: Counts


class Admit(NamedTuple):
    """Whether a job may come in."""

    check: Callable[[Counts], None]
    """Raises an error if it may not; it is given what there is in that very step."""
    most_waiting: int | None = None
    """How many jobs may wait and still let it in, None for any number: what of `check` a distant store can decide."""


class Unread(NamedTuple):
    """A job as it was in one step: its record, and the chunks of its present run that no reader has taken."""

    job: Job
    chunks: list[bytes]
    taken: int
    """How many chunks of this run readers had taken before these."""

    def is_of(self, job: Job | None) -> bool:
        """Whether the job, as it is now, still is in the run of which this was read; one that waits is in none."""
        was = self.job
        if job is None or JobStatus.IN_QUEUE in (job.status, was.status):
            return False
        return (job.place, job.lease) == (was.place, was.lease)


FirstDue = tuple[int, tuple[str, str]]
"""When a deadline is, and endpoint and id of its job."""


class Cleared(NamedTuple):
    """The store has forgotten the jobs of an endpoint, or without one all of its jobs."""

    endpoint: str | None
    running: list[Job]
    """Those that workers held until now."""


@dataclass(frozen=True, slots=True)
class StoreNews:
    """Whom a store calls with what it hears of, wherever that comes from. None of them waits or raises."""

    follow: Callable[[str], None] = lambda endpoint: None
    """Hear of this endpoint's jobs from now on, wherever they change: it is served here."""
    transitions: list[Listener] = field(default_factory=list)
    """Those of one endpoint in the order of the writes."""
    clears: list[Callable[[Cleared], None]] = field(default_factory=list)
    """Each clear in its place among the transitions."""
    words: list[Callable[[Word], None]] = field(default_factory=list)
    """What servers tell each other of the workers of an endpoint, in its place among the transitions."""
    past: list[Callable[[Transition | Cleared], None]] = field(default_factory=list)
    """What happened to an endpoint before this process followed it, as far as the store knows it still."""
    losses: list[Callable[[str], None]] = field(default_factory=list)
    """An endpoint of which transitions were lost: this process was away for long, or the store has forgotten them."""


class Outage(Protocol):
    """When a store fails."""

    on_back: list[Callable[[], None]]
    """Who is called when it was away, and answers again."""

    async def back(self) -> None:
        """Wait until a store that has failed may be asked again; raises StoreAway after `hang_up`."""
        ...

    def hang_up(self) -> None:
        """Let nobody wait for the store any more: the end is near."""
        ...


class NoOutage:
    """That of a store which never fails."""

    def __init__(self) -> None:
        self.on_back: list[Callable[[], None]] = []

    async def back(self) -> None:
        """Nothing to wait for."""

    def hang_up(self) -> None:
        """Nobody waits."""


class DeliveryStore(Protocol):
    """Keeps what is owed to webhooks. A `JobStore` adds to it, in the step that ends a job."""

    @property
    def shared(self) -> bool:
        """Whether senders of other processes are given these deliveries too."""
        ...

    async def claim(self, now: int, most: int, until: int | None) -> list[Delivery]:
        """Owed deliveries that are due, `most` at most, each given to one sender until the time `until`.

        One that is neither recorded nor renewed by then is due again as it is, for any sender. `until` None is for a
        store that is not shared: there a delivery is its sender's until it is recorded.
        """
        ...

    async def renew(self, deliveries: list[Delivery], until: int) -> None:
        """Leave deliveries to the sender who has them, until then; but not those that another one was given since."""
        ...

    async def record(self, delivery: Delivery) -> bool:
        """Write what an attempt made of a delivery; one that is settled is dropped.

        False, and nothing, if another sender was given it since, or it was cleared.
        """
        ...

    async def owe_again(self, delivery: Delivery) -> None:
        """Owe a delivery once more, as it is given here; one of its key that is still owed gives way to it."""
        ...

    async def owes(self) -> bool:
        """Whether any delivery is owed."""
        ...

    async def next_due(self) -> int | None:
        """When the next owed delivery is due that no sender has, or has for a time: then when that is over."""
        ...


class JobStore(Protocol):
    """Keeps jobs and stream chunks. On the memory store no call ever suspends.

    A store is one world's: its keys are endpoints and jobs, and say nothing of namespaces. One that keeps several
    worlds in one place is made with the name of its own. Several processes may each have this same world: each is told
    of transitions and of clears, wherever they come from.
    """

    @property
    def deliveries(self) -> DeliveryStore:
        """What the jobs of this store owe to webhooks."""
        ...

    @property
    def board(self) -> Board | None:
        """Where the servers that use this store tell each other the rest; None as for `owners`."""
        ...

    @property
    def owners(self) -> Owners | None:
        """The servers that use this store; None for one of this process alone, where there is nobody to tell."""
        ...

    outage: Outage
    news: StoreNews
    """Who is told of what happens; of a write of this process before the write returns."""

    async def next_place(self) -> int:
        """A queue rank above all earlier ones."""
        ...

    async def create(self, transition: Transition, admit: Admit | None = None) -> Counts:
        """Write a new job, unless `admit` raises: that is asked in the step that writes, so nothing comes in between.

        Returns the endpoint's counters, not to be changed.
        """
        ...

    async def get(self, endpoint: str, job: str) -> Job:
        """The record; raises JobNotFound."""
        ...

    async def update(self, endpoint: str, job: str, change: Change, patient: bool = False) -> Written:
        """Apply `change` to the record and write the outcome with its delivery; raises JobNotFound.

        Where the store fails meanwhile, a `patient` caller waits until it is known what became of it.
        """
        ...

    async def claim(self, endpoint: str, most: int, change: Change) -> Claimed:
        """Apply `change` to the first jobs of the queue, `most` at most; jobs for which it returns None stay.

        A claim whose answer is lost is waited for: else nobody would know whose these jobs are.
        """
        ...

    async def unread(self, endpoint: str, job: str) -> Unread:
        """The record, and the stream chunks that no reader has taken, in one step; raises JobNotFound.

        They stay until a reader takes them, so one who has left meanwhile takes none from the others.
        """
        ...

    async def acknowledge(self, read: Unread) -> bool:
        """Take the chunks that were read; False, and nothing, if another reader was faster or the run is over.

        Of several who have read the same, one gets True: the others read again.
        """
        ...

    async def first_due(self) -> FirstDue | None:
        """The earliest deadline of any job of the endpoints that are followed."""
        ...

    def has_work(self) -> bool:
        """Whether a job waits or runs, or a delivery is owed, as far as is known here."""
        ...

    async def counts(self, endpoint: str) -> Counts:
        """The endpoint's counters; not to be changed."""
        ...

    async def queued(self, endpoint: str, most: int | None = None) -> list[str]:
        """Ids of the endpoint's waiting jobs, `most` at most, first in the queue first."""
        ...

    async def recent(self, endpoint: str, offset: int, limit: int) -> tuple[list[Job], int]:
        """One page of the endpoint's jobs, newest first, and how many there are."""
        ...

    async def clear(self, endpoint: str | None = None) -> None:
        """Forget jobs, counters and deliveries, of one endpoint or all, and tell whoever listens to clears."""
        ...

    async def drop(self, endpoint: str) -> None:
        """Forget an endpoint's jobs and counters, of which nobody hears; deliveries stay owed."""
        ...

    async def give_up_deadline(self, endpoint: str, job: str) -> None:
        """Take the job out of the deadlines until it is written again: what should happen then has failed."""
        ...

    async def open(self) -> None:
        """Look whether the store will do, before the first call; raises ConfigurationError if it won't."""
        ...

    async def close(self) -> None:
        """Let go of the store: no call follows."""
        ...


async def patiently(store: JobStore, step: Callable[[], Awaitable[Value]]) -> Value:
    """What `step` returns, which is tried again each time the store was away; raises Unavailable after `hang_up`."""
    while True:
        try:
            return await step()
        except Unavailable:
            await store.outage.back()
