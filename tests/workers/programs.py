"""Programs that speak the worker protocol with the standard library only, and servers that start them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import shlex
import sys
import textwrap
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.server.server import Server

from tests.compat.servers import LIMIT, Command, commands, until
from tests.plain import PLAIN
from tests.workers.processes import Family

Value = TypeVar("Value")

WORKER = """
import json, os, signal, subprocess, sys, threading, time, urllib.request

ME = os.environ["RUNPOD_POD_ID"]
TAKE = os.environ["RUNPOD_WEBHOOK_GET_JOB"].replace("$ID", ME)
DONE = os.environ["RUNPOD_WEBHOOK_POST_OUTPUT"].replace("$RUNPOD_POD_ID", ME)
PING = os.environ["RUNPOD_WEBHOOK_PING"].replace("$RUNPOD_POD_ID", ME)


def call(url, body=None):
    request = urllib.request.Request(url, body, {"Authorization": os.environ["RUNPOD_AI_API_KEY"]})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def report(job, result):
    call(DONE.replace("$ID", job["id"]) + "&isStream=false", json.dumps(result).encode())


def wait_for(file):
    deadline = time.monotonic() + 60
    while not os.path.exists(file) and time.monotonic() < deadline:
        time.sleep(0.01)


def serve():
    while True:
        answer = call(TAKE + "&job_in_progress=0")
        if answer:
            job = json.loads(answer)
            report(job, {"output": eval(job["input"]["do"])})
"""
"""A plain worker: its output is the value of the Python expression it gets."""


def program(folder: Path, body: str = "serve()", name: str = "worker.py") -> str:
    """Write a worker program; returns the command that runs it."""
    file = folder / name
    file.write_text(f"{WORKER}\n\n{textwrap.dedent(body)}\n", encoding="utf-8")
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(file))}"


class Client:
    """A client of one endpoint of a live server."""

    def __init__(self, http: httpx.Client, endpoint: str = "ep") -> None:
        self._http = http
        self._endpoint = endpoint

    def submit(self, do: str) -> str:
        """Hand a job in; returns its id."""
        answer = self._http.post(f"/{self._endpoint}/run", json={"input": {"do": do}})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def status(self, job: str) -> dict[str, Any]:
        """The envelope as it is."""
        envelope: dict[str, Any] = self._http.get(f"/{self._endpoint}/status/{job}").json()
        return envelope

    def ended(self, job: str) -> dict[str, Any]:
        """The envelope once the job has ended."""
        until(lambda: self.status(job)["status"] not in ("IN_QUEUE", "IN_PROGRESS"))
        return self.status(job)

    def runs(self, job: str) -> None:
        """Wait until a worker has the job."""
        until(lambda: self.status(job)["status"] == "IN_PROGRESS")

    def output(self, do: str) -> Any:
        """The output of a job, which must complete."""
        envelope = self.ended(self.submit(do))
        assert envelope["status"] == "COMPLETED", envelope
        return envelope["output"]

    def cancel(self, job: str) -> None:
        """Cancel the job."""
        assert self._http.post(f"/{self._endpoint}/cancel/{job}").json()["status"] == "CANCELLED"

    def workers(self) -> dict[str, int]:
        """The counters of workers that are not zero, `ready` apart."""
        counts = self._http.get(f"/{self._endpoint}/health").json()["workers"]
        return {name: count for name, count in counts.items() if count and name != "ready"}


Starter = Callable[..., Command]


class Hosted:
    """A server in a thread of this process: it costs no start of an interpreter."""

    def __init__(self, log: list[str], settings: dict[str, Any]) -> None:
        self.log = log
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._family = Family()
        os.environ.update(self._family.environment)
        settings = {"port": 0, "no_rate_limits": True, "set": ["idle_timeout=600000"], **settings}
        self.server: Server = self.do(self._open(settings))
        self.starting = asyncio.run_coroutine_threadsafe(self.server.start(), self._loop)
        self.base_url = self.server.base_url
        key = self.server.key
        self.http = httpx.Client(base_url=self.base_url, headers={"authorization": key}, timeout=LIMIT, **PLAIN)

    @property
    def root_url(self) -> str:
        """The server without the API's prefix."""
        return self.base_url.removesuffix("/v2")

    def ready(self) -> Hosted:
        """Wait until everything is up; raises ConfigurationError."""
        self.starting.result(LIMIT)
        return self

    def line(self, part: str) -> str:
        """The first log line that holds `part`, waiting for it."""
        until(lambda: any(part in line for line in self.log))
        return next(line for line in self.log if part in line)

    def processes(self) -> set[int]:
        """Every living process that the server started, and theirs, but for the keepers of workers."""
        return self._family.alive() - {os.getpid()}

    def all_processes(self) -> set[int]:
        """The same with the keepers."""
        return self._family.all() - {os.getpid()}

    def do(self, work: Coroutine[Any, Any, Value]) -> Value:
        """Do it in the server's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT)

    def stop(self) -> None:
        """Stop the server."""
        self.do(self.server.stop())

    def close(self) -> None:
        """Stop the server, if it was not; asserts that nothing is left of it."""
        self.http.close()
        if not self.server.is_closed:
            with contextlib.suppress(ConfigurationError):
                self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT)
        self._loop.close()
        until(lambda: not self.all_processes())

    @staticmethod
    async def _open(settings: dict[str, Any]) -> Server:
        return Server(read_settings(**settings))


Host = Callable[..., Hosted]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """Serve endpoint `ep` by a program with this body, in the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMULATOR_TEST", "")
    for name in [name for name in os.environ if name.startswith("RUNPOD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MY_OWN", "kept")
    lines: list[str] = []
    recorder = logging.Handler()
    recorder.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("runpod_emulator")
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(recorder)
    hosted: list[Hosted] = []

    def serve(body: str | None = "serve()", **settings: Any) -> Hosted:
        commands = [] if body is None else ["ep=" + program(tmp_path, body)]
        hosted.append(Hosted(lines, {"command": commands, **settings}))
        return hosted[-1]

    yield serve
    for one in hosted:
        one.close()
    log.removeHandler(recorder)
    log.setLevel(level)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Start `serve` on a free port as a command of its own, in the test's folder."""
    with commands(tmp_path) as begin:
        yield functools.partial(begin, "serve", "--port", 0, "--port-file", "port")


def client(server: Command | Hosted, endpoint: str = "ep") -> Client:
    return Client(server.http, endpoint)
