"""Those who follow what happens in a world: feeds, which get every transition, and waits for whatever may happen."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator

from runpod_emulator.core.jobs.job import Transition
from runpod_emulator.core.jobs.script_state import INWARD
from runpod_emulator.core.records.news import Attempt, Effect
from runpod_emulator.core.time.waiting import Caller, Outcome, WaitingRoom

NEWS = ("news",)
"""The topic of everything that happens to jobs and webhooks."""


class Feeds(Effect):
    """The followers of one world."""

    def __init__(self, room: WaitingRoom) -> None:
        self._room = room
        self._feeds: dict[Callable[[Transition], None], Callable[[], None]] = {}

    def __len__(self) -> int:
        return len(self._feeds)

    @contextlib.contextmanager
    def listening(self, heard: Callable[[Transition], None], wake: Callable[[], None]) -> Iterator[None]:
        """Call `heard` with every transition, and `wake` when the emulator stops."""
        self._feeds[heard] = wake
        try:
            yield
        finally:
            del self._feeds[heard]

    async def wait_for(self, done: Callable[[], Awaitable[bool]], until: int, caller: Caller) -> bool:
        """Wait until `done`, looked at whenever something has happened; False when the time `until` comes first."""
        while not await done():
            if await self._room.wait(NEWS, until, caller) is not Outcome.NEWS:
                return await done()
        return True

    def heard(self, transition: Transition) -> None:
        """Tell all of a transition."""
        self._room.call(NEWS)
        if self._feeds and type(transition.event) not in INWARD:
            for heard in self._feeds:
                heard(transition)

    def tried(self, attempt: Attempt) -> None:
        """Wake those who wait for webhook calls."""
        self._room.call(NEWS)

    def hang_up(self) -> None:
        """Tell all feeds that the emulator stops."""
        for wake in self._feeds.values():
            wake()
