"""Those who follow what happens in a world: feeds, which get every transition, and waits for whatever may happen."""

from __future__ import annotations

import contextlib
import itertools
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
        self._feeds: dict[object, Callable[[], None]] = {}
        self.followers: dict[object, Callable[[Transition], None]] = {}
        """Whom to tell of each transition."""
        self.numbers = itertools.count(1)
        """Of what readers are sent, so that the numbers rise for each of them, also for one who comes again."""

    def __len__(self) -> int:
        return len(self._feeds)

    @contextlib.contextmanager
    def listening(self, heard: Callable[[Transition], None], wake: Callable[[], None]) -> Iterator[None]:
        """Call `heard` with every transition, and `wake` when the emulator stops."""
        with (
            self.reading(wake),
            self._following(lambda transition: None if type(transition.event) in INWARD else heard(transition)),
        ):
            yield

    @contextlib.contextmanager
    def reading(self, wake: Callable[[], None]) -> Iterator[None]:
        """Somebody reads what happens: `wake` is called when the emulator stops."""
        reader = object()
        self._feeds[reader] = wake
        try:
            yield
        finally:
            del self._feeds[reader]

    async def wait_for(self, done: Callable[[], Awaitable[bool]], until: int, caller: Caller) -> bool:
        """Wait until `done`, looked at whenever something has happened; False when the time `until` comes first."""
        with self._following(lambda transition: self._room.call(NEWS)):
            while not await done():
                if await self._room.wait(NEWS, until, caller) is not Outcome.NEWS:
                    return await done()
        return True

    @contextlib.contextmanager
    def _following(self, follow: Callable[[Transition], None]) -> Iterator[None]:
        follower = object()
        self.followers[follower] = follow
        try:
            yield
        finally:
            del self.followers[follower]

    def tried(self, attempt: Attempt) -> None:
        """Wake those who wait for webhook calls."""
        self._room.call(NEWS)

    def hang_up(self) -> None:
        """Tell all feeds that the emulator stops."""
        for wake in self._feeds.values():
            wake()
