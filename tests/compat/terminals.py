"""A command in a terminal of its own, as somebody who sits before it meets it. No wait is longer than LIMIT."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.compat.servers import LIMIT, SOURCE, until
from tests.workers.processes import Family

SERVER = (sys.executable, "-m", "runpod_emulator")


class Terminal:
    """A program that leads a session with this terminal; what it shows is kept."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._family = Family()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
        environment |= {"PYTHONPATH": str(SOURCE), "TERM": "xterm", "NO_COLOR": "1", **self._family.environment}
        self._read = 0
        self.text = ""
        self.ended: int | None = None
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execvpe(words[0], list(words), environment)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def sees(self, pattern: str) -> str:
        """Wait for text that comes after what was seen before; returns all up to its end."""
        deadline = time.monotonic() + LIMIT
        while (found := re.search(pattern, self.text[self._read :])) is None:
            assert time.monotonic() < deadline and self._take(), f"no {pattern!r} in:\n{self.text[self._read :]}"
        seen = self.text[self._read : self._read + found.end()]
        self._read += found.end()
        return seen

    @property
    def is_sane(self) -> bool:
        """Whether it waits for lines and shows what is typed, as a shell expects it."""
        flags = termios.tcgetattr(self._master)[3]
        return bool(flags & termios.ICANON and flags & termios.ECHO and flags & termios.ISIG)

    def code(self) -> int:
        """The exit code of the program, negative for a signal."""
        deadline = time.monotonic() + LIMIT
        while self.ended is None:
            assert time.monotonic() < deadline, f"it goes on:\n{self.text}"
            self._take(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.ended = os.waitstatus_to_exitcode(status) if pid else None
        return self.ended

    def processes(self) -> set[int]:
        """Every process that began here, but for the keepers of workers."""
        return self._family.alive()

    def close(self) -> None:
        """Leave nothing behind."""
        if self.ended is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self._family.kill()
        os.close(self._master)

    def _take(self, wait: float = 0.5) -> bool:
        """Read what there is; False when nobody will show anything any more."""
        if not select.select([self._master], [], [], wait)[0]:
            return True
        try:
            self.text += os.read(self._master, 65_536).decode("utf-8", "replace")
        except OSError:
            return False
        return True


Opener = Callable[..., Terminal]


@contextlib.contextmanager
def terminals(folder: Path) -> Iterator[Opener]:
    """Opens terminals in a folder, and closes them."""
    opened: list[Terminal] = []

    def open_one(*words: str) -> Terminal:
        opened.append(Terminal(folder, *words))
        return opened[-1]

    try:
        yield open_one
    finally:
        for one in opened:
            one.close()


__all__ = ["LIMIT", "SERVER", "Opener", "Terminal", "terminals", "until"]
