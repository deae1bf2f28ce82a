"""Waits end by news, by their deadline, by the caller's leaving, or with the room."""

from __future__ import annotations

import asyncio

import pytest
from runpod_emulator.core.time.clock import VirtualClock
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.core.time.waiting import Caller, Outcome, WaitingRoom

from tests.core.passing_time import Passing
from tests.core.steps import finish, started, turns


@pytest.fixture
def room() -> WaitingRoom:
    return WaitingRoom(Timeline(VirtualClock(1_000)))


async def waiting(room: WaitingRoom, count: int, topic: str = "news", until: int | None = None):
    return [await started(room.wait(topic, until)) for _ in range(count)]


async def test_news_wakes_everyone_who_waits_for_it(room: WaitingRoom):
    waits = await waiting(room, 3)
    room.call("news")
    assert await asyncio.gather(*waits) == [Outcome.NEWS] * 3


async def test_one_call_for_one_wakes_the_longest_waiting(room: WaitingRoom):
    waits = await waiting(room, 3)
    for turn in range(3):
        room.call("news", most=1)
        await turns()
        assert [wait.done() for wait in waits] == [True] * (turn + 1) + [False] * (2 - turn)


async def test_two_calls_in_one_step_wake_two(room: WaitingRoom):
    waits = await waiting(room, 3)
    room.call("news", most=1)
    room.call("news", most=1)
    await turns()
    assert [wait.done() for wait in waits] == [True, True, False]
    room.close()


async def test_news_of_another_topic_wakes_nobody(room: WaitingRoom):
    (wait,) = await waiting(room, 1)
    room.call("other")
    await turns()
    assert not wait.done()
    room.close()


async def test_news_before_the_wait_is_not_kept(room: WaitingRoom):
    room.call("news")
    (wait,) = await waiting(room, 1)
    await turns()
    assert not wait.done()
    room.close()


async def test_a_wait_ends_at_its_deadline_and_not_a_millisecond_earlier(passing: Passing):
    line = Timeline(passing.clock)
    room = WaitingRoom(line)
    wait = await started(room.wait("news", line.now() + 90_000))
    await passing.by(89_999)
    await line.catch_up()
    await turns()
    assert not wait.done()
    await passing.by(1)
    await line.catch_up()
    assert await wait is Outcome.DEADLINE
    assert await line.next_due() is None


@pytest.mark.parametrize("until", [0, 999, 1_000])
async def test_a_wait_whose_time_is_over_ends_at_once(room: WaitingRoom, until: int):
    (wait,) = await waiting(room, 1, until=until)
    await turns()
    assert wait.done()
    assert wait.result() is Outcome.DEADLINE


async def test_a_wait_that_ended_leaves_no_deadline_behind(room: WaitingRoom):
    (wait,) = await waiting(room, 1, until=5_000)
    assert await room.timeline.next_due() == 5_000
    room.call("news")
    assert await wait is Outcome.NEWS
    assert await room.timeline.next_due() is None


async def test_a_caller_who_leaves_ends_the_wait(room: WaitingRoom):
    caller = Caller()
    wait = await started(room.wait("news", 5_000, caller))
    caller.hang_up()
    assert await wait is Outcome.HUNG_UP
    assert await room.timeline.next_due() is None


def test_a_caller_who_left_before_does_not_wait(room: WaitingRoom):
    caller = Caller()
    caller.hang_up()
    assert finish(room.wait("news", None, caller)) is Outcome.HUNG_UP


async def test_leaving_after_the_wait_is_harmless(room: WaitingRoom):
    caller = Caller()
    wait = await started(room.wait("news", None, caller))
    room.call("news")
    assert await wait is Outcome.NEWS
    caller.hang_up()
    assert caller.gone
    other = await started(room.wait("news", None))
    caller.hang_up()
    await turns()
    assert not other.done()
    room.close()


async def test_the_first_end_counts(room: WaitingRoom):
    caller = Caller()
    wait = await started(room.wait("news", None, caller))
    room.call("news")
    caller.hang_up()
    room.close()
    assert await wait is Outcome.NEWS
    assert caller.gone


async def test_one_who_left_takes_nobodys_turn(room: WaitingRoom):
    caller = Caller()
    gone = await started(room.wait("news", None, caller))
    (next_one,) = await waiting(room, 1)
    caller.hang_up()
    room.call("news", most=1)
    assert await gone is Outcome.HUNG_UP
    assert await next_one is Outcome.NEWS


async def test_a_wait_that_was_torn_down_takes_nobodys_turn(room: WaitingRoom):
    torn, next_one = await waiting(room, 2, until=5_000)
    torn.cancel()
    await asyncio.gather(torn, return_exceptions=True)
    room.call("news", most=1)
    assert await next_one is Outcome.NEWS
    await room.timeline.settle()


async def test_closing_ends_every_wait_and_each_to_come(room: WaitingRoom):
    waits = [*await waiting(room, 2), *await waiting(room, 2, "other", 5_000)]
    room.close()
    assert await asyncio.gather(*waits) == [Outcome.CLOSED] * 4
    assert finish(room.wait("news", 5_000)) is Outcome.CLOSED
    assert await room.timeline.next_due() is None


async def test_virtual_time_stands_until_the_woken_has_acted(room: WaitingRoom):
    line = room.timeline
    acted: list[int] = []

    async def one() -> None:
        await room.wait("news", 2_000)
        acted.append(line.now())

    task = await started(one())
    line.at(2_500, lambda: acted.append(-1))
    assert await line.advance(3_000) == [2_000, 2_500]
    assert acted == [2_000, -1]
    await task


async def test_a_forgotten_topic_leaves_nothing_behind(room: WaitingRoom):
    for topic in range(100):
        (wait,) = await waiting(room, 1, f"job {topic}")
        room.call(f"job {topic}")
        await wait
    assert not room._topics
