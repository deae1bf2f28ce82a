"""A small server side: starts the runner as a process and speaks frames with it. No wait is longer than LIMIT."""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import runpod_emulator.workers.runner
from runpod_emulator.workers.runner.frames import Decoder, Frame, Kind, Result, pack, unpack_result

RUNNER = str(Path(runpod_emulator.workers.runner.__file__).parent)
LIMIT = 30.0
_LEFT_OUT = ("RUNPOD_", "PYTHON")


class Child:
    """One runner process, seen from the server."""

    def __init__(
        self,
        spec: str,
        *,
        cwd: Path,
        python: tuple[str, ...],
        options: tuple[str, ...],
        arguments: tuple[str, ...],
        **env: str,
    ):
        self.socket, theirs = socket.socketpair()
        self.leash, their_leash = socket.socketpair()
        command = [*python, RUNNER, "--leash", f"{their_leash.fileno()}"]
        command += ["--handler", spec, "--channel", f"{theirs.fileno()}"]
        command += options
        self.process = subprocess.Popen(
            [*command, "--", *arguments] if arguments else command,
            cwd=cwd,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)},
                "PYTHONUNBUFFERED": "1",
                **env,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs.fileno(), their_leash.fileno()),
            start_new_session=True,
        )
        theirs.close()
        their_leash.close()
        assert self.process.stdout is not None
        self.output = self.process.stdout.fileno()
        self.log = ""
        self.frames: list[Frame] = []
        self.printed = ""
        """What came with the name of its job: each piece after `<job>`."""
        self._outbox = bytearray()
        self._decoder = Decoder()
        self._selector = selectors.DefaultSelector()
        self.socket.setblocking(False)
        self._selector.register(self.socket, selectors.EVENT_READ, self._exchange)
        self._selector.register(self.output, selectors.EVENT_READ, self._read_log)

    def send(self, *frames: bytes) -> None:
        """Queue frames; all of them leave in one piece."""
        self._outbox += b"".join(frames)
        self._selector.modify(self.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, self._exchange)

    def job(self, input: object = None, id: str = "job-1") -> str:
        """Hand out a job."""
        self.send(pack(Kind.JOB, id, json.dumps({"id": id, "input": input}).encode()))
        return id

    def stop(self, id: str) -> None:
        """Ask the worker to stop one job."""
        self.send(pack(Kind.STOP, id))

    def next(self) -> Frame:
        """The next frame that comes."""
        self._pump(lambda: bool(self.frames))
        return self.frames.pop(0)

    def expect(self, kind: Kind, job: str = "job-1") -> bytes:
        """The body of the next frame, which must be of this kind and for this job."""
        frame = self.next()
        assert (frame.kind, frame.job) == (kind, job), (frame, self.log)
        return frame.body

    def ready(self) -> dict[str, Any]:
        """Wait until the handler is loaded."""
        return dict(json.loads(self.expect(Kind.READY, "")))

    def broken(self) -> str:
        """Wait until the worker gave up; returns why."""
        reason = self.expect(Kind.BROKEN, "").decode()
        assert self.wait() == 1
        return reason

    def done(self, job: str = "job-1") -> Result:
        """Wait for the report of a job, which must be the next frame."""
        return unpack_result(self.expect(Kind.DONE, job))

    def run(self, input: object = None, id: str = "job-1") -> Result:
        """Hand out a job and wait for its report."""
        return self.done(self.job(input, id))

    def chunks(self, job: str = "job-1") -> tuple[list[Any], Result]:
        """The stream of a job, and its report."""
        found: list[Any] = []
        while True:
            frame = self.next()
            assert frame.job == job
            if frame.kind is Kind.DONE:
                return found, unpack_result(frame.body)
            assert frame.kind is Kind.CHUNK
            found.append(json.loads(frame.body))

    def logged(self, text: str) -> str:
        """Wait until the log holds a text; returns the log."""
        self._pump(lambda: text in self.log)
        return self.log

    def told(self, text: str) -> str:
        """Wait until jobs that were named have printed a text; returns all that such ones printed."""
        self._pump(lambda: text in self.printed)
        return self.printed

    def wait(self) -> int:
        """Wait until the process and all that share its log are gone."""
        self._pump(lambda: self.output < 0)
        return self.process.wait(LIMIT)

    def close(self) -> None:
        """Leave nothing behind."""
        self.cut_leash()
        self.process.wait(LIMIT)
        self._selector.close()
        self.socket.close()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def cut_leash(self) -> None:
        """What the death of the server does."""
        self.leash.close()

    def _pump(self, enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LIMIT
        while not enough():
            left = deadline - time.monotonic()
            assert left > 0, f"nothing came\n{self.log}"
            assert self._selector.get_map(), f"the worker is gone\n{self.log}"
            for key, events in self._selector.select(left):
                key.data(events)

    def _exchange(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            sent = self.socket.send(self._outbox)
            del self._outbox[:sent]
            if not self._outbox:
                self._selector.modify(self.socket, selectors.EVENT_READ, self._exchange)
        if events & selectors.EVENT_READ:
            try:
                data = self.socket.recv(1 << 20)
            except ConnectionError:
                data = b""
            for frame in self._decoder.feed(data):
                if frame.kind is Kind.PRINTED:
                    self.printed += f"<{frame.job}>{frame.body.decode()}"
                else:
                    self.frames.append(frame)
            if not data:
                self._selector.unregister(self.socket)

    def _read_log(self, events: int) -> None:
        data = os.read(self.output, 1 << 16)
        self.log += data.decode("utf-8", "replace")
        if not data:
            self._selector.unregister(self.output)
            self.output = -1


Starter = Callable[..., Child]


def starter(folder: Path) -> Iterator[Starter]:
    """Starts children in a folder, and ends them."""
    children: list[Child] = []

    def start(source: str = "", spec: str = "handler.py", **options: Any) -> Child:
        if source:
            (folder / "handler.py").write_text(textwrap.dedent(source))
        options.setdefault("python", (sys.executable,))
        options.setdefault("options", ())
        options.setdefault("arguments", ())
        children.append(Child(spec, cwd=folder, **options))
        return children[-1]

    yield start
    for child in children:
        child.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Write a handler file and start a worker on it."""
    yield from starter(tmp_path)


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """A worker whose plain handler gives the value of the Python expression it gets."""
    for start in starter(tmp_path_factory.mktemp("evaluator")):
        child = start(
            """
            import asyncio, collections, datetime, json, os, sys
            import runpod

            class Odd(Exception):
                def __str__(self):
                    raise ValueError("no text")

            class Abort(BaseException):
                pass

            def fail(error):
                raise error

            def circle():
                value = []
                value.append(value)
                return value

            def deep():
                value = []
                for _ in range(100_000):
                    value = [value]
                return value

            async def later(value):
                await asyncio.sleep(0)
                return value

            def handler(job):
                return eval(job["input"])

            runpod.serverless.start({"handler": handler})
            """
        )
        child.ready()
        yield child
