"""The log in a file: appended to, made anew where it was moved away, and never a reason to stop."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from runpod_emulator.core.errors import ConfigurationError


class LogFile:
    """A file to which lines are appended; raises ConfigurationError where it can't be written at the start.

    What can't be written later is dropped. `tell` is told once that this begins, and how many lines it were when it is
    over.
    """

    def __init__(self, path: Path, tell: Callable[[str], None]) -> None:
        self._path = path
        self._tell = tell
        self._descriptor = -1
        self._lost = 0
        self._torn = False
        """Whether only a part of the last line was written."""
        try:
            self._open()
        except OSError as error:
            raise ConfigurationError(f"--log-file: {path} can't be written: {error.strerror or error}") from error

    def write(self, line: str) -> None:
        """Append a line."""
        try:
            if self._was_moved():
                self._open()
            self._append(line.encode("utf-8", "backslashreplace") + b"\n")
        except OSError as error:
            self._lost += 1
            if self._lost == 1:
                self._tell(f"the log file {self._path} can't be written: {error.strerror or error}; lines are dropped")
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self._tell(f"the log file {self._path} is written again; {lost} lines are missing in it")

    def close(self) -> None:
        """Write no more."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        self.close()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe that nobody reads raises
        self._descriptor = os.open(self._path, flags, 0o666)
        self._torn = False

    def _was_moved(self) -> bool:
        """Whether another file, or none, has its name by now: logs are rotated so."""
        if self._descriptor < 0:
            return True
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return True
        here = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)

    def _append(self, data: bytes) -> None:
        rest = memoryview(b"\n" + data if self._torn else data)
        while rest:
            written = os.write(self._descriptor, rest)
            rest, self._torn = rest[written:], True
        self._torn = False
