"""Whatever faults are on: histories are those of the table, ends come once a run, and nothing is left counted."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import IllegalTransition, JobNotFound, NotRetryable
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.platform import DAY
from runpod_emulator.core.settings import Span

from tests.core.faulty_worlds import Ending, Mocked, script

KINDS = [kind for kind in FaultKind if kind not in (FaultKind.STATUS, FaultKind.LATENCY)]

ACTIONS = ["submit"] * 4 + ["pass"] * 4 + ["cancel", "retry", "gone", "purge", "clear"]


@st.composite
def faults(draw: st.DrawFn) -> dict[str, Any]:
    low = draw(st.sampled_from([0, 1, 500, 4_000, 60_000]))
    return {
        "kind": draw(st.sampled_from(KINDS)),
        "delay": Span(low, low + draw(st.sampled_from([0, 3_000]))),
        "probability": draw(st.sampled_from([0.3, 1.0])),
        "times": draw(st.sampled_from([None, 1, 4])),
        "count": draw(st.sampled_from([None, 1, 2])),
    }


scripts = st.lists(
    st.builds(
        script,
        st.sampled_from([Ending.OUTPUT] * 3 + [Ending.ERROR, Ending.CRASH, Ending.TIMEOUT, Ending.NEVER]),
        chunks=st.integers(0, 3),
        each=st.sampled_from([0, 700]),
        rest=st.sampled_from([0, 2_000, 12_000]),
    ),
    min_size=1,
    max_size=4,
)
doings = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 30)),
    min_size=5,
    max_size=40,
)  # fmt: skip


class Life:
    """Clients do what they like with a mock endpoint."""

    def __init__(self, mocked: Mocked) -> None:
        self.mocked = mocked
        self.jobs: list[str] = []

    async def do(self, what: str, number: int) -> None:
        endpoint = self.mocked.endpoint
        if what == "submit":
            submission = Submission(
                b'{"a":1}', "http://127.0.0.1:9/", 9_000 if number % 4 else None, sync=not number % 5
            )
            self.jobs.append((await endpoint.submit(submission)).id)
        elif what == "pass":
            await self.mocked.world.advance(number * number * 20)
        elif what == "purge":
            await endpoint.purge()
        elif what == "clear":
            self.mocked.emulator.faults.clear()
        elif what == "gone" and endpoint.fleet.workers:
            self.mocked.endpoint.workforce.launcher.replace(sorted(endpoint.fleet.workers)[0])
        elif what in ("cancel", "retry") and self.jobs:
            with contextlib.suppress(JobNotFound, NotRetryable, IllegalTransition):
                await getattr(endpoint, what)(self.jobs[number % len(self.jobs)])
        self.mocked.expect_sound()

    async def end(self) -> None:
        """Let everything come to its end."""
        mocked = self.mocked
        await mocked.world.advance(3 * DAY)
        await mocked.timeline.settle()
        mocked.expect_sound()
        assert not mocked.endpoint.work.stray_runs.workers
        assert not mocked.endpoint.work.hooks.runs
        assert not [worker for worker in mocked.endpoint.fleet.workers.values() if worker.jobs]
        health = await mocked.endpoint.health()
        assert (health.queued, health.running) == (0, 0)
        assert await mocked.emulator.store.deliveries.next_due() is None


async def live(mocked: Mocked, rules: list[dict[str, Any]], doings: list[tuple[str, int]]) -> Mocked:
    """A whole life under these faults, to its end."""
    for rule in rules:
        mocked.emulator.faults.add(Fault("", **rule))
    life = Life(mocked)
    for what, number in doings:
        await life.do(what, number)
    await life.end()
    assert await mocked.emulator.idle()
    await mocked.emulator.stop()
    return mocked


@pytest.mark.one_step
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(faults(), min_size=1, max_size=5), scripts, doings, st.integers(1, 3), st.integers(1, 3))
async def test_whatever_goes_wrong_the_table_decides(rules, plays, doings, workers, concurrency):
    mocked = await live(Mocked(*plays, workers=workers, concurrency=concurrency, rate_limits=False), rules, doings)
    submitted = [one for one in mocked.heard if one.before is None]
    assert len(submitted) == len({one.job.id for one in mocked.heard})


@pytest.mark.parametrize("kind", KINDS)
async def test_many_jobs_under_one_fault(kind: FaultKind):
    mocked = Mocked(script(chunks=2, rest=1_500), workers=2, concurrency=2)
    mocked.emulator.faults.add(Fault("", kind, delay=Span(0, 5_000), probability=0.5, count=1))
    life = Life(mocked)
    for number in range(60):
        await life.do("submit", number)
        await life.do("pass", number % 6)
    await life.end()
    assert len(mocked.heard) >= 3 * 60 or kind in (FaultKind.LOST_JOB, FaultKind.STUCK_IN_QUEUE)
