"""The kinds of fault: one row each. Validation, the API page and the docs' table are made from these rows.

A kind acts where its `Place` says: the code there asks the book (`FaultBook.draw`) whether a rule of
the kind strikes. One that was seen in production is left out: a progress update that overwrites a
result (`late_progress_overwrites`) would have to be a row of the transition table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from runpod_emulator.core.platform import SECOND
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import AT_ONCE, Span


class Place(str, Enum):
    """Where a kind acts, and so what the numbers in `calls` count."""

    room: str
    """Of the package, where the code is that asks for the kinds of this place."""

    def __new__(cls, counted: str, room: str) -> Place:
        """`counted` is what one call is there."""
        place = str.__new__(cls, counted)
        place._value_, place.room = counted, room
        return place

    REQUEST = "a client's request", "http"
    JOB = "a job that is handed in", "core.endpoint"
    RUN = "a job that a worker takes", "core.endpoint"
    REPORT = "a worker's report on a job", "core.endpoint"
    WORKER = "a worker that starts", "core.endpoint"
    WEBHOOK = "a webhook call", "effects"


@dataclass(frozen=True)
class Row:
    """What there is to know of one kind. Members of a fault are called as users write them."""

    name: str
    place: Place
    meaning: str
    """What goes wrong, for the docs: a sentence without its full stop, with members in backquotes."""
    takes: tuple[str, ...] = ()
    """Members of the kind's own, beside those of every fault (`OF_ALL`)."""
    needs: str = ""
    """The one of them without which the kind would do nothing."""
    usual_delay: Span = AT_ONCE
    """The delay where none is written, in ms."""
    example: str = ""
    """Members of a fault of this kind, as Python writes them."""
    strikes: tuple[Operation, ...] = tuple(Operation)
    """The operations that it can strike, of a kind that takes `operations`."""


OF_JOBS = (Operation.STATUS, Operation.STATUS_SYNC, Operation.STREAM, Operation.CANCEL, Operation.RETRY)
"""Operations on a job that is there."""
_OF_NEW_JOBS = (Operation.RUN, Operation.RUNSYNC)
OF_ALL = ("id", "endpoint", "calls", "probability", "seed", "times", "ttl")
"""Members that every kind takes, beside `fault` itself."""


