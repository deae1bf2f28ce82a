"""Several emulators over one Valkey or Redis server, and one over it against one on memory."""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.bench.load import load
from tests.bench.proc import activity
from tests.bench.rows import Line, Row, Sample, Scale, in_fresh_process, in_turn, one, ratio
from tests.bench.rows_requests import AT_ONCE
from tests.bench.servers import BODY, ECHO, ROOT, Client, Server, emulator
from tests.bench.stored_queue import measure_bytes, measure_queue
from tests.stores.servers import StoreServer

_ONE_WORKER = ("--workers-min", "1", "--workers-max", "1")
_SERVED = ROOT / "tests" / "bench" / "served"
WAKES = 60
"""Jobs of a round for each way to wait."""
DELAY = 0.02
"""Seconds that these take, so that who waits for them waits already."""


@contextmanager
def valkey() -> Iterator[StoreServer]:
    """A server for the jobs, in memory."""
    server = StoreServer()
    try:
        yield server
    finally:
        server.close()


def _stored(server: StoreServer) -> tuple[str, str]:
    return "--store", f"{server.url}?prefix={secrets.token_hex(4)}"


def _cost(pid: int, count: int, before: float) -> float:
    """Microseconds of a process's time for each of so many."""
    return 1e6 * (activity(pid).seconds - before) / count


def run(scale: Scale) -> Sample:
    """/run on memory and on the store: how many a second are let in, and what each costs until its job has ended."""
    sample: Sample = {}
    for name in in_turn(("memory", "store"), scale):
        with valkey() as jobs:
            options = _stored(jobs) if name == "store" else ()
            with emulator(str(ECHO), *_ONE_WORKER, *options, path="/v2/echo/run") as server:
                server.load(connections=AT_ONCE, seconds=1, warm=False)
                before = server.until_idle(server.path)
                assert jobs.process is not None
                spent, of_jobs = activity(server.pid).seconds, activity(jobs.process.pid).seconds
                began = time.perf_counter()
                sample[name] = server.load(connections=AT_ONCE, seconds=scale.seconds, warm=False).rate
                ended = server.until_idle(server.path) - before
                sample[f"{name} ended"] = ended / (time.perf_counter() - began)
                sample[f"{name} cost"] = _cost(server.pid, ended, spent)
                sample[f"{name} cost of the server"] = _cost(jobs.process.pid, ended, of_jobs)
    return sample


def latency(scale: Scale) -> Sample:
    """Milliseconds of the median /runsync, one at a time."""
    sample: Sample = {}
    for name in in_turn(("memory", "store"), scale):
        with valkey() as jobs:
            options = _stored(jobs) if name == "store" else ()
            with emulator(str(ECHO), *_ONE_WORKER, *options, path="/v2/echo/runsync") as server:
                server.ask("POST", server.path, BODY)
                spent = activity(server.pid).seconds
                done = server.load(connections=1, seconds=scale.seconds)
                sample[name] = 1000 * done.median
                sample[f"{name} cost"] = _cost(server.pid, done.answers, spent)
    return sample


def wakes(scale: Scale) -> Sample:
    """Milliseconds from a job's last line at a worker of one emulator to the answer that waits for it at another."""
    sample: Sample = {}
    for name in in_turn(("alone", "three"), scale):
        with ExitStack() as stack:
            options = _stored(stack.enter_context(valkey())) if name == "three" else ()
            served = (f"moment={_SERVED / 'moment.py'}", f"chunks={_SERVED / 'chunks.py'}")
            handlers = [word for one in served for word in ("--endpoint", one)]
            worker = stack.enter_context(emulator(*handlers, *_ONE_WORKER, *options))
            others = ("--endpoint", "moment", "--endpoint", "chunks", *options)
            submits, waits = [stack.enter_context(emulator(*others)) for _ in range(2)] if options else [worker, worker]
            for way, times in _woken(submits, waits).items():
                sample[f"{way}, {name}"] = 1000 * statistics.median(times)
    return sample


def _woken(submits: Server, waits: Server) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {"runsync": [], "status-sync": [], "stream": []}
    with submits.client() as there, waits.client() as here:
        for warm in (True, *[False] * WAKES):
            for way, kept in times.items():
                yielded = _waited(way, there, here)
                if not warm:
                    kept.append(time.monotonic() - yielded)
    return times


def _waited(way: str, there: Client, here: Client) -> float:
    """When the job yielded or ended that was waited for."""
    told: dict[str, Any] = {"input": {"delay": DELAY, "count": 1}}
    if way == "runsync":
        return float(here.ask_json("POST", "/v2/moment/runsync", told)["output"]["at"])
    endpoint = "chunks" if way == "stream" else "moment"
    job = there.ask_json("POST", f"/v2/{endpoint}/run", told)["id"]
    if way == "status-sync":
        return float(here.ask_json("GET", f"/v2/moment/status-sync/{job}?wait=10000")["output"]["at"])
    while True:
        page = here.ask_json("GET", f"/v2/chunks/stream/{job}")
        if page["stream"]:
            return float(page["stream"][0]["output"]["at"])


