"""An emulator for a file of tests, cleared for each, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from runpod_emulator.testing import Emulator

from tests.plain import PLAIN

HELLO = {"input": {"prompt": "hello"}}


class Client:
    """A client of one world."""

    def __init__(self, emu: Any) -> None:
        self._emu = emu

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """A request for a path below the base URL."""
        sent = {**self._emu.headers, **headers}
        return httpx.request(method, self._emu.base_url + path, json=body, headers=sent, **PLAIN)

    def run(self, prompt: str = "hello", endpoint: str = "llm", **members: Any) -> str:
        """Hand a job in; returns its id."""
        job: str = self.ask("POST", f"/{endpoint}/run", {"input": {"prompt": prompt}, **members}).json()["id"]
        return job

    def status(self, job: str, endpoint: str = "llm") -> str:
        """The state of a job, as a poll finds it."""
        state: str = self.ask("GET", f"/{endpoint}/status/{job}").json()["status"]
        return state


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    with Emulator("llm", "other", clock="virtual") as emu:
        yield emu


@pytest.fixture
def emu(shared: Emulator) -> Emulator:
    shared.reset()
    return shared


@pytest.fixture
def client(emu: Emulator) -> Client:
    return Client(emu)