class FaultKind(str, Enum):
    """What goes wrong."""

    _value_: str
    row: Row

    def __new__(cls, row: Row) -> FaultKind:
        """A kind is equal to its name."""
        kind = str.__new__(cls, row.name)
        kind._value_, kind.row = row.name, row
        return kind

    STATUS = Row(
        "status",
        Place.REQUEST,
        "Another answer, with this `status`. It comes after `delay`; with `processed` the request is carried out",
        ("status", "headers", "body", "operations", "processed", "delay", "larger_than"),
        needs="status",
        example='status=429, headers={"Retry-After": 2}, operations=["run"], times=2',
    )
    LATENCY = Row(
        "latency",
        Place.REQUEST,
        "The answer comes later by `delay`",
        ("delay", "operations", "larger_than"),
        "delay",
        example='delay="100ms-200ms", operations=["status"]',
    )
    CONNECTION_RESET = Row(
        "connection_reset",
        Place.REQUEST,
        "No answer: the connection is reset, after `delay`. With `processed` the request is carried out",
        ("operations", "processed", "delay", "larger_than"),
        example='operations=["run"], processed=True, times=1',
    )
    TRUNCATED_BODY = Row(
        "truncated_body",
        Place.REQUEST,
        "Half of the answer's body, after `delay`, then the connection ends. The request is carried out",
        ("operations", "delay", "larger_than"),
        example='operations=["status"], calls=[2]',
    )
    NOT_FOUND_AFTER_RUN = Row(
        "not_found_after_run",
        Place.REQUEST,
        "404 for a job that was handed in less than `delay` ago",
        ("operations", "delay"),
        usual_delay=Span(SECOND, SECOND),
        example='delay="500ms"',
        strikes=OF_JOBS,
    )
    LOST_JOB = Row(
        "lost_job",
        Place.JOB,
        "`/run` answers with an id, and the job is forgotten at once",
        example="probability=0.1, seed=7",
    )
    STUCK_IN_QUEUE = Row(
        "stuck_in_queue",
        Place.JOB,
        "No worker ever gets the job",
        ("operations",),
        example="times=1",
        strikes=_OF_NEW_JOBS,
    )
    OUTPUT_GONE_EARLY = Row(
        "output_gone_early",
        Place.JOB,
        "The result is kept for `delay` only",
        ("delay", "operations"),
        needs="delay",
        example='delay="10s"',
        strikes=_OF_NEW_JOBS,
    )
    LATE_TIMEOUT = Row(
        "late_timeout",
        Place.JOB,
        "The execution timeout comes later by `delay`",
        ("operations", "delay"),
        usual_delay=Span(2_800, 11_800),  # recorded: the earliest and the latest
        example='delay="5s"',
        strikes=_OF_NEW_JOBS,
    )
    EXECUTED_TWICE = Row(
        "executed_twice",
        Place.RUN,
        "A second worker gets the job as well; what it reports is refused",
        example="times=1",
    )
    WORKER_CRASH = Row(
        "worker_crash",
        Place.RUN,
        "The worker dies, after `delay` or after so many `chunks` of a stream",
        ("delay", "chunks"),
        example="chunks=2, times=1",
    )
    ZOMBIE = Row(
        "zombie",
        Place.RUN,
        "After `delay` the worker counts as lost: its jobs are tried again, it goes on, and what it reports is refused",
        ("delay",),
        example='delay="2s", times=1',
    )
    DROPPED_REPORT = Row(
        "dropped_report",
        Place.REPORT,
        "The result never arrives: the job's lease runs out, and it is tried again",
        example="times=1",
    )
    LATE_REPORT = Row(
        "late_report",
        Place.REPORT,
        "The result arrives later by `delay`",
        ("delay",),
        "delay",
        example='delay="30s"',
    )
    REPEATED_REPORT = Row(
        "repeated_report",
        Place.REPORT,
        "The result arrives again, `copies` times, each `delay` after the one before",
        ("delay", "copies"),
        example='delay="1s", copies=2',
    )
    EMPTY_OUTPUT = Row(
        "empty_output",
        Place.REPORT,
        "The job is COMPLETED without its output",
        example='endpoint="llm*"',
    )
    EMPTY_STREAM = Row(
        "empty_stream",
        Place.REPORT,
        "No chunk of the job's stream arrives; its end does",
        example="times=1",
    )
    THROTTLED_WORKERS = Row(
        "throttled_workers",
        Place.WORKER,
        "The worker is throttled for `delay` longer",
        ("delay",),
        "delay",
        example='delay="2m", ttl="10m"',
    )
    COLD_STARTS = Row(
        "cold_starts",
        Place.WORKER,
        "The worker is initializing for `delay` longer",
        ("delay",),
        "delay",
        example='delay="45s"',
    )
    WEBHOOK_LATE = Row(
        "webhook_late",
        Place.WEBHOOK,
        "The call is made later by `delay`",
        ("delay",),
        "delay",
        example='delay="1m"',
    )
    WEBHOOK_DUPLICATE = Row(
        "webhook_duplicate",
        Place.WEBHOOK,
        "The call is made again, `copies` times",
        ("copies",),
        example="copies=1",
    )
    WEBHOOK_LOST = Row(
        "webhook_lost",
        Place.WEBHOOK,
        "The call never arrives, and counts as failed: it is tried again",
        example="times=2",
    )
    WEBHOOK_OUT_OF_ORDER = Row(
        "webhook_out_of_order",
        Place.WEBHOOK,
        "The call waits for the next one to go first, for `delay` at most",
        ("delay",),
        usual_delay=Span(5 * SECOND, 5 * SECOND),
        example="times=1",
    )
