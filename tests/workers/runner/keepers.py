"""Programs below a keeper, and the end of its leash that a server would hold."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.compat.servers import LIMIT
from tests.workers.processes import Family
from tests.workers.runner.conftest import RUNNER


class Kept:
    """A program below a keeper, which is `process`."""

    worker = 0
    """The program's own process, where it has told."""

    def __init__(self, *words: str, cut: bool = False, cwd: Path | None = None) -> None:
        self._family = Family()
        self.leash, theirs = socket.socketpair()
        self.leash.settimeout(LIMIT)
        if cut:
            self.cut()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", RUNNER, "--leash", str(theirs.fileno()), "--program", *words],
            env={**os.environ, **self._family.environment},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()

    def cut(self) -> None:
        """What the death of the server does."""
        self.leash.close()

    def ended(self) -> tuple[int, str, str]:
        """The keeper's code and all that was written, once it has ended."""
        out, err = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, out, err

    def line(self) -> str:
        """The next line that the program writes."""
        assert self.process.stdout is not None
        late = threading.Timer(LIMIT, self._family.kill)
        late.start()
        try:
            return self.process.stdout.readline().strip()
        finally:
            late.cancel()

    def alive(self) -> set[int]:
        """The program and all that it started."""
        return self._family.alive()

    def all(self) -> set[int]:
        """The same with the keeper."""
        return self._family.all()

    def close(self) -> None:
        """Leave nothing behind."""
        self._family.kill()
        self.process.kill()
        self.process.communicate(timeout=LIMIT)
        self.cut()


Starter = Callable[..., Kept]


@pytest.fixture
def keep() -> Iterator[Starter]:
    """Start a program below a keeper."""
    started: list[Kept] = []

    def start(*words: str, **options: object) -> Kept:
        started.append(Kept(*words, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for one in started:
        one.close()
