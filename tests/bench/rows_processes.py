"""Servers and workers as processes: their start, and what they do when there is nothing to do."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from tests.bench.proc import activity, children
from tests.bench.rows import Line, Row, Sample, Scale, in_turn, one, ratio
from tests.bench.servers import (  # fmt: skip
    BODY,
    ECHO,
    Server,
    emulator,
    emulator_command,
    free_port,
    peer_command,
    process,
    sdk_command,
    until_answer,
    worker,
)

COLD = 3
"""Cold workers of a round."""


def start(scale: Scale) -> Sample:
    """Seconds from the launch of a process to its first 200."""
    port = free_port()
    commands = {
        "emulator": (emulator_command(str(ECHO), "--port", str(port), "--log-level", "error"), "/__emulator/health"),
        "fastapi": (peer_command("fastapi", port), "/"),
        "sdk": (sdk_command(port), "/"),
    }
    sample: Sample = {}
    for name in in_turn(list(commands), scale):
        command, path = commands[name]
        began = time.perf_counter()
        with process(*command, quiet=True):
            until_answer(port, path)
            sample[name] = time.perf_counter() - began
    return sample


def cold_worker(scale: Scale) -> Sample:
    """Seconds of a /runsync on an endpoint without any worker; its handler says `import runpod`."""
    del scale
    times: list[float] = []
    with emulator(str(ECHO), "--workers-max", "1", "--idle-timeout", "1s", path="/v2/echo/runsync") as server:
        for _ in range(COLD):
            _until_no_worker(server)
            began = time.perf_counter()
            answer = server.ask("POST", server.path, BODY)
            times.append(time.perf_counter() - began)
            assert b"COMPLETED" in answer
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import runpod"], check=True)
    return {"worker": statistics.median(times), "sdk": time.perf_counter() - began}


def _until_no_worker(server: Server) -> None:
    while any(server.ask_json("GET", "/v2/echo/health")["workers"].values()):
        time.sleep(0.1)
    while children(server.pid):
        time.sleep(0.1)


def idle(scale: Scale) -> Sample:
    """Processor time and wake-ups of a server with one idle worker, over at most ten seconds."""
    span = min(10.0, 5 * scale.seconds)
    with worker("runsync") as server:
        server.ask("POST", server.path, BODY)
        time.sleep(3)
        pids = {"server": server.pid, "worker": children(server.pid)[0]}
        before = {name: activity(pid) for name, pid in pids.items()}
        time.sleep(span)
        after = {name: activity(pid) for name, pid in pids.items()}
    sample: Sample = {}
    for name in pids:
        sample[f"{name} %"] = 100 * (after[name].seconds - before[name].seconds) / span
        sample[f"{name} wakes"] = (after[name].wakes - before[name].wakes) / span
    return sample


ROWS = (
    Row(
        "start",
        "Start: process launched to first 200 (`/__emulator/health`; peers `/`)",
        start,
        (
            Line("peer: bare FastAPI route", one("fastapi"), "s"),
            Line("peer: the SDK's local server", one("sdk"), "s"),
            Line("`serve handlers/echo.py`", one("emulator"), "s", at_most=0.6),
            Line("the same, to the SDK's local server", ratio("emulator", "sdk"), "x", at_most=0.333),
        ),
    ),
    Row(
        "worker",
        "Process worker: needed to first job done, for a handler that says `import runpod`",
        cold_worker,
        (
            Line("peer: the SDK's import alone", one("sdk"), "s"),
            Line("`/runsync` without any worker", one("worker"), "s", at_most=0.3),
        ),
    ),
    Row(
        "idle",
        "Idle: a server with one idle worker process",
        idle,
        (
            Line("server, processor time", one("server %"), "%", at_most=0),
            Line("server, wake-ups", one("server wakes"), "/s", at_most=1),
            Line("worker, processor time", one("worker %"), "%", at_most=0),
            Line("worker, wake-ups", one("worker wakes"), "/s", at_most=1),
        ),
    ),
)
