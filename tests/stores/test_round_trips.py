"""How often the store is asked for one job's whole life, counted by the server's own MONITOR."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from runpod_emulator.testing import Emulator

from tests.plain import PLAIN
from tests.stores.monitor import Monitor
from tests.stores.servers import StoreServer, shared_server

ECHO = Path(__file__).parents[2] / "handlers" / "echo.py"
APART = ("servers", "workers", "owners", "endpoints", "due", "board", "crew", "counts")
"""Keys of beats, of the looks behind each, and of what servers tell each other ten times a second."""


@pytest.fixture
def server() -> StoreServer:
    return shared_server()


@pytest.fixture
def emulator(server: StoreServer) -> Iterator[Emulator]:
    store = f"{server.url}?prefix={secrets.token_hex(4)}"
    with Emulator(endpoint=[f"echo={ECHO}"], store=store, workers_min=1, workers_max=1, no_auth=True) as emulator:
        yield emulator


def is_of_a_job(command: list[str]) -> bool:
    """Left out: the reader, which is one for all jobs, and what goes out by the clock, however many jobs there are."""
    name, *rest = command
    if name in ("XREAD", "PEXPIRE", "EVAL", "lead", "ECHO") or any(word.endswith(APART) for word in rest[:1]):
        return False
    return not (name == "enter" and rest[-2] == "0")


def test_one_jobs_life_takes_eight_round_trips(server: StoreServer, emulator: Emulator):
    with httpx.Client(base_url=emulator.base_url, headers=emulator.headers, **PLAIN) as client:
        assert client.post("/echo/runsync", json={"input": {"message": "first"}}).json()["status"] == "COMPLETED"
        with Monitor(server) as monitor:
            job = client.post("/echo/run", json={"input": {"message": "hello"}}).json()["id"]
            monitor.until(lambda commands: [name for name, *_ in commands].count("write") == 3)
            assert client.get(f"/echo/status/{job}").json()["status"] == "COMPLETED"
            told = [command for command in monitor.all() if is_of_a_job(command)]
    assert [name for name, *_ in told] == ["enter", "INCR", "write", "heads", "write", "write", "enter", "read"]