def replicas(scale: Scale) -> Sample:
    """/run of one emulator, and of two at once, over one server; with the processor time of each part."""
    sample: Sample = {}
    for name, number in in_turn((("one", 1), ("two", 2)), scale):
        with ExitStack() as stack:
            jobs = stack.enter_context(valkey())
            options = (str(ECHO), *_ONE_WORKER, *_stored(jobs))
            servers = [stack.enter_context(emulator(*options, path="/v2/echo/run")) for _ in range(number)]
            for server in servers:
                server.load(connections=2, seconds=1, warm=False)
                server.until_idle(server.path)
            assert jobs.process is not None
            pids = {"emulators": [server.pid for server in servers], "server": [jobs.process.pid]}
            before = {part: sum(activity(pid).seconds for pid in of) for part, of in pids.items()}
            began = time.perf_counter()
            sample[name] = _at_all(servers, scale)
            took = time.perf_counter() - began
            for part, of in pids.items():
                sample[f"{name}, {part}"] = 100 * (sum(activity(pid).seconds for pid in of) - before[part]) / took
    return sample


def _at_all(servers: list[Server], scale: Scale) -> float:
    """Answers a second, with as many connections to all of them together, whatever their number."""
    connections = AT_ONCE // len(servers)
    with ProcessPoolExecutor(len(servers)) as pool:
        loads = [
            pool.submit(load, server.url(server.path), BODY, connections=connections, seconds=scale.seconds)
            for server in servers
        ]
        return sum(one.result().rate for one in loads)


def queue(scale: Scale) -> Sample:
    """Milliseconds to take and to cancel one job, with few and with many in the queue, in a fresh process."""
    with valkey() as jobs:
        return in_fresh_process(measure_queue, jobs.url, scale.jobs)


def memory(scale: Scale) -> Sample:
    """Bytes of the server for each queued job with 1 KB of input."""
    with valkey() as jobs:
        return in_fresh_process(measure_bytes, jobs.url, scale.jobs // 20)


ROWS = (
    Row(
        "store-run",
        f"`/run` with its jobs on Valkey, one worker process, {AT_ONCE} connections",
        run,
        (
            Line("on memory", one("memory"), "/s"),
            Line("on Valkey", one("store"), "/s"),
            Line("the same, to memory", ratio("store", "memory"), "x", at_least=0.25),
            Line("jobs ended, on memory", one("memory ended"), "/s"),
            Line("jobs ended, on Valkey", one("store ended"), "/s"),
            Line("processor time for each job: the emulator on memory", one("memory cost"), "µs"),
            Line("processor time for each job: the emulator on Valkey", one("store cost"), "µs"),
            Line("processor time for each job: Valkey", one("store cost of the server"), "µs"),
        ),
    ),
    Row(
        "store-latency",
        "`/runsync` through a worker process with its jobs on Valkey, one at a time, median",
        latency,
        (
            Line("on memory", one("memory"), "ms"),
            Line("on Valkey", one("store"), "ms"),
            Line("the same, over memory", lambda sample: sample["store"] - sample["memory"], "ms", at_most=3.0),
            Line("processor time of the emulator, on memory", one("memory cost"), "µs"),
            Line("processor time of the emulator, on Valkey", one("store cost"), "µs"),
        ),
    ),
    Row(
        "store-wakes",
        "Handed in at one emulator, done by a worker of another, waited for at a third: end to answer, median",
        wakes,
        tuple(
            line
            for way in ("runsync", "status-sync", "stream")
            for line in (
                Line(f"`/{way}`, all at one emulator on memory", one(f"{way}, alone"), "ms"),
                Line(f"`/{way}`, three emulators on Valkey", one(f"{way}, three"), "ms", at_most=5.0),
            )
        ),
    ),
    Row(
        "store-two",
        f"`/run` at two emulators over one Valkey, {AT_ONCE} connections in all",
        replicas,
        (
            Line("one emulator", one("one"), "/s"),
            Line("two emulators", one("two"), "/s"),
            Line("the same, to one", ratio("two", "one"), "x"),
            Line("one: processor time of the emulator", one("one, emulators"), "%"),
            Line("one: processor time of Valkey", one("one, server"), "%"),
            Line("two: processor time of the emulators", one("two, emulators"), "%"),
            Line("two: processor time of Valkey", one("two, server"), "%"),
        ),
    ),
    Row(
        "store-queue",
        "1,000 to 1,000,000 jobs queued on Valkey: one at a time, median",
        queue,
        tuple(
            line
            for verb in ("take", "cancel")
            for line in (
                Line(f"{verb}, 1,000 queued", one(f"{verb}, few"), "µs"),
                Line(f"{verb}, all queued", one(f"{verb}, many"), "µs"),
                Line(f"{verb}, growth", ratio(f"{verb}, many", f"{verb}, few"), "x", at_most=1.3),
                Line(f"{verb}, growth of Valkey's own time", ratio(f"{verb} cost, many", f"{verb} cost, few"), "x"),
            )
        ),
    ),
    Row(
        "store-memory",
        "Memory of Valkey, over 50,000 jobs with 1 KB of input",
        memory,
        (
            Line("a queued job", one("queued"), "KB"),
            Line("of it, its record", one("record"), "KB"),
            Line("the stream of news, at its longest", one("news"), "MB"),
        ),
    ),
)
