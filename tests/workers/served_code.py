"""A folder with code that is served with --reload: by a handler, or by a program that speaks the worker protocol."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.compat.servers import until
from tests.workers import programs
from tests.workers.programs import WORKER, Client, Host, Hosted, client

host = programs.host

SOON = 5.0
"""Seconds in which a save is noticed, where a test is known to wait in vain."""

HANDLER = """
import os, sys, time

ME = os.environ["RUNPOD_POD_ID"]


def wait_for(file):
    deadline = time.monotonic() + 60
    while not os.path.exists(file) and time.monotonic() < deadline:
        time.sleep(0.01)


def handler(job):
    return eval(job["input"]["do"])
"""
"""A plain handler: its output is the value of the Python expression it gets."""

KINDS = {"handler": ("handler.py", HANDLER, ""), "command": ("worker.py", WORKER, "serve()")}
"""The file of each kind of worker, and what stands in it before and after the code of a test."""


class ServedCode:
    """The code of endpoint `ep`; `write` is what an editor does."""

    def __init__(self, kind: str, folder: Path, host: Host) -> None:
        self.kind = kind
        self.folder = folder
        self.main, self._before, self._after = KINDS[kind]
        self._host = host
        self._server: Hosted | None = None

    def write(self, name: str, source: str) -> Path:
        """Save a file."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
        return file

    def write_main(self, code: str, name: str = "") -> Path:
        """Save the worker's own file, with this code at its top level."""
        return self.write(name or self.main, f"{self._before}\n{code}\n{self._after}\n")

    def words(self, name: str = "") -> str:
        """What serves the file, as an option says it."""
        file = name or self.main
        return f"{shlex.quote(sys.executable)} {file}" if self.kind == "command" else file

    def serve(self, *more: str, **settings: Any) -> Client:
        """Serve `ep`, and `more` endpoints by files of these names; returns a client once all is up."""
        here = self.begin(*more, **settings)
        self.server.ready()
        return here

    def begin(self, *more: str, **settings: Any) -> Client:
        """Serve them without waiting for the workers."""
        option = "command" if self.kind == "command" else "endpoint"
        entries = [f"ep={self.words()}", *(f"{Path(name).stem}={self.words(name)}" for name in more)]
        self._server = self._host(None, **{option: entries, "reload": True, **settings})
        return self.client()

    @property
    def server(self) -> Hosted:
        """The server."""
        assert self._server is not None
        return self._server

    def client(self, endpoint: str = "ep") -> Client:
        """A client of one endpoint."""
        return client(self.server, endpoint)

    def said(self, text: str, endpoint: str = "ep") -> int:
        """How many lines of the log of an endpoint's reloads hold a text."""
        return sum(line.startswith(f"{endpoint}: ") and text in line for line in self.server.log)

    def reloads(self, endpoint: str = "ep") -> int:
        """How often new code came into use."""
        return self.said("new jobs run the new code", endpoint)

    def failures(self) -> int:
        """How often new code could not be started."""
        return self.said("the new code can't be started")

    def reloaded(self, times: int, endpoint: str = "ep") -> None:
        """Wait until new code has come into use so often."""
        until(lambda: self.reloads(endpoint) >= times)

    def failed(self, times: int = 1) -> None:
        """Wait until new code has failed so often."""
        until(lambda: self.failures() >= times)

    def pids(self) -> set[int]:
        """The processes that serve."""
        return self.server.processes()


@pytest.fixture(params=list(KINDS))
def code(request: pytest.FixtureRequest, tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch) -> ServedCode:
    """The test's folder, once served by a handler and once by a program."""
    return _code(request.param, tmp_path, host, monkeypatch)


@pytest.fixture
def handler_code(tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch) -> ServedCode:
    """The test's folder, served by a handler."""
    return _code("handler", tmp_path, host, monkeypatch)


@pytest.fixture
def command_code(tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch) -> ServedCode:
    """The test's folder, served by a program."""
    return _code("command", tmp_path, host, monkeypatch)


def _code(kind: str, folder: Path, host: Host, monkeypatch: pytest.MonkeyPatch) -> ServedCode:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    return ServedCode(kind, folder, host)


def replace(file: Path, source: str) -> None:
    """Save as most editors do: write a new file and rename it."""
    draft = file.with_name(f".{file.name}.swp")
    draft.write_text(source, encoding="utf-8")
    os.replace(draft, file)
