"""Requests a second, and what one takes: the emulator between the bare routes and the SDK's local server."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from tests.bench.rows import Line, Row, Sample, Scale, in_turn, one, ratio
from tests.bench.servers import BODY, Server, peer, sdk, stub, worker

AT_ONCE = 16
"""Connections, where the table says nothing else."""

Servers = Mapping[str, Callable[[], AbstractContextManager[Server]]]
_BARE: Servers = {"starlette": lambda: peer("starlette"), "fastapi": lambda: peer("fastapi")}


def _rates(servers: Servers, scale: Scale, connections: int) -> Sample:
    sample: Sample = {}
    for name in in_turn(list(servers), scale):
        with servers[name]() as server:
            sample[name] = server.load(connections=connections, seconds=scale.seconds).rate
    return sample


def run(scale: Scale) -> Sample:
    """/run of jobs that a worker process, or a stub, does meanwhile; how many of them ended a second too."""
    sample = _rates(_BARE, scale, AT_ONCE)
    for name, serving in in_turn([("worker", worker), ("stub", stub)], scale):
        with serving("run") as server:
            server.load(connections=AT_ONCE, seconds=1, warm=False)
            before = server.until_idle(server.path)
            began = time.perf_counter()
            sample[name] = server.load(connections=AT_ONCE, seconds=scale.seconds, warm=False).rate
            ended = server.until_idle(server.path) - before
            sample[f"{name} ended"] = ended / (time.perf_counter() - began)
    return sample


def status(scale: Scale) -> Sample:
    """/status of one job that has ended."""
    sample = _rates(_BARE, scale, AT_ONCE)
    with worker("run") as server:
        job = server.ask_json("POST", "/v2/echo/runsync", {"input": {"message": "hello"}})
        assert job["status"] == "COMPLETED"
        path = f"/v2/echo/status/{job['id']}"
        sample["status"] = server.load(path, None, connections=AT_ONCE, seconds=scale.seconds).rate
    return sample


def runsync(scale: Scale) -> Sample:
    """/runsync through one worker process; also with the log as it is by default: a line for each job."""
    servers: Servers = {
        "sdk": sdk,
        "worker": lambda: worker("runsync"),
        "logged": lambda: worker("runsync", log="info"),
    }
    return _rates(servers, scale, 32)


def stubbed(scale: Scale) -> Sample:
    """/runsync that a stub answers."""
    return _rates({**_BARE, "stub": lambda: stub("runsync")}, scale, AT_ONCE)


def latency(scale: Scale) -> Sample:
    """Milliseconds of the median answer, one at a time."""
    servers: Servers = {
        **_BARE,
        "sdk": sdk,
        "stub": lambda: stub("runsync"),
        "worker": lambda: worker("runsync"),
    }
    sample: Sample = {}
    for name in in_turn(list(servers), scale):
        with servers[name]() as server:
            assert b"id" in server.ask("POST", server.path, BODY)
            sample[name] = 1000 * server.load(connections=1, seconds=scale.seconds).median
    return sample


_PEERS = (
    Line("peer: bare Starlette route", one("starlette"), "/s"),
    Line("peer: bare FastAPI route", one("fastapi"), "/s"),
)

ROWS = (
    Row(
        "run",
        f"`/run` accepted, full life of each job following, {AT_ONCE} connections",
        run,
        (
            *_PEERS,
            Line("jobs done by a worker process", one("worker"), "/s"),
            Line("the same, to bare FastAPI", ratio("worker", "fastapi"), "x", at_least=0.8),
            Line("these jobs ended", one("worker ended"), "/s"),
            Line("jobs done by a stub", one("stub"), "/s"),
            Line("the same, to bare FastAPI", ratio("stub", "fastapi"), "x", at_least=0.8),
            Line("these jobs ended", one("stub ended"), "/s"),
        ),
    ),
    Row(
        "status",
        f"`/status` of a finished job, {AT_ONCE} connections",
        status,
        (
            *_PEERS,
            Line("`/status`", one("status"), "/s"),
            Line("the same, to bare FastAPI", ratio("status", "fastapi"), "x", at_least=1.2),
        ),
    ),
    Row(
        "runsync",
        "`/runsync` end to end through an isolated worker process, 32 connections",
        runsync,
        (
            Line("peer: the SDK's local server, which isolates nothing", one("sdk"), "/s"),
            Line("`/runsync`", one("worker"), "/s"),
            Line("the same, to the SDK's local server", ratio("worker", "sdk"), "x", at_least=1.0),
            Line("`/runsync`, each job logged as by default", one("logged"), "/s"),
        ),
    ),
    Row(
        "latency",
        "`/runsync` one at a time, median",
        latency,
        (
            Line("peer: bare Starlette route", one("starlette"), "ms"),
            Line("peer: bare FastAPI route", one("fastapi"), "ms"),
            Line("peer: the SDK's local server", one("sdk"), "ms"),
            Line("answered by a stub", one("stub"), "ms"),
            Line("through a worker process", one("worker"), "ms"),
            Line(
                "the same, over the bare Starlette route",
                lambda sample: sample["worker"] - sample["starlette"],
                "ms",
                at_most=1.0,
            ),
        ),
    ),
    Row(
        "stub",
        f"`/runsync` answered by a stub, {AT_ONCE} connections",
        stubbed,
        (
            *_PEERS,
            Line("`/runsync`", one("stub"), "/s"),
            Line("the same, to bare FastAPI", ratio("stub", "fastapi"), "x", at_least=0.8),
        ),
    ),
)
