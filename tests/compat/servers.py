"""The emulator as its users start it: a command in a process of its own. No wait is longer than LIMIT."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import httpx

from tests.plain import PLAIN
from tests.workers.processes import Family

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "emulator"
HANDLERS = ROOT / "handlers"
LIMIT = 30.0
_OWN = {"PYTHONPATH": str(SOURCE)}


@functools.cache
def _runtime() -> str:
    """A folder for the files of servers that run: whoever works on this machine is told of none of a test."""
    folder = tempfile.mkdtemp(prefix="runpod-emulator-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Output:
    """What a process writes to a pipe."""

    def __init__(self, pipe: IO[str]) -> None:
        self._lines: list[str] = []
        self._over = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self._lines)

    def line(self, part: str) -> str:
        """The first line that holds `part`, waiting for it."""
        with self._news:
            self._news.wait_for(lambda: self._over or self._find(part), LIMIT)
            found = self._find(part)
        assert found, f"no line with {part!r} in:\n{self.text}"
        return found

    def whole(self) -> str:
        """All of it, once nobody writes any more."""
        self._reader.join(LIMIT)
        return self.text

    def _find(self, part: str) -> str:
        return next((line.rstrip("\n") for line in self._lines if part in line), "")

    def _read(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()


class Command:
    """`python -m runpod_emulator ARGUMENTS`, or another `program` of Python with these, running."""

    def __init__(
        self, *arguments: str, cwd: Path, program: Sequence[str] = ("-m", "runpod_emulator"), **environment: str
    ) -> None:
        self._family = Family()
        self.folder = cwd
        clean = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
        self.process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=cwd,
            env={**clean, **_OWN, **self._family.environment, "XDG_RUNTIME_DIR": _runtime(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None and self.process.stderr is not None
        self.out = Output(self.process.stdout)
        self.err = Output(self.process.stderr)
        self.http = httpx.Client(headers={"Authorization": "any-key"}, timeout=LIMIT, **PLAIN)

    @property
    def base_url(self) -> str:
        """What the banner of `serve` says."""
        return self.out.line("base URL").split()[-1]

    @property
    def root_url(self) -> str:
        """The server without the API's prefix."""
        return self.base_url.removesuffix("/v2")

    def ready(self) -> Command:
        """Wait until `serve` says so; requests then go below its base URL."""
        self.out.line("Ready.")
        self.http.base_url = httpx.URL(self.base_url)
        return self

    def code(self) -> int:
        """The exit code, waiting for it."""
        return self.process.wait(LIMIT)

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit code."""
        self.process.send_signal(sign)
        return self.code()

    @property
    def mark(self) -> dict[str, str]:
        """The variable that makes a process count as one of this command's."""
        return self._family.environment

    def processes(self) -> set[int]:
        """Every living process that this one started, and theirs; itself too, but for the keepers of workers."""
        return self._family.alive()

    def all_processes(self) -> set[int]:
        """The same with the keepers."""
        return self._family.all()

    def close(self) -> None:
        """Leave nothing behind."""
        self.http.close()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(LIMIT)
        self._family.kill()


Starter = Callable[..., Command]


@contextlib.contextmanager
def commands(folder: Path) -> Iterator[Starter]:
    """Starts commands in a folder, and ends them."""
    started: list[Command] = []

    def start(*arguments: object, **environment: str) -> Command:
        started.append(Command(*map(str, arguments), cwd=folder, **environment))
        return started[-1]

    try:
        yield start
    finally:
        for command in started:
            command.close()


def until(condition: Callable[[], object], limit: float = LIMIT) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
