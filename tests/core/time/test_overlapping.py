"""Two who catch up at once, where the store that knows deadlines suspends: each fires once, in order, in time."""

from __future__ import annotations

import asyncio
import random

import pytest
from runpod_emulator.core.time.clock import VirtualClock
from runpod_emulator.core.time.timeline import Timeline

from tests.core.steps import turns


class SlowJobs:
    """Deadlines of jobs in a store whose every call takes some turns of the loop."""

    def __init__(self, line: Timeline, seed: int, dues: dict[str, int]) -> None:
        self._line = line
        self._dice = random.Random(seed)
        self.dues = dues
        self.fired: list[tuple[str, int, int]] = []
        """Each with its own time, and what time it was."""

    async def _suspend(self) -> None:
        for _ in range(self._dice.randint(1, 4)):
            await asyncio.sleep(0)

    async def first_due(self) -> tuple[int, str] | None:
        await self._suspend()
        first = min(((due, name) for name, due in self.dues.items()), default=None)
        await self._suspend()
        return first

    async def expire_next(self, now: int) -> None:
        await self._suspend()
        due = [(due, name) for name, due in self.dues.items() if due <= now]
        if due:
            self._fired(*min(due))
        await self._suspend()
        await self._line.present()  # as the verb does that such a deadline causes
        await self._suspend()

    def _fired(self, due: int, name: str) -> None:
        del self.dues[name]
        self.fired.append((name, due, self._line.now()))

    async def may_skip_to(self, due: int) -> bool:
        return True

    def timer(self, name: str, due: int) -> None:
        self._line.at(due, lambda: self.fired.append((name, due, self._line.now())))


def slow(seed: int, **dues: int) -> tuple[Timeline, VirtualClock, SlowJobs]:
    clock = VirtualClock(0)
    line = Timeline(clock)
    jobs = SlowJobs(line, seed, dues)
    line.watch(jobs)
    for due in dues.values():
        line.expect(due)
    return line, clock, jobs


@pytest.mark.parametrize("verbs", [2, 5])
async def test_each_deadline_fires_once_in_order_and_at_its_own_time(verbs: int):
    for seed in range(30):
        line, clock, jobs = slow(seed, b=20, d=40, f=60)
        for name, due in (("a", 10), ("c", 30), ("e", 50)):
            jobs.timer(name, due)
        clock.move_to(100)
        assert await asyncio.gather(*(line.present() for _ in range(verbs))) == [100] * verbs
        assert jobs.fired == [(name, due, due) for name, due in zip("abcdef", range(10, 70, 10), strict=True)], seed


async def test_a_verb_that_comes_as_a_deadline_fires_sees_all_that_was_due_and_the_time_that_it_is():
    for seed in range(30):
        line, clock, jobs = slow(seed, a=10, b=20, c=30)
        clock.move_to(100)
        first = asyncio.ensure_future(line.present())
        while not jobs.fired:
            await asyncio.sleep(0)
        assert line.now() == 100
        assert await line.present() == 100
        assert [name for name, _, _ in jobs.fired] == ["a", "b", "c"], seed
        await first


async def test_a_deadline_that_is_set_meanwhile_is_not_lost():
    for seed in range(60):
        line, clock, jobs = slow(seed, a=10)
        clock.move_to(100)
        dice = random.Random(seed)

        async def verb(name: str, line: Timeline = line, jobs: SlowJobs = jobs, dice: random.Random = dice) -> None:
            await turns(dice.randint(1, 12))
            await line.present()
            jobs.dues[name] = due = 110 + dice.randint(0, 5)
            line.expect(due)

        await asyncio.gather(*(verb(name) for name in "bcde"), line.present())
        clock.move_to(120)
        await line.present()
        assert sorted(name for name, _, _ in jobs.fired) == ["a", "b", "c", "d", "e"], seed


async def test_who_waits_for_one_that_is_given_up_catches_up_itself():
    line, clock, jobs = slow(1, a=10, b=20)
    clock.move_to(100)
    first = asyncio.ensure_future(line.present())
    await asyncio.sleep(0)
    second = asyncio.ensure_future(line.present())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 100
    assert [name for name, _, _ in jobs.fired] == ["a", "b"]
