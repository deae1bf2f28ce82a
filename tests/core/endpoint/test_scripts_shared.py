"""Two emulators over one store: either goes on with a job that plays a script, whoever handed it in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.mocks.script import Ending, Scene, Script, Step
from runpod_emulator.core.time.clock import VirtualClock
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.stores.memory import MemoryStore

from tests import worlds
from tests.core.endpoint.test_scripts import JOB, Mock, after, constant, output


class Two:
    """The first takes jobs in, and the workers of the second alone play them; each has the stubs."""

    def __init__(self) -> None:
        clock = VirtualClock()
        store = worlds.STORE() if worlds.STORE is not None else MemoryStore()
        self.first, self.second = (Mock(clock, store, paused_endpoint="queue") for _ in range(2))
        self.both = (self.first, self.second)

    async def begin(self, *scripts: Script, **stub: object) -> None:
        await self.first.emulator.endpoints.configure("ep", workers_max=0)
        for one in self.both:
            one.play(*scripts, **stub)

    async def go_on(self, milliseconds: int) -> None:
        """Let the second's autoscaler look what waits, and time pass."""
        await self.second.endpoint.work.balance()
        await self.second.advance(milliseconds)


@pytest.fixture
async def two() -> AsyncIterator[Two]:
    it = Two()
    yield it
    for one in it.both:
        await one.emulator.stop()


def who(scene: Scene) -> bytes:
    return f'"{scene.headers["x-who"]} {scene.input["a"]} call {scene.call} run {scene.run}"'.encode()


async def test_a_job_that_one_holds_is_released_by_time_at_the_other_and_played_there(two: Two):
    await two.begin(Script(Ending.OUTPUT, output=who, in_queue=after(5_000), before_end=after(1_000)))
    job = await two.first.submit(Submission(b'{"a":1}', headers=[(b"x-who", b"me")]))
    await two.go_on(4_999)
    assert (await two.second.endpoint.status(job)).held
    await two.go_on(1)
    assert (await two.second.endpoint.status(job)).status.value == "IN_PROGRESS"
    await two.go_on(1_000)
    assert (await two.first.endpoint.status(job)).output == b'"me 1 call 1 run 1"'
    assert [one.played for mock in two.both for one in mock.emulator.stubs] == [1, 1]


async def test_polls_count_wherever_they_come(two: Two):
    steps = (Step(constant("half"), pause=after(0, polls=2)),)
    await two.begin(output(in_queue=after(0, polls=2), steps=steps, before_end=after(0, polls=1)))
    job = await two.first.submit()
    seen = []
    for mock in (*two.both, *two.both, two.first, two.second):
        found = await mock.look(job)
        seen.append((found.status.value, found.output))
        await two.go_on(0)
    assert seen == [
        ("IN_QUEUE", None), ("IN_QUEUE", None), ("IN_PROGRESS", None), ("IN_PROGRESS", None),
        ("IN_PROGRESS", b'"half"'), ("COMPLETED", b'"done"'),
    ]  # fmt: skip


async def test_a_retry_is_matched_by_what_the_record_keeps_of_the_request(two: Two):
    await two.begin(Script(Ending.ERROR, error=lambda scene: scene.headers["x-who"]), id="fails")
    job = await two.first.submit(JOB._replace(headers=[(b"x-who", b"me")]))
    await two.go_on(0)
    for one in two.both:
        one.play(Script(Ending.OUTPUT, output=who), checks=(lambda asked: "" if asked.headers else "no headers",))
    await two.second.endpoint.retry(job)
    await two.go_on(0)
    found = await two.first.endpoint.status(job)
    assert (found.error, found.output) == (None, b'"me 1 call 1 run 1"')


async def test_a_job_whose_stub_the_other_does_not_know_fails_and_says_so(two: Two):
    await two.begin(output())
    two.second.emulator.stubs.clear()
    job = await two.first.submit()
    await two.go_on(0)
    found = await two.first.endpoint.status(job)
    assert found.error == "the stub s of this job is not there any more"


async def test_a_job_that_no_stub_matches_says_at_the_other_what_differed(two: Two):
    await two.begin(output(), endpoint="else*", id="other")
    two.second.emulator.stubs.clear()
    job = await two.first.submit()
    await two.go_on(0)
    reason = "no stub matches this job; the nearest is other: endpoint: expected else*, got ep"
    assert (await two.first.endpoint.status(job)).error == reason


async def test_a_program_that_polls_the_other_gets_no_such_job(two: Two):
    await two.begin(output())
    await two.second.emulator.endpoints.configure("ep", workers_max=0)
    job = await two.first.submit()
    work, now = two.second.endpoint.work, two.second.emulator.timeline.now()
    assert await work.take("w", 1, now, Caller(), scripted=False) == []
    assert [taken.id for taken in await work.take("w", 1, now, Caller(), scripted=True)] == [job]


async def test_a_number_goes_back_where_it_was_drawn(two: Two):
    await two.begin(output(1, in_queue=after(5_000)), output(2, in_queue=after(5_000)))
    gone = await two.first.submit()
    await two.second.endpoint.cancel(gone)
    job = await two.first.submit()
    await two.go_on(5_000)
    assert (await two.first.endpoint.status(job)).output == b"1"


async def test_those_who_follow_jobs_are_told_nothing_of_polls(two: Two):
    await two.begin(output(in_queue=after(0, polls=2), before_end=after(0, polls=1)))
    job = await two.first.submit()
    told: list[str] = []
    with two.first.emulator.feeds.listening(lambda news: told.append(type(news.event).__name__), lambda: None):
        for _ in range(4):
            await two.first.look(job)
            await two.go_on(0)
    assert told == ["Released", "Taken", "Completed"]
    assert [moment.event for moment in two.second.emulator.history.of("ep", job)] == ["Submitted", *told]
