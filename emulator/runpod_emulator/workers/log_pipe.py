"""The pipe that a child writes its log into."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
from collections.abc import Callable, Iterable

from runpod_emulator.workers.lines import Lines

_FILL = 16 * 1024
"""Bytes that the pipe holds, where the system lets us say so: a child that prints more waits until we have read it."""
_TURN, _LINES = 8 * 1024, 300
"""Bytes read at a time, and lines that are expected in them, so that one who prints without end leaves others their
turn: a line takes some 15 µs."""
_ALL = 256 * 1024
"""More than any pipe holds: one read takes all that has been written before it, and never more than a pipe's fill."""


def log_pipe() -> tuple[int, int]:
    """The descriptors to read from and to write to."""
    ours, theirs = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, _FILL)
    return ours, theirs


class LogPipe:
    """Calls `line` with each line that comes, without its end; `over` is done when nobody writes any more.

    It owns the descriptor, and tears none of the `secrets` in two. Whoever must know what was written before now asks
    for it by `catch_up`.
    """

    def __init__(self, descriptor: int, line: Callable[[bytes], None], secrets: Iterable[bytes] = ()) -> None:
        self._descriptor = descriptor
        self._lines = Lines(line, secrets)
        self._turn = _TURN
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._arrived = select.poll()
        self._arrived.register(descriptor, select.POLLIN)
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read)

    def catch_up(self, unfinished: bool) -> None:
        """Hand on at once what has been written so far, a line that has no end yet only if `unfinished`.

        It never waits, and does not care who else holds the pipe.
        """
        if self._descriptor >= 0 and self._arrived.poll(0):
            self._read(_ALL)
        if unfinished:
            self._lines.finish()

    def close(self) -> None:
        """Read no more; what has come of an unfinished line is a line."""
        if self._descriptor < 0:
            return
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        self._lines.finish()
        if not self.over.done():
            self.over.set_result(None)

    def _read(self, most: int = 0) -> None:
        if self._descriptor < 0:
            return
        try:
            data = os.read(self._descriptor, most or self._turn)
        except BlockingIOError:
            return
        if data:
            self._turn = min(_TURN, 1 + _LINES * len(data) // (1 + data.count(b"\n")))
            self._lines.feed(data)
        else:
            self.close()
