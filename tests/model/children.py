"""Worker programs that never run: they are counted, and the test plays them over the worker protocol."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from unittest import mock
from urllib.parse import parse_qs, urlsplit

STOP_GRACE = 10.0
"""Seconds that a worker has to leave which nobody waits for."""
_LINGERS = 3
"""One of so many children goes on for a while when it is told to end."""


class FakeChild:
    """What `runpod_emulator.workers.child.Child` is, without a process."""

    def __init__(self, children: Children) -> None:
        self.last_lines: deque[str] = deque()
        self.endpoint = self.worker = self.world = ""
        self.told = False
        """It was told to end."""
        self._children = children
        self._lingers = False
        self._over = asyncio.Event()

    async def start(
        self,
        interpreter: Sequence[str],
        arguments: Sequence[str],
        environment: Mapping[str, str],
        descriptors: Sequence[int] = (),
        directory: str | None = None,
    ) -> None:
        """Take a process place, and learn what the worker is called."""
        self.endpoint, self.worker = environment["RUNPOD_ENDPOINT_ID"], environment["RUNPOD_POD_ID"]
        self.world = parse_qs(urlsplit(environment["RUNPOD_WEBHOOK_GET_JOB"]).query).get("ns", [""])[0]
        self._children.started += 1
        self._lingers = self._children.started % _LINGERS == 0
        self._children.alive.append(self)

    async def ended(self, *readers: object) -> None:
        """Wait for its end."""
        await self._over.wait()

    def end(self, grace: float | None = None) -> None:
        """What the emulator tells a worker that shall go."""
        self.told = True
        if not self._lingers or grace != STOP_GRACE:
            self.exit()

    def kill(self, sign: object) -> None:
        """What the emulator does to a worker that shall die."""
        self.exit()

    def exit(self) -> None:
        """The program ends."""
        if self in self._children.alive:
            self._children.alive.remove(self)
        self._over.set()

    def how_it_ended(self) -> str:
        """Its end in words."""
        return "exited with code 1"


class Children:
    """Every program that counts as running."""

    def __init__(self) -> None:
        self.alive: list[FakeChild] = []
        self.started = 0

    @property
    def at_work(self) -> list[FakeChild]:
        """Those that have a process place: one that was told to end has none any more."""
        return [child for child in self.alive if not child.told]

    def put_in_place(self, stack: ExitStack) -> None:
        """Let commands start these instead of processes."""

        def child(name: str, printed: object) -> FakeChild:
            return FakeChild(self)

        stack.enter_context(mock.patch("runpod_emulator.workers.command.Child", child))
