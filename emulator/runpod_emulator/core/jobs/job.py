"""One job: its states, the events that move it, and the only `apply`.

All is pure. A `Job` is an immutable record, `apply` returns the next one, and an event that has no row in `TRANSITIONS`
raises and changes nothing. Times are in ms since the epoch; `input`, `output` and `s3_config` are JSON as it came.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from runpod_emulator.core.errors import IllegalTransition, StaleLease
from runpod_emulator.core.jobs.script_state import Looked, Paused, ScriptState, holds

if TYPE_CHECKING:
    from runpod_emulator.core.jobs.deliveries import Delivery

_empty_object = re.compile(rb"\{[ \t\r\n]*\}").fullmatch

BEHIND = 1 << 50
"""Added to the queue rank of a job of low priority; far above any other rank, and exact in a double too."""


class JobStatus(str, Enum):
    """The six states that clients see."""

    IN_QUEUE = "IN_QUEUE"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"

    terminal: bool
    """Whether a job in this state has ended (a FAILED or TIMED_OUT one may be retried)."""

    def __init__(self, name: str) -> None:
        self.terminal = name not in ("IN_QUEUE", "IN_PROGRESS")


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
    owner: str | None = None
    """The server that watches the process of the worker which has the job; None for any other job."""
    taken_at: int | None = None
    ended_at: int | None = None
    progressed: bool = False
    retries: int = 0
    output: bytes | None = None
    error: str | None = None
    kept_until: int | None = None
    script: ScriptState | None = None
    """Of the script that it plays; None where a handler runs it."""
    trace: str = ""
    """The `traceparent` of the request that handed it in, where traces are made and there was one."""
    batch: str = ""
    """The batch of which it is a request, if it is of one."""

    @property
    def next_deadline(self) -> int | None:
        """When time alone will change this job next."""
        if self.status is JobStatus.IN_QUEUE:
            released = self.script.release_due if self.held and self.script is not None else None
            return self.expires_at if released is None else min(self.expires_at, released)
        if self.status is JobStatus.IN_PROGRESS:
            due = self.expires_at
            if self.execution_timeout and self.taken_at is not None:
                due = min(due, self.taken_at + self.execution_timeout)
            return due if self.lease_until is None else min(due, self.lease_until)
        return self.kept_until

    @property
    def runs_until(self) -> int | None:
        """When the present run exceeds its execution timeout."""
        return None if self.taken_at is None or not self.execution_timeout else self.taken_at + self.execution_timeout

    @property
    def scales(self) -> bool:
        """Whether it may bring up a worker while it waits."""
        return not (self.low_priority or self.held)

    @property
    def input_is_empty(self) -> bool:
        """Whether the input is an object without members."""
        return _empty_object(self.input) is not None


@dataclass(frozen=True, slots=True)
class Submitted:
    """A client handed the job in."""


@dataclass(frozen=True, slots=True)
class Released:
    """A job that was held back is there for the workers."""


class Taken(NamedTuple):
    """A worker received the job; `lease_until` is None for a worker whose process is watched, by the server `owner`."""

    worker: str
    lease_until: int | None = None
    owner: str | None = None
    run: int = 0
    """The number of the run that begins, of a job that plays a script."""

    def beginning(self, run: int) -> Taken:
        """This event with the number of a run: what `_replace` returns, in half its time."""
        return Taken(self.worker, self.lease_until, self.owner, run)


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
    script: ScriptState | None = None


@dataclass(frozen=True, slots=True)
class Shortened:
    """A client asked for a shorter life of the result, in milliseconds."""

    ttl: int


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The job and its result are deleted."""


Event = (
    Submitted | Looked | Released | Taken | Renewed | Returned | Requeued | Progressed | Emitted | Paused | Completed
    | Failed | Cancelled | TimedOut | Retried | Shortened | Forgotten
)  # fmt: skip


class Transition(NamedTuple):
    """What one event did. `before` is None for a new job, `after` None for a forgotten one."""

    before: Job | None
    event: Event
    after: Job | None
    at: int
    job: Job
    """The record as it is now, or as it last was."""
    ended: bool
    """Whether this brought the job into a terminal state."""
    left_worker: bool
    """Whether a worker that held the job holds it no more."""
    queued: bool
    """Whether workers can have the job from now on."""
    due: int | None
    """The job's `next_deadline` from now on."""
    delivery: Delivery | None = None
    """What the job's end owes its webhook, written with it."""


NEW = GONE = None
_S = JobStatus

