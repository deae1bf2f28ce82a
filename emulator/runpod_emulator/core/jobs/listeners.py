"""Who is told of which events of jobs. Most concern few: who has no use for one is not called for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, get_args

from runpod_emulator.core.jobs.job import (
    Cancelled,
    Completed,
    Event,
    Failed,
    Forgotten,
    Released,
    Requeued,
    Retried,
    Returned,
    Submitted,
    TimedOut,
    Transition,
)  # fmt: skip

Kinds = Collection[type[Any]]
"""Kinds of events."""
Listener = Callable[[Transition], None]

ALL: Kinds = get_args(Event)
QUEUES: Kinds = (Submitted, Released, Returned, Requeued, Retried)
"""After these, workers may have the job."""
ENDS: Kinds = (Completed, Failed, Cancelled, TimedOut)
"""These bring a job to its end."""
LEAVES: Kinds = (Returned, Requeued, *ENDS, Forgotten)
"""After these, no worker has the job."""

ByKind = Mapping[type[Any], tuple[Listener, ...]]
"""Whom to call for each kind of event."""


def by_kind(rows: Iterable[tuple[Listener, Kinds]]) -> ByKind:
    """The listeners of each kind, in the order of the rows: each says of which kinds it wants to hear."""
    listed = list(rows)
    return {kind: tuple(listener for listener, kinds in listed if kind in kinds) for kind in ALL}
