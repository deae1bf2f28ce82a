"""A mock endpoint on a virtual clock, faults to switch on, and every transition heard."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import TRANSITIONS, Job, Transition
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.mocks.script import Ending, Pause, Script, Step
from runpod_emulator.core.mocks.stubs import Stub
from runpod_emulator.core.settings import AT_ONCE, Span, default_settings

from tests.worlds import make_world

WORK = 5_000
"""Milliseconds that a script takes."""


def exactly(milliseconds: int) -> Span:
    return Span(milliseconds, milliseconds)


def fault_of(kind: FaultKind, delay: int = 0, **rule: Any) -> Fault:
    """A fault whose delay is exact."""
    return Fault("", kind, delay=exactly(delay), **rule)


def script(ending: Ending = Ending.OUTPUT, chunks: int = 0, each: int = 1_000, rest: int = WORK) -> Script:
    """A script with stream chunks, one each `each` ms, that ends `rest` ms after the last."""
    steps = tuple(Step(lambda scene: b'"chunk"', True, Pause(exactly(each))) for _ in range(chunks))
    error = (lambda scene: "no luck") if ending is Ending.ERROR else None
    pause = Pause(exactly(rest)) if rest else Pause(AT_ONCE)
    return Script(ending, output=lambda scene: b'"done"', error=error, steps=steps, before_end=pause)


class Mocked:
    """Endpoint `mock`, whose jobs play one script after another."""

    def __init__(self, *scripts: Script, workers: int = 3, concurrency: int = 1, **platform: Any) -> None:
        self.world = make_world(strip_empty_input="keep", **platform)
        self.emulator = self.world.emulator
        self.timeline = self.emulator.timeline
        settings = default_settings("mock", self.emulator.platform, workers_max=workers)
        self.endpoint = self.emulator.endpoints.add_mock(dataclasses.replace(settings), concurrency)
        self.emulator.stubs.add(Stub("all", scripts or (script(),)))
        self.began = self.timeline.now()
        self.heard: list[Transition] = []
        self.emulator.store.news.transitions.append(self.heard.append)

    def fault(self, kind: FaultKind, delay: int = 0, **rule: Any) -> Fault:
        """Switch a fault on."""
        return self.emulator.faults.add(fault_of(kind, delay, **rule))

    async def submit(self, **more: Any) -> Job:
        return await self.endpoint.submit(Submission(b'{"a":1}', **more))

    async def history(self, milliseconds: int = 100_000, **more: Any) -> list[tuple[int, str]]:
        """What becomes of one job: events and their times."""
        began = self.timeline.now()
        job = await self.submit(**more)
        await self.world.advance(milliseconds)
        return [(one.at - began, type(one.event).__name__) for one in self.heard if one.job.id == job.id]

    def expect_sound(self) -> None:
        """Assert that every history is one of the table, and that nobody holds a job that nobody runs."""
        last: dict[str, Job | None] = {}
        ends = Counter[tuple[str, int]]()
        for one in self.heard:
            status = one.before.status if one.before else None
            assert one.before == last.get(one.job.id)
            assert TRANSITIONS[status][type(one.event)] == (one.after.status if one.after else None)
            last[one.job.id] = one.after
            ends[one.job.id, one.job.place] += one.ended
        assert max(ends.values(), default=0) <= 1
        held = {job.id for job in last.values() if job is not None and job.status.value == "IN_PROGRESS"}
        for worker in self.endpoint.fleet.workers.values():
            assert worker.jobs <= held | self.endpoint.work.stray_runs.jobs_of(worker.id)