TRANSITIONS: dict[JobStatus | None, dict[type[Any], JobStatus | None]] = {
    NEW: {Submitted: _S.IN_QUEUE},
    _S.IN_QUEUE: {
        Looked: _S.IN_QUEUE,
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
        Paused: _S.IN_PROGRESS,
        Looked: _S.IN_PROGRESS,
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

    Raises IllegalTransition when the table has no row for it, StaleLease when it reports on a hand-out that is over.
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
        return _transition(job, event, None, at)
    at = max(at, job.taken_at or job.submitted_at)  # servers' clocks differ: no duration is negative
    changes = _CHANGES[kind](job, event, at)
    if status is not job.status:
        changes["status"] = status
    return _transition(job, event, _changed(job, changes) if changes else job, at)


def submit(job: Job) -> Transition:
    """The transition that brings a new record into the world."""
    return _transition(None, Submitted(), job, job.submitted_at)


def _transition(before: Job | None, event: Event, after: Job | None, at: int) -> Transition:
    was = None if before is None else before.status
    if after is None:
        assert before is not None
        return Transition(before, event, None, at, before, False, was is _S.IN_PROGRESS, False, None)
    status = after.status
    ended = status.terminal and was is not None and not was.terminal
    left_worker = was is _S.IN_PROGRESS and status is not _S.IN_PROGRESS
    queued = status is _S.IN_QUEUE and not after.held and type(event) not in _UNMOVING
    return Transition(before, event, after, at, after, ended, left_worker, queued, after.next_deadline)


_UNMOVING = (Shortened, Looked)
"""Events after which a job that waits for a worker does so as before."""
Changes = dict[str, Any]
"""Fields of a job, and what they become."""
_PLACES = {name: place for place, name in enumerate(Job._fields)}


def _changed(job: Job, changes: Changes) -> Job:
    """What `_replace` returns, in a third of its time."""
    values = list(job)
    for name, value in changes.items():
        values[_PLACES[name]] = value
    return tuple.__new__(Job, values)


_WITHOUT_WORKER: Changes = {
    "worker": None, "lease_until": None, "owner": None, "taken_at": None, "progressed": False, "output": None
}  # fmt: skip


def _taken(job: Job, event: Taken, at: int) -> Changes:
    changes = {
        "worker": event.worker, "lease": job.lease + 1, "lease_until": event.lease_until, "owner": event.owner,
        "taken_at": at,
    }  # fmt: skip
    if job.script is not None:
        changes["script"] = job.script.begun(event.run)
    return changes


def _lost(job: Job) -> Changes:
    return {**_WITHOUT_WORKER, "script": job.script and job.script.lost(), "retries": job.retries + 1}


def _ended(job: Job, at: int, output: bytes | None = None, error: str | None = None) -> Changes:
    return {
        "output": output, "error": error, "ended_at": at, "lease_until": None, "owner": None,
        "kept_until": at + job.retention,
    }  # fmt: skip


def _retried(job: Job, event: Retried, at: int) -> Changes:
    ttl, script = job.expires_at - job.submitted_at, event.script
    return {
        **_WITHOUT_WORKER, "place": event.place, "submitted_at": at, "expires_at": at + ttl, "retries": 0,
        "held": holds(script), "script": script, "error": None, "ended_at": None, "kept_until": None,
    }  # fmt: skip


def _shortened(job: Job, event: Shortened, at: int) -> Changes:
    if job.kept_until is None:
        return {"retention": min(job.retention, event.ttl)}
    return {"kept_until": min(job.kept_until, at + event.ttl)}


_CHANGES: dict[type[Any], Callable[[Job, Any, int], Changes]] = {
    Looked: lambda job, event, at: {"script": job.script and job.script.looked_at(at)},
    Paused: lambda job, event, at: {"script": job.script and job.script.paused(event.polls)},
    Released: lambda job, event, at: {"held": False, "script": job.script and job.script.released()},
    Taken: _taken,
    Renewed: lambda job, event, at: {"lease_until": event.lease_until, "owner": None},
    Returned: lambda job, event, at: {**_WITHOUT_WORKER, "script": job.script and job.script.given_back()},
    Requeued: lambda job, event, at: _lost(job),
    Progressed: lambda job, event, at: {"output": event.output, "progressed": True},
    Emitted: lambda job, event, at: {},
    Completed: lambda job, event, at: _ended(job, at, event.output),
    Failed: lambda job, event, at: _ended(job, at, event.output, event.error),
    Cancelled: lambda job, event, at: _ended(job, at),
    TimedOut: lambda job, event, at: _ended(job, at, error=event.error),
    Retried: _retried,
    Shortened: _shortened,
}
