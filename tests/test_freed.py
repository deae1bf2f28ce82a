"""What a reset, or the end of an endpoint or a namespace, forgets is freed at once, not only by a look for garbage."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import pytest
from runpod_emulator.config.settings import read_settings
from runpod_emulator.server.server import Server

from tests.workers.conftest import until

_EACH = 500_000
"""Bytes of each input."""
_JOBS = 8
_FREE = 2 * _EACH
"""Bytes that may be left: less than a third of what the jobs held, and more than the pieces of their requests kept."""

HELD = {"endpoint": "ep", "respond": {"output": 1, "queue_delay": "1h"}}
RUNS = {"endpoint": "ep", "respond": {"output": 1, "delay": "1h"}}
ECHO = {"endpoint": "ep", "respond": {"output": "{{ input }}"}}
CRASH = {"fault": "worker_crash", "delay": "1h"}
ZOMBIE = {"fault": "zombie", "delay": "1h"}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server(read_settings(mock=["ep"], port=0, log_level="error", no_rate_limits=True))
    await server.start()
    yield server
    await server.stop()


def ask(server: Server, method: str, path: str, body: object = None) -> None:
    """One call on a connection of its own."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{server.port}{path}"
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        answer.read()


@pytest.mark.parametrize(
    ("door", "stub", "fault", "forget"),
    [
        ("run", None, None, "reset"),
        ("runsync", ECHO, None, "reset"),
        ("run", HELD, None, "reset"),
        ("run", RUNS, CRASH, "reset"),
        ("run", RUNS, ZOMBIE, "reset"),
        ("run", None, None, "reset of ep"),
        ("run", HELD, None, "reset of ep"),
        ("run", ECHO, None, "endpoints/ep"),
        ("run", HELD, None, "endpoints/ep"),
        ("run", RUNS, None, "endpoints/ep"),
    ],
)
async def test_jobs(server: Server, door: str, stub: Any, fault: Any, forget: str) -> None:
    def ask_all() -> None:
        if stub is not None:
            ask(server, "POST", "/__emulator/stubs", stub)
        if fault is not None:
            ask(server, "POST", "/__emulator/faults", fault)
        for _ in range(_JOBS):
            ask(server, "POST", f"/v2/ep/{door}", {"input": {"text": "x" * _EACH}})

    def end() -> None:
        if forget.startswith("endpoints"):
            ask(server, "DELETE", f"/__emulator/{forget}")
        else:
            ask(server, "POST", "/__emulator/reset", {"endpoint": "ep"} if forget == "reset of ep" else None)

    await asyncio.to_thread(ask, server, "GET", "/__emulator/stubs")  # what is loaded late is there now
    gc.collect()
    gc.disable()
    tracemalloc.start(1)
    try:
        await asyncio.to_thread(ask_all)
        assert tracemalloc.get_traced_memory()[0] > _JOBS * _EACH
        await asyncio.to_thread(end)
        await until(lambda: tracemalloc.get_traced_memory()[0] <= _FREE)
    finally:
        tracemalloc.stop()
        gc.enable()
