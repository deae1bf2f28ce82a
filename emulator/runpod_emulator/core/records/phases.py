"""How a job spent its time: in the queue, waiting for a worker that came up, running; made from its history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from runpod_emulator.core.fleet.arrivals import Arrival
from runpod_emulator.core.records.history import Moment

QUEUED, COLD_START, RUNNING = "queued", "cold start", "running"
_WAITS, _RUNS = "IN_QUEUE", "IN_PROGRESS"


class Phase(NamedTuple):
    """A part of a job's life, in ms since the epoch; a cold start lies within the wait in the queue that it ends."""

    name: str
    began: int
    ended: int | None
    """None for one that goes on."""
    worker: str | None
    """Who runs the job, or came up for it."""
    retries: int
    outcome: str = ""
    """What ended it: the name of the event, "" while it goes on."""


def phases(moments: Iterable[Moment], arrival_of: Callable[[str], Arrival | None]) -> list[Phase]:
    """The parts of a job's life by their beginnings; `arrival_of` says when a worker came up."""
    found: list[Phase] = []
    present: Phase | None = None
    for one in moments:
        if present is not None and _is_in(present, one):
            continue
        if present is not None:
            found += _ended(present, one, arrival_of)
            present = None
        if one.status in (_WAITS, _RUNS):
            name = QUEUED if one.status == _WAITS else RUNNING
            present = Phase(name, one.at, None, one.worker if name == RUNNING else None, one.retries)
    return [*found, present] if present is not None else found


def _is_in(present: Phase, moment: Moment) -> bool:
    """Whether the job still is in this part of its life; each hand-out begins another one."""
    if moment.status == _WAITS:
        return present.name == QUEUED and moment.event != "Retried"
    return moment.status == _RUNS and present.name == RUNNING and moment.event != "Taken"


def _ended(present: Phase, by: Moment, arrival_of: Callable[[str], Arrival | None]) -> Iterator[Phase]:
    yield present._replace(ended=by.at, outcome=by.event)
    arrival = arrival_of(by.worker) if present.name == QUEUED and by.event == "Taken" and by.worker else None
    if arrival is None or arrival.ready_at is None:
        return
    began, ended = max(present.began, arrival.wanted_at), min(by.at, arrival.ready_at)
    if began < ended:
        yield Phase(COLD_START, began, ended, by.worker, present.retries, "ready")
