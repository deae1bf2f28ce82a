"""What tests write, as types: an editor completes it, and mypy and pyright find a misspelling before it runs.

The members are those of stub files, of the admin API and of `runpod-emulator serve`. A test holds these types against
the models that check the values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from re import Pattern
from typing import Any, Literal, TypedDict

ClockMode = Literal["real", "virtual", "auto"]
"""How time passes."""
Status = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]
"""The states of a job."""
Operation = Literal[
    "run", "runsync", "status", "status_sync", "stream", "cancel", "retry", "purge", "health", "metrics", "requests",
    "openai", "balanced",
]  # fmt: skip
"""What a client may ask of an endpoint."""
FaultKind = Literal[
    "status", "latency", "connection_reset", "truncated_body", "not_found_after_run", "lost_job", "stuck_in_queue",
    "output_gone_early", "late_timeout", "executed_twice", "worker_crash", "zombie", "dropped_report", "late_report",
    "repeated_report", "empty_output", "empty_stream", "throttled_workers", "cold_starts", "webhook_late",
    "webhook_duplicate", "webhook_lost", "webhook_out_of_order",
]  # fmt: skip
"""What a fault does."""
FaultProfile = Literal["flaky-network", "cold-fleet", "rate-limited", "edge-timeouts", "worker-crashes"]
"""Several faults together."""
Duration = float | str | timedelta
"""A duration as methods take it: seconds, `31m`, or a timedelta."""
Span = str | timedelta | Literal[0]
"""A duration in a stub or a fault, or a range that the dice choose from: `2s`, `250ms`, `1s-3s`, or a timedelta."""
Json = Any
"""Any JSON; strings in what a stub answers may be templates."""


class HeaderPattern(TypedDict):
    """A header whose value is one of many."""

    regex: str | Pattern[str]


class Match(TypedDict, total=False):
    """The jobs that a stub is for: all that is written must hold."""

    input: Json
    """A part of the input."""
    input_regex: Mapping[str, str | Pattern[str]]
    """Patterns, by path in the input such as `options.0.name`."""
    headers: Mapping[str, str | HeaderPattern | Pattern[str]]
    call: int | Sequence[int]
    """The number, from 1, of the job among those that fit otherwise; or several numbers."""


class Update(TypedDict, total=False):
    """A progress update after a pause."""

    value: Json
    after: Span
    polls: int


class Chunk(TypedDict, total=False):
    """A stream chunk after a pause."""

    chunk: Json
    after: Span
    polls: int


class Step(TypedDict, total=False):
    """A progress update or a stream chunk, where both come mixed."""

    progress: Json
    chunk: Json
    after: Span
    polls: int


class Response(TypedDict, total=False):
    """What one run of a job does; it ends with an output, an error, or one of crash, timeout and never."""

    queue_delay: Span
    """Time in the queue before a worker may have the job."""
    polls_before_in_progress: int
    """Polls by clients that find the job IN_QUEUE."""
    progress: Sequence[Update | Json]
    stream: Sequence[Chunk | Json]
    steps: Sequence[Step]
    delay: Span
    """Time before the end."""
    polls_before_completed: int
    """Polls by clients before the end."""
    output: Json
    error: str
    crash: bool
    """The worker dies in the middle of the job."""
    timeout: bool
    """The job exceeds its execution timeout, or is cut off after `delay`."""
    never: bool
    """The job never ends by itself."""


class _Responding(TypedDict):
    respond: Response | Sequence[Response]
    """The response, or one a run."""


class StubMembers(_Responding, total=False):
    """A stub: jobs that match get this response."""

    id: str
    endpoint: str
    """A pattern as in a shell; any endpoint when left out."""
    match: Match
    priority: int
    times: int
    """How many jobs it takes."""


class FaultMembers(TypedDict, total=False):
    """A fault, but for its kind; which members a kind takes is in docs/testing-clients.md."""

    id: str
    endpoint: str
    operations: Operation | Sequence[Operation]
    calls: int | Sequence[int]
    """Numbers, from 1, of the calls that it strikes among those it fits."""
    probability: float
    seed: int
    times: int
    """How often it strikes at most."""
    ttl: str | timedelta
    """How long it lasts, as `30s`, or a timedelta."""
    delay: Span
    status: int
    headers: Mapping[str, str | int]
    body: Json
    processed: bool
    larger_than: int
    chunks: int
    copies: int


class CallFilter(TypedDict, total=False):
    """Which webhook calls are meant; what is not said may be anything."""

    name: str
    """The last part of the URL."""
    status: int
    """Of the answer; 0 where the connection was dropped."""
    body: Json
    """A part of the JSON body."""
    body_regex: Mapping[str, str | Pattern[str]]
    headers: Mapping[str, str | HeaderPattern | Pattern[str]]


class Filter(TypedDict, total=False):
    """Which requests are meant; what is not said may be anything. Patterns of `re` are searched where they stand."""

    endpoint: str
    """A pattern as in a shell."""
    operation: Operation | Literal["management", "graphql"]
    method: str
    path: str | Pattern[str]
    path_regex: str | Pattern[str]
    status: int
    """Of the answer; 0 where the connection was reset."""
    job: str
    body: Json
    """A part of the JSON body."""
    body_regex: Mapping[str, str | Pattern[str]]
    """Patterns, by path in the body such as `input.prompt`."""
    headers: Mapping[str, str | HeaderPattern | Pattern[str]]
