"""Processes seen from outside, through /proc: which of them a test began, and which still live."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

PROC = os.path.exists("/proc/self/environ")

needs_proc = pytest.mark.skipif(not PROC, reason="needs /proc: Linux, to see processes")


class Family:
    """All processes that have `environment`, which descendants inherit wherever they go."""

    def __init__(self) -> None:
        self._name = f"test-{uuid.uuid4()}"
        self.environment = {"EMULATOR_TEST": self._name}

    def alive(self) -> set[int]:
        """The living ones but for keepers; who has ended but was not waited for is not among them."""
        return {pid for pid in self.all() if not is_keeper(pid)}

    def all(self) -> set[int]:
        """The living ones, keepers too."""
        return {pid for pid in _every() if self._name.encode() in _environment(pid)}

    def kill(self) -> None:
        """End every one."""
        for pid in self.all():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended but was not waited for does not."""
    return _state(pid)[0] not in ("Z", "")


def is_keeper(pid: int) -> bool:
    """Whether a process only waits for a worker to end."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"keeper of ")
    except OSError:
        return False


def zombies() -> set[int]:
    """Children of this process that have ended and were not waited for."""
    return {pid for pid in _every() if _state(pid) == ("Z", os.getpid())}


def _every() -> Iterator[int]:
    return map(int, filter(str.isdigit, os.listdir("/proc") if PROC else ()))


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _state(pid: int) -> tuple[str, int]:
    """The letter of its state, and its parent."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return "", 0
    return state, int(parent)
