"""Polls on an automatic clock: whoever asks again how a job is sees every state of it, and waits for none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from runpod_emulator.core.mocks.stubs import StubBook
from runpod_emulator.core.platform import preset
from runpod_emulator.core.settings import default_settings
from runpod_emulator.core.time.clock import AutoClock, ticks
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.doors.admin.questions import Awaited, wait_until
from runpod_emulator.doors.admin.shapes import all_jobs, one_job
from runpod_emulator.http import wire
from runpod_emulator.http.access import Access
from runpod_emulator.mocking.faults import Fault
from runpod_emulator.mocking.models import Stub
from runpod_emulator.world.world import World

from tests.doors.doors import Doors
from tests.tables import table
from tests.timing import expect_within, timed
from tests.worlds import RecordingLauncher, RecordingPost, TestWorld


class Polled(Doors):
    """A client before the doors of mock endpoints `ep` and `other`, on an automatic clock."""

    def __init__(self) -> None:
        numbers = preset("observed")
        clock, post = AutoClock(), RecordingPost()
        world = World(numbers, wire.webhook_body, clock=clock, post=post, seed=1, rate_limits=False)
        endpoint = world.endpoints.add_mock(default_settings("ep", numbers))
        super().__init__(TestWorld(world, endpoint, RecordingLauncher(), post, clock), Access())
        self.stubs: StubBook = world.stubs

    def stub(self, **stub: Any) -> None:
        written = Stub.model_validate(stub)
        self.world.emulator.stub(written.to_core(taken=self.stubs))

    def fault(self, **fault: Any) -> None:
        self.world.emulator.faults.add(Fault.model_validate(fault).to_core(0))

    async def run(self, **more: Any) -> str:
        answer = await self.post("/run", json={"input": {"a": 1}, **more})
        await self.world.emulator.timeline.settle()
        return str(answer.json()["id"])

    async def look(self, job: str) -> str:
        answer = (await self.get(f"/status/{job}")).json()
        return str(answer.get("output") or answer["status"])

    async def looks(self, job: str, most: int = 10) -> list[str]:
        """What a client sees that polls until the end, without a pause."""
        seen = [await self.look(job)]
        while seen[-1] in ("IN_QUEUE", "IN_PROGRESS", "50%") and len(seen) < most:
            seen.append(await self.look(job))
        return seen

    @property
    def left_out(self) -> float:
        """Seconds of time."""
        skipped: int = self.world.clock.skipped
        return skipped / 1000


@pytest.fixture
async def polled() -> AsyncIterator[Polled]:
    it = Polled()
    yield it
    await it.world.emulator.stop()


Q, P = "IN_QUEUE", "IN_PROGRESS"
HISTORIES: list[tuple[dict[str, Any], list[str], float]] = [
    ({"delay": "20s", "output": "done"}, [P, "done"], 20),
    ({"queue_delay": "5s", "delay": "20s", "output": "done"}, [Q, P, "done"], 25),
    ({"progress": [{"value": "50%", "after": "4s"}], "delay": "6s", "output": "done"}, [P, "50%", "done"], 10),
    ({"delay": "10s", "error": "no luck"}, [P, "FAILED"], 10),
    ({"timeout": True}, [P, "FAILED"], 600),
    ({"polls_before_in_progress": 2, "polls_before_completed": 1, "output": "done"}, [Q, Q, P, "done"], 0),
    ({"queue_delay": "5s", "polls_before_completed": 2, "output": "done"}, [Q, P, P, "done"], 5),
    ({"never": True}, [P] * 10, 0),
]


@timed
@pytest.mark.parametrize(("respond", "seen", "seconds"), HISTORIES)
async def test_a_poller_sees_every_state_and_waits_for_none(
    polled: Polled, respond: dict[str, Any], seen: list[str], seconds: float
) -> None:
    polled.stub(respond=respond)
    job = await polled.run()
    assert await polled.looks(job) == seen
    expect_within(abs(polled.left_out - seconds), 1, "what was left out")


async def test_a_job_that_a_fault_keeps_stays_in_the_queue(polled: Polled) -> None:
    polled.fault(fault="stuck_in_queue")
    polled.stub(respond={"queue_delay": "5s", "output": "done"})
    assert await polled.looks(await polled.run()) == [Q] * 10
    assert not polled.left_out


async def test_other_deadlines_on_the_way_fire_in_their_order(polled: Polled) -> None:
    polled.stub(respond={"delay": "20s", "output": "long"})
    polled.stub(match={"input": {"a": 2}}, respond={"delay": "5s", "output": "short"})
    short, long = await polled.run(input={"a": 2}), await polled.run()
    assert await polled.looks(long) == [P, "long"]
    assert 15 <= polled.left_out <= 21
    records = {one: await polled.endpoint.status(one) for one in (short, long)}
    assert abs(records[long].ended_at - records[short].ended_at - 15_000) < 1_000


async def test_pollers_of_several_jobs_skip_no_state_of_each_other(polled: Polled) -> None:
    polled.stub(respond={"delay": "20s", "output": "long"})
    polled.stub(match={"input": {"a": 2}}, respond={"queue_delay": "5s", "delay": "5s", "output": "short"})
    short, long = await polled.run(input={"a": 2}), await polled.run()
    seen: dict[str, list[str]] = {short: [], long: []}
    for _ in range(4):
        for job in (long, short):
            seen[job].append(await polled.look(job))
    assert list(dict.fromkeys(seen[short])) == [Q, P, "short"]
    assert list(dict.fromkeys(seen[long])) == [P, "long"]


async def test_two_at_once_move_a_job_by_one_state(polled: Polled) -> None:
    polled.stub(respond={"queue_delay": "5s", "delay": "20s", "output": "done"})
    job = await polled.run()
    assert await polled.look(job) == Q
    both = await asyncio.gather(polled.look(job), polled.look(job))
    assert sorted(both) == [P, P]


async def test_a_result_that_its_reader_polls_for_stays(polled: Polled) -> None:
    polled.stub(respond={"delay": "40m", "output": "late"})
    polled.stub(match={"input": {"a": 2}}, respond={"output": "kept"})
    kept, late = await polled.run(input={"a": 2}), await polled.run(policy={"executionTimeout": 3_600_000})
    for _ in range(5):
        assert await polled.look(kept) == "kept"
        assert await polled.look(late) == P


async def waited(polled: Polled, **what: Any) -> None:
    assert not await wait_until(polled.world.emulator, Awaited(**what), Caller())


READING: dict[str, Callable[[Polled, str], Awaitable[object]]] = {
    "an acknowledged webhook": lambda polled, job: polled.world.emulator.timeline.settle(),
    "a wait for the job": lambda polled, job: waited(polled, job=job),
    "a wait for its state": lambda polled, job: waited(polled, status="COMPLETED"),
    "a wait for the end of all": lambda polled, job: waited(polled, idle=True),
    "a look at the job by the admin API": lambda polled, job: one_job(polled.world.emulator, job),
    "at all jobs": lambda polled, job: all_jobs(polled.world.emulator),
    "nothing": lambda polled, job: polled.world.emulator.timeline.settle(),
}


@table("how", READING)
async def test_what_counts_as_reading(how: str) -> None:
    polled = Polled()
    polled.stub(respond={"delay": "40m", "output": "late"})
    polled.stub(match={"input": {"a": 2}}, respond={"output": "first"})
    hook = {"webhook": "http://127.0.0.1:9/"} if "webhook" in how else {}
    first = await polled.run(input={"a": 2}, **hook)
    await READING[how](polled, first)
    late = await polled.run(policy={"executionTimeout": 3_600_000})
    seen = await polled.looks(late)
    assert seen == ([P] * 10 if how == "nothing" else [P, "late"])
    await polled.world.emulator.stop()


async def test_while_something_runs_a_poll_leaves_out_nothing(polled: Polled) -> None:
    polled.stub(respond={"delay": "20s", "output": "done"})
    job = await polled.run()
    with polled.world.emulator.timeline.activity():
        assert await polled.looks(job, 3) == [P] * 3
    assert await polled.looks(job) == ["done"] or await polled.look(job) == "done"


async def test_a_job_at_a_worker_elsewhere_waits_for_that(polled: Polled) -> None:
    world = polled.world.emulator
    remote = world.endpoints.add_remote(default_settings("far", world.platform))
    job = (await polled.http.post("/v2/far/run", json={"input": {"a": 1}})).json()["id"]
    for _ in range(3):
        assert (await polled.http.get(f"/v2/far/status/{job}")).json()["status"] == Q
    assert remote.settings.starts_workers is False and not polled.left_out


@timed
async def test_reading_one_of_many_results_takes_no_longer(polled: Polled) -> None:
    unread = polled.world.emulator.unread
    unread.jobs |= {("ep", f"job-{number}") for number in range(20_000)}
    began = ticks()
    for number in range(1_000):
        unread.told([("ep", f"job-{number}")])
    assert len(unread) == 19_000
    expect_within(ticks() - began, 0.1)
