"""One job: its states, the events that move it, and the only `apply`.

Everything here is pure. A `Job` is an immutable record, `apply` answers the next
one, and an event that has no row in `TRANSITIONS` raises and changes nothing. Times
are milliseconds since the epoch; ``input``, ``output`` and ``s3_config`` are JSON
text as it came over the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from emulator.core.errors import IllegalTransition, StaleLease

if TYPE_CHECKING:
    from emulator.core.deliveries import Delivery


class JobStatus(str, Enum):
    """The six states that clients see."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    @property
    def terminal(self) -> bool:
        """Whether a job in this state has ended (a FAILED or TIMED_OUT one may be retried)."""
        return self not in (JobStatus.IN_QUEUE, JobStatus.IN_PROGRESS)


class Job(NamedTuple):
    """One job as every store keeps it."""

    endpoint: str
    id: str
    status: JobStatus
    input: bytes
    submitted_at: int
    expires_at: int
    """Submission plus TTL: an unfinished job ends here."""
    retention: int
    """How long the result is kept once the job has ended."""
    execution_timeout: int
    """Limit of one run; 0 is none."""
    place: int
    """Rank in the queue; smaller runs first. A job that comes back keeps its rank, so it stands at the head."""
    low_priority: bool = False
    held: bool = False
    """Whether it waits where no worker can see it: a script keeps it there."""
    webhook: str | None = None
    s3_config: bytes | None = None
    worker: str | None = None
    lease: int = 0
    """Counts the hand-outs of this job; a report must carry the present number."""
    lease_until: int | None = None
    """When a silent worker is given up; None while the worker's own process is watched."""
    taken_at: int | None = None
    ended_at: int | None = None
    progressed: bool = False
    retries: int = 0
    output: bytes | None = None
    error: str | None = None
    kept_until: int | None = None

    @property
    def next_deadline(self) -> int | None:
        """When time alone will change this job next."""
        if self.status is JobStatus.IN_QUEUE:
            return self.expires_at
        if self.status is JobStatus.IN_PROGRESS:
            limits = (self.expires_at, self.runs_until, self.lease_until)
            return min(limit for limit in limits if limit is not None)
        return self.kept_until

    @property
    def runs_until(self) -> int | None:
        """When the present run exceeds its execution timeout."""
        if self.taken_at is None or not self.execution_timeout:
            return None
        return self.taken_at + self.execution_timeout

    @property
    def scales(self) -> bool:
        """Whether it may bring up a worker while it waits."""
        return not (self.low_priority or self.held)

    @property
    def input_is_empty(self) -> bool:
        """Whether the input is an object without members."""
        return self.input == b"{}" or (self.input.startswith(b"{") and self.input[1:-1].isspace())


@dataclass(frozen=True, slots=True)
class Submitted:
    """A client handed the job in."""


@dataclass(frozen=True, slots=True)
class Released:
    """A job that was held back is there for the workers."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A worker received the job; `lease_until` is None for a worker whose process is watched."""

    worker: str
    lease_until: int | None = None


@dataclass(frozen=True, slots=True)
class Renewed:
    """A sign of life moved the lease's end."""

    lease: int
    lease_until: int | None


@dataclass(frozen=True, slots=True)
class Returned:
    """The job could not be handed over after all: back to the head of the queue, uncounted."""

    lease: int


@dataclass(frozen=True, slots=True)
class Requeued:
    """The worker was lost: back to the head of the queue, counted in `retries`."""

    lease: int


@dataclass(frozen=True, slots=True)
class Progressed:
    """A progress update; `output` is its JSON."""

    lease: int
    output: bytes


@dataclass(frozen=True, slots=True)
class Emitted:
    """Stream chunks, oldest first; each is the JSON of one output."""

    lease: int
    chunks: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Completed:
    """The worker reported success; `output` is None when the handler gave none."""

    lease: int
    output: bytes | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The run ended with an error. `lease` None: the platform itself ended it."""

    error: str
    output: bytes | None = None
    lease: int | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A client cancelled the job."""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """A deadline passed and the service calls that TIMED_OUT."""

    error: str


@dataclass(frozen=True, slots=True)
class Retried:
    """A client asked for another run: all counts start anew, at the tail of the queue."""

    place: int
    held: bool = False


@dataclass(frozen=True, slots=True)
class Shortened:
    """A client asked for a shorter life of the result, in milliseconds."""

    ttl: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The job and its result are deleted."""


Event = (
    Submitted | Released | Taken | Renewed | Returned | Requeued | Progressed | Emitted | Completed | Failed
    | Cancelled | TimedOut | Retried | Shortened | Forgotten
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Transition:
    """What one event did. `before` is None for a new job, `after` None for a forgotten one."""

    before: Job | None
    event: Event
    after: Job | None
    at: int
    delivery: Delivery | None = None
    """What the job's end owes its webhook, written with it."""

    @property
    def job(self) -> Job:
        """The record as it is now, or as it last was."""
        job = self.after or self.before
        assert job is not None
        return job

    @property
    def ended(self) -> bool:
        """Whether this brought the job into a terminal state."""
        if self.before is None or self.after is None:
            return False
        return self.after.status.terminal and not self.before.status.terminal

    @property
    def left_worker(self) -> bool:
        """Whether a worker that held the job holds it no more."""
        held = self.before is not None and self.before.status is JobStatus.IN_PROGRESS
        return held and (self.after is None or self.after.status is not JobStatus.IN_PROGRESS)

    @property
    def queued(self) -> bool:
        """Whether workers can have the job from now on."""
        after = self.after
        waits = after is not None and after.status is JobStatus.IN_QUEUE and not after.held
        return waits and not isinstance(self.event, Shortened)


