"""Several servers over one store, on one virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from runpod_emulator.core.jobs.job import Transition
from runpod_emulator.core.rates import OwnCounter
from runpod_emulator.core.records.news import Effect
from runpod_emulator.core.time.clock import VirtualClock
from runpod_emulator.core.time.timeline import Timeline

from tests.stores.shared import SharedStore, View
from tests.worlds import RecordingPost, TestWorld, make_world

Value = TypeVar("Value")
TURNS = 2_000
"""More turns of the loop than any step takes here."""


class Seen(Effect):
    """What one server has won and heard of, as names of events."""

    def __init__(self) -> None:
        self.wins: list[str] = []
        self.news: list[str] = []

    def won(self, transition: Transition) -> None:
        self.wins.append(type(transition.event).__name__)

    def heard(self, transition: Transition) -> None:
        self.news.append(type(transition.event).__name__)


class Servers:
    """Servers `a`, `b` and so on. `most` are the turns that a call of the store takes."""

    def __init__(self, most: int) -> None:
        self.store = SharedStore(most)
        self.clock = VirtualClock()
        self.counter = OwnCounter()
        self.worlds: dict[str, TestWorld] = {}
        self.views: dict[str, View] = {}
        self.seen: dict[str, Seen] = {}
        self._away: set[str] = set()

    async def start(self, name: str, **options: Any) -> TestWorld:
        """One server more, which has beaten for the first time."""
        view, seen = self.store.view(), Seen()
        options.setdefault("post", RecordingPost())
        world = make_world(
            clock=self.clock, store=view, owner=name, counter=self.counter, effects=[seen], workers_max=9, **options
        )
        self.worlds[name], self.views[name], self.seen[name] = world, view, seen
        await world.endpoint.health()
        await self.settle()
        return world

    def kill(self, name: str) -> None:
        """End a server as SIGKILL does: it does nothing more, and nobody is told."""
        world = self.worlds.pop(name)
        world.emulator.timeline.close()
        self.views[name].dead = True

    def sleep(self, name: str) -> None:
        """Stop a server as a laptop's lid or SIGSTOP does."""
        self._away.add(name)
        self.views[name].sleep()

    async def wake(self, name: str) -> None:
        """Go on: it hears what it has missed, and its timers are late."""
        self._away.remove(name)
        self.views[name].wake()
        await self.worlds[name].emulator.timeline.catch_up()
        await self.settle()

    async def settle(self) -> None:
        """Wait until no server does anything any more."""
        for _ in range(2 * len(self.worlds)):  # what one does may cause something at another
            for line in self._lines():
                await line.settle()

    async def advance(self, milliseconds: int) -> None:
        """Move the clock, deadline by deadline; those of one moment are met by all servers at once."""
        end = self.clock.now() + milliseconds
        while True:
            await self.settle()
            dues = [due for line in self._lines() if (due := await line.next_due()) is not None]
            if not dues or min(dues) > end:
                break
            self.clock.move_to(min(dues))
            await asyncio.gather(*(line.catch_up() for line in self._lines()))
        self.clock.move_to(end)

    def _lines(self) -> list[Timeline]:
        return [world.emulator.timeline for name, world in self.worlds.items() if name not in self._away]


async def begun(work: Coroutine[Any, Any, Value]) -> asyncio.Task[Value]:
    """A task that has come to its wait."""
    task = asyncio.ensure_future(work)
    for _ in range(100):
        await asyncio.sleep(0)
    return task


async def done(task: asyncio.Task[Value]) -> Value:
    """What a task returns, for which no time need pass."""
    for _ in range(TURNS):
        if task.done():
            return await task
        await asyncio.sleep(0)
    raise AssertionError("it still waits")
