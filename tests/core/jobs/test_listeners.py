"""Each listener hears of the kinds of events that it names, and the named groups are what transitions say."""

from __future__ import annotations

from typing import Any

from runpod_emulator.core.jobs.job import TRANSITIONS, JobStatus, Submitted, Taken, Transition, apply
from runpod_emulator.core.jobs.listeners import ALL, ENDS, LEAVES, QUEUES, by_kind

from tests.core.jobs.test_job import EVENTS, job_in


def test_the_groups_are_what_transitions_say():
    found: dict[str, set[type[Any]]] = {"queued": {Submitted}, "ended": set(), "left_worker": set()}
    for status in JobStatus:
        for kind in TRANSITIONS[status]:
            news = apply(job_in(status), EVENTS[kind.__name__], 9_000)
            for group, kinds in found.items():
                kinds |= {kind} if getattr(news, group) else set()
    assert found == {"queued": set(QUEUES), "ended": set(ENDS), "left_worker": set(LEAVES)}


def test_listeners_are_told_of_what_they_name_in_their_order():
    def one(transition: Transition) -> None: ...

    def other(transition: Transition) -> None: ...

    told = by_kind([(one, (Taken,)), (other, ALL)])
    assert told == {kind: (one, other) if kind is Taken else (other,) for kind in ALL}
