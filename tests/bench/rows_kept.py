"""What it costs to keep jobs in a file: how long the loop stands while they are written, and the next start."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.time.clock import turn
from runpod_emulator.server.garbage import Sweeper
from runpod_emulator.server.keeper import Keeper
from runpod_emulator.server.loop import run
from runpod_emulator.server.server import Server

from tests.bench.rows import Line, Row, Sample, Scale, in_fresh_process, one

INPUT = b'{"message": "hello"}'
_SAVES = 5


def state(scale: Scale) -> Sample:
    """Of a server with a tenth of the jobs of other rows, in a fresh process."""
    return in_fresh_process(measure_state, scale.jobs // 10)


def measure_state(jobs: int) -> Sample:
    """The same in this process."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.json"
        return {**run(_state(jobs, file)), "size": file.stat().st_size / 1e6}


async def _state(jobs: int, file: Path) -> Sample:
    server = _server(file)
    await server.start()
    Sweeper().begin()
    endpoint = server.emulator.endpoints.queue("far")
    for number in range(jobs):
        await endpoint.submit(Submission(INPUT))
        if not number % 1_000:
            await turn()
    quiet, _ = await _longest(asyncio.sleep(1))
    stalls, times = list[float](), list[float]()
    for _ in range(_SAVES):
        await endpoint.submit(Submission(INPUT))  # else nothing has changed
        assert isinstance(server._keeper, Keeper)
        stall, took = await _longest(server._keeper._save(server.worlds))
        stalls.append(stall)
        times.append(took)
    _, stop = await _longest(server.stop())
    began = time.perf_counter()
    server = _server(file)
    await server.start()
    start = time.perf_counter() - began
    assert (await server.emulator.store.counts("far")).queued == jobs + _SAVES
    await server.stop()
    return {
        "quiet": 1000 * quiet,
        "stall": 1000 * max(stalls),
        "save": sum(times) / _SAVES,
        "stop": stop,
        "start": start,
    }


def _server(file: Path) -> Server:
    return Server(read_settings(endpoint=["far"], port=0, config=os.devnull, no_rate_limits=True, state=file))


async def _longest(work: Coroutine[Any, Any, None]) -> tuple[float, float]:
    """The longest time in which the loop did nothing else, and how long the work took."""
    doing = asyncio.ensure_future(work)
    began = at = time.perf_counter()
    longest = 0.0
    while not doing.done():
        await asyncio.sleep(0.001)
        at, before = time.perf_counter(), at
        longest = max(longest, at - before - 0.001)
    await doing
    return longest, time.perf_counter() - began


ROWS = (
    Row(
        "state",
        "100,000 waiting jobs in the file of `--state`",
        state,
        (
            Line("longest stall of the event loop while they are written", one("stall"), "ms", at_most=50),
            Line("the same while nothing happens", one("quiet"), "ms"),
            Line("one save", one("save"), "s"),
            Line("the end of the server", one("stop"), "s"),
            Line("the next start, until they are there", one("start"), "s"),
            Line("the file", one("size"), "MB"),
        ),
    ),
)
