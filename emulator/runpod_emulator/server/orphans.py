"""As process 1 of a container: what its parents have left behind, and nobody else would reap.

Workers' keepers do so for what workers start. But a keeper may be killed, and `docker exec` leaves
processes too: they all become children of process 1, and stay in the table of processes when they end.
A child of ours that ends is waited for at once by the event loop. One that has ended and is
still there a second later is nobody's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

EVERY = 1.0
"""Seconds between two looks, of which the second reaps."""


class Reaper:
    """Reaps such processes from `begin` on; `proc` is where the system shows processes."""

    def __init__(self, every: float = EVERY, proc: Path = Path("/proc")) -> None:
        self._loop = asyncio.get_running_loop()
        self._every = every
        self._proc = proc
        self._seen: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Look now and again."""
        self._timer = self._loop.call_later(self._every, self._look)

    def end(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        ended = self._ended_children()
        for pid in ended & self._seen:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        self._seen = ended
        self.begin()

    def _ended_children(self) -> set[int]:
        own = str(os.getpid())
        found: set[int] = set()
        for entry in self._proc.iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                    if (state, parent) == ("Z", own):
                        found.add(int(entry.name))
        return found


def reap_orphans() -> None:
    """Begin, if this is process 1 and the system shows its processes."""
    if os.getpid() == 1 and Path("/proc/self/stat").exists():
        Reaper().begin()
