"""The pipe that a child writes its log into, read line by line."""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable

MARK = "\x1e{job}\x1f"
"""What a line of a job begins with, as `runner/output.py` writes it."""
_TURN = 16 * 1024
"""Read at a time: some hundred lines, so that one who prints without end leaves others their turn."""
_ALL = 256 * 1024
"""More than a pipe holds: one read takes all that has been written before it, and never more than a pipe's fill."""


class LogPipe:
    """Calls `line` with each line that comes, without its end; `over` is done when nobody writes any more.

    It owns the descriptor. Whoever must know what was written before now asks for it by `catch_up`.
    """

    def __init__(self, descriptor: int, line: Callable[[bytearray], None]) -> None:
        self._descriptor = descriptor
        self._line = line
        self._rest = bytearray()
        """The beginning of a line."""
        self._cut = False
        """Whether the last line was handed on without its end, which is still to come."""
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._arrived = select.poll()
        self._arrived.register(descriptor, select.POLLIN)
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read)

    def catch_up(self, job: str) -> None:
        """Hand on at once what has been written so far, and a line of this job though it has no end yet.

        It never waits, and does not care who else holds the pipe.
        """
        if self._descriptor >= 0 and self._arrived.poll(0):
            self._read(_ALL)
        if self._rest and self._rest.startswith(MARK.format(job=job).encode()):
            self._hand_on_rest()
            self._cut = True

    def close(self) -> None:
        """Read no more; what has come of an unfinished line is a line."""
        if self._descriptor < 0:
            return
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        if self._rest:
            self._hand_on_rest()
        if not self.over.done():
            self.over.set_result(None)

    def _read(self, most: int = _TURN) -> None:
        if self._descriptor < 0:
            return
        try:
            data = os.read(self._descriptor, most)
        except BlockingIOError:
            return
        if not data:
            self.close()
            return
        if self._cut:
            self._cut = False
            data = data.removeprefix(b"\n")
        first, *others = data.split(b"\n")
        self._rest += first
        for line in others:
            self._hand_on_rest()
            self._rest += line

    def _hand_on_rest(self) -> None:
        line, self._rest = self._rest, bytearray()
        self._line(line)
