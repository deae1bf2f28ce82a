"""When an automatic clock leaves out time: who is on the way is heard first, and no chance is missed."""

from __future__ import annotations

import asyncio

from runpod_emulator.core.time.clock import AutoClock, turn
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.core.time.waiting import Caller, WaitingRoom

HOUR = 3_600_000


class Scene:
    """A time line on an automatic clock, a room, and what was due in an hour."""

    def __init__(self) -> None:
        self.timeline = Timeline(AutoClock())
        self.room = WaitingRoom(self.timeline)
        self.began = self.timeline.now()
        self.timeline.at(self.began + HOUR, lambda: self.room.call("hour"))

    def waits(self) -> asyncio.Task[object]:
        """Somebody waits for that hour."""
        caller = Caller()
        caller.hurries = True
        return asyncio.ensure_future(self.room.wait("hour", None, caller))

    @property
    def has_leapt(self) -> bool:
        return self.timeline.now() - self.began >= HOUR


async def test_who_has_come_waits_or_is_answered_before_time_is_left_out() -> None:
    scene, on_the_way = Scene(), Caller()
    on_the_way.come(scene.timeline)
    waiting = scene.waits()
    for _ in range(50):
        await turn()
    assert not scene.has_leapt
    on_the_way.arrive()
    await asyncio.wait_for(waiting, 5)
    assert scene.has_leapt


async def test_those_who_come_at_once_are_heard_together() -> None:
    scene = Scene()
    waiting = scene.waits()
    await turn()
    late = Caller()
    late.come(scene.timeline)
    late.arrive()
    for _ in range(10):
        await turn()
    assert not scene.has_leapt, "another one may be about to come"
    await asyncio.wait_for(waiting, 5)


async def test_who_is_slow_to_say_what_it_wants_is_left_behind() -> None:
    scene, slow = Scene(), Caller()
    slow.come(scene.timeline)
    await asyncio.wait_for(scene.waits(), 5)
    assert scene.has_leapt
    slow.arrive()


async def test_what_ends_while_time_is_about_to_be_left_out_is_no_reason_to_stay() -> None:
    """Its end comes between the look that finds it running and the next chance to look."""
    scene = Scene()
    waiting = scene.waits()
    leaps, looked = scene.timeline.leaps, asyncio.Event()
    leap = leaps.leap

    async def while_something_runs() -> bool:
        scene.timeline.begin()
        try:
            return await leap()
        finally:
            asyncio.get_running_loop().call_soon(scene.timeline.end)
            leaps.leap = leap  # type: ignore[method-assign]
            looked.set()

    leaps.leap = while_something_runs  # type: ignore[method-assign, assignment]
    await asyncio.wait_for(looked.wait(), 5)
    await asyncio.wait_for(waiting, 5)
    assert scene.has_leapt
