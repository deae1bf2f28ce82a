"""The port on which an editor attaches to the one worker of an endpoint, handed on from worker to worker."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable


class DebugPort:
    """A port that one worker has at a time. Whoever wants it asks the one before to leave, and waits for its end."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._turn = asyncio.Lock()
        self._leave: Callable[[], None] = _nobody

    @contextlib.asynccontextmanager
    async def turn(self, leave: Callable[[], None]) -> AsyncIterator[None]:
        """Have the port once the worker before has ended; `leave` is called when the next one waits for it."""
        if self._turn.locked():
            self._leave()
        async with self._turn:
            self._leave = leave
            try:
                yield
            finally:
                self._leave = _nobody


def _nobody() -> None:
    """Who is asked to leave where nobody is."""