NEW = None
GONE = None
_S = JobStatus

TRANSITIONS: dict[JobStatus | None, dict[type[Any], JobStatus | None]] = {
    NEW: {Submitted: _S.IN_QUEUE},
    _S.IN_QUEUE: {
        Released: _S.IN_QUEUE,
        Taken: _S.IN_PROGRESS,
        Shortened: _S.IN_QUEUE,
        Cancelled: _S.CANCELLED,
        TimedOut: _S.TIMED_OUT,
        Forgotten: GONE,
    },
    _S.IN_PROGRESS: {
        Renewed: _S.IN_PROGRESS,
        Progressed: _S.IN_PROGRESS,
        Emitted: _S.IN_PROGRESS,
        Shortened: _S.IN_PROGRESS,
        Returned: _S.IN_QUEUE,
        Requeued: _S.IN_QUEUE,
        Completed: _S.COMPLETED,
        Failed: _S.FAILED,
        Cancelled: _S.CANCELLED,
        TimedOut: _S.TIMED_OUT,
        Forgotten: GONE,
    },
    _S.COMPLETED: {Shortened: _S.COMPLETED, Forgotten: GONE},
    _S.FAILED: {Retried: _S.IN_QUEUE, Shortened: _S.FAILED, Forgotten: GONE},
    _S.CANCELLED: {Shortened: _S.CANCELLED, Forgotten: GONE},
    _S.TIMED_OUT: {Retried: _S.IN_QUEUE, Shortened: _S.TIMED_OUT, Forgotten: GONE},
}


def apply(job: Job, event: Event, at: int) -> Transition:
    """What `event` makes of `job` at time `at`.

    Raises IllegalTransition when the table has no row for it, StaleLease when it
    reports on a hand-out that is over.
    """
    row = TRANSITIONS[job.status]
    kind = type(event)
    if kind not in row:
        raise IllegalTransition(job.status.value, kind.__name__)
    lease = getattr(event, "lease", None)
    if lease is not None and lease != job.lease:
        raise StaleLease(job.status.value, kind.__name__)
    status = row[kind]
    if status is GONE:
        return Transition(job, event, None, at)
    after = _CHANGES[kind](job, event, at)
    return Transition(job, event, after._replace(status=status), at)


def submit(job: Job) -> Transition:
    """The transition that brings a new record into the world."""
    return Transition(None, Submitted(), job, job.submitted_at)


def _taken(job: Job, event: Taken, at: int) -> Job:
    lease = job.lease + 1
    return job._replace(worker=event.worker, lease=lease, lease_until=event.lease_until, taken_at=at)


def _renewed(job: Job, event: Renewed, at: int) -> Job:
    return job._replace(lease_until=event.lease_until)


def _returned(job: Job, event: Returned, at: int) -> Job:
    return job._replace(worker=None, lease_until=None, taken_at=None, progressed=False, output=None)


def _requeued(job: Job, event: Requeued, at: int) -> Job:
    back = _returned(job, Returned(event.lease), at)
    return back._replace(retries=job.retries + 1)


def _progressed(job: Job, event: Progressed, at: int) -> Job:
    return job._replace(output=event.output, progressed=True)


def _unchanged(job: Job, event: Event, at: int) -> Job:
    return job


def _ended(job: Job, at: int, output: bytes | None = None, error: str | None = None) -> Job:
    return job._replace(output=output, error=error, ended_at=at, lease_until=None, kept_until=at + job.retention)


def _retried(job: Job, event: Retried, at: int) -> Job:
    fresh = _returned(job, Returned(job.lease), at)
    ttl = job.expires_at - job.submitted_at
    return fresh._replace(
        place=event.place, submitted_at=at, expires_at=at + ttl, retries=0,
        held=event.held, error=None, ended_at=None, kept_until=None,
    )  # fmt: skip


def _shortened(job: Job, event: Shortened, at: int) -> Job:
    if job.kept_until is None:
        return job._replace(retention=min(job.retention, event.ttl))
    return job._replace(kept_until=min(job.kept_until, at + event.ttl))


_CHANGES: dict[type[Any], Callable[[Job, Any, int], Job]] = {
    Released: lambda job, event, at: job._replace(held=False),
    Taken: _taken,
    Renewed: _renewed,
    Returned: _returned,
    Requeued: _requeued,
    Progressed: _progressed,
    Emitted: _unchanged,
    Completed: lambda job, event, at: _ended(job, at, event.output),
    Failed: lambda job, event, at: _ended(job, at, event.output, event.error),
    Cancelled: lambda job, event, at: _ended(job, at),
    TimedOut: lambda job, event, at: _ended(job, at, error=event.error),
    Retried: _retried,
    Shortened: _shortened,
}
