"""What jobs cost that are stored: memory, slower verbs, deadlines that come all at once."""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable

from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.platform import preset
from runpod_emulator.core.settings import default_settings
from runpod_emulator.core.time.clock import RealClock, VirtualClock, turn
from runpod_emulator.http import wire
from runpod_emulator.http.access import Access
from runpod_emulator.server.app import Application
from runpod_emulator.server.garbage import Sweeper
from runpod_emulator.server.loop import run
from runpod_emulator.server.server import Server
from runpod_emulator.world.world import World
from runpod_emulator.world.worlds import Worlds
from starlette.types import Message

from tests.bench import servers as bench
from tests.bench.load import load
from tests.bench.proc import resident
from tests.bench.rows import Line, Row, Sample, Scale, in_fresh_process, in_turn, one, ratio
from tests.bench.servers import BODY, emulator, worker

INPUT = b'{"message": "hello"}'
BATCHES, BATCH = 50, 200
"""Of each verb; the cost of one is the median of the batches."""
FEW = 1_000
WARM = 12_000
"""Requests before memory is measured: the journal and the history keep 10,000."""


def memory(scale: Scale) -> Sample:
    """Bytes of the server process for each job more, in a server whose journal and history are full."""
    jobs = scale.jobs // 10
    sample: Sample = {}
    for name in in_turn(("finished", "queued"), scale):
        serving = worker("run") if name == "finished" else emulator("--endpoint", "far", path="/v2/far/run")
        with serving as server:
            before, held = _fill(server, WARM), resident(server.pid)
            count = _fill(server, jobs) - before
            sample[name] = (resident(server.pid) - held) / count / 1024
    return sample


def _fill(server: bench.Server, count: int) -> int:
    """Hand in so many jobs; answers how many there are, once workers are through with them."""
    load(server.url(server.path), BODY, connections=16, count=count)
    if "echo" in server.path:
        server.until_idle(server.path)
    time.sleep(0.5)
    jobs = server.ask_json("GET", server.path.replace("/run", "/health"))["jobs"]
    return int(jobs["completed"] + jobs["inQueue"])


def growth(scale: Scale) -> Sample:
    """Microseconds of each verb with few and with many jobs stored, in a fresh process."""
    return in_fresh_process(measure_growth, scale.jobs)


def measure_growth(jobs: int) -> Sample:
    """The same in this process."""
    return run(_growth(jobs))


async def _growth(jobs: int) -> Sample:
    platform = preset("observed", run_retention=1_000)
    clock = VirtualClock()
    world = World(platform, wire.webhook_body, clock=clock, rate_limits=False, seed=7)
    endpoint = world.endpoints.add_remote(default_settings("far", platform))
    world.endpoints.open()
    ids = [(await endpoint.submit(Submission(INPUT))).id for _ in range(FEW)]
    sample = {f"{verb}, few": cost for verb, cost in (await _costs(world, endpoint, ids)).items()}
    began = time.perf_counter()
    ids += [(await endpoint.submit(Submission(INPUT))).id for _ in range(jobs - FEW)]
    sample["fill"] = 1e6 * (time.perf_counter() - began) / (jobs - FEW)
    sample |= {f"{verb}, many": cost for verb, cost in (await _costs(world, endpoint, ids)).items()}
    await world.stop()
    return sample


async def _costs(world: World, endpoint: Endpoint, ids: list[str]) -> Sample:
    """Each batch leaves as many jobs as it found: what it hands in takes the places of those that it cancels."""
    dice = random.Random(7)
    times: dict[str, list[float]] = {"run": [], "status": [], "request": [], "cancel": [], "expire": []}
    app = Application(Worlds(world), Access(required=False))

    async def timed(verb: str, count: int, work: Callable[[], Awaitable[None]]) -> None:
        began = time.perf_counter()
        await work()
        times[verb].append(1e6 * (time.perf_counter() - began) / count)

    for _ in range(BATCHES):
        new: list[str] = []
        places = dice.sample(range(len(ids)), BATCH)

        async def submit(new: list[str] = new) -> None:
            for _ in range(BATCH):
                new.append((await endpoint.submit(Submission(INPUT))).id)

        async def status(places: list[int] = places) -> None:
            for place in places:
                await endpoint.status(ids[place])

        async def request(places: list[int] = places) -> None:
            for place in places:
                await _ask(app, f"/v2/far/status/{ids[place]}")

        async def cancel(places: list[int] = places) -> None:
            for place in places:
                await endpoint.cancel(ids[place])

        async def expire() -> None:
            await world.timeline.advance(world.timeline.now() + 1_000)

        await timed("run", BATCH, submit)
        await timed("status", BATCH, status)
        await timed("request", BATCH, request)
        await timed("cancel", BATCH, cancel)
        for place, job in zip(places, new, strict=True):
            ids[place] = job
        for _ in range(BATCH):
            await endpoint.submit(Submission(INPUT, ttl=1_000))
        await timed("expire", 2 * BATCH, expire)  # the cancelled ones too: their results are kept for a second
    assert (await endpoint.requests(0, 1))[1] == len(ids)
    return {verb: statistics.median(costs) for verb, costs in times.items()}


async def _ask(app: Application, path: str) -> None:
    """A GET without a server around it."""

    async def receive() -> Message:
        raise AssertionError("nobody reads the body of a GET")

    async def send(message: Message) -> None:
        assert message.get("status", 200) == 200

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    await app(scope, receive, send)


class HeldClock(RealClock):
    """Real time that stands still until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self._held: int | None = super().now()
        self._behind = 0

    def let_go(self) -> None:
        """Run on from where it stood."""
        assert self._held is not None
        self._behind, self._held = super().now() - self._held, None

    def now(self) -> int:
        """The present time; long ago, once it was held."""
        return super().now() - self._behind if self._held is None else self._held


def deadlines(scale: Scale) -> Sample:
    """The longest stall of a server's event loop while queued jobs meet their TTLs, in a fresh process."""
    return in_fresh_process(measure_deadlines, scale.jobs)


def measure_deadlines(jobs: int) -> Sample:
    """The same in this process; so many in a minute that a million would be, whatever `jobs` is."""
    return run(_deadlines(jobs, 60 * jobs / 1_000_000))


async def _deadlines(jobs: int, span: float) -> Sample:
    server = Server(read_settings(endpoint=["far"], port=0, config=os.devnull, no_rate_limits=True))
    timeline = server.emulator.timeline
    clock = timeline.clock = HeldClock()
    timeline.now = clock.now
    await server.start()
    Sweeper().begin()
    endpoint = server.emulator.endpoints.queue("far")
    dice = random.Random(7)
    for number in range(jobs):
        await endpoint.submit(Submission(INPUT, ttl=dice.randint(1, round(1000 * span))))
        if not number % 1_000:
            await turn()
    await asyncio.sleep(0.1)
    clock.let_go()
    began = at = time.perf_counter()
    longest = 0.0
    while (await server.emulator.store.counts("far")).queued:
        await asyncio.sleep(0.001)
        at, before = time.perf_counter(), at
        longest = max(longest, at - before - 0.001)
    await server.stop()
    return {"stall": 1000 * longest, "late": at - began - span}


def _grows(verb: str) -> tuple[Line, Line, Line]:
    name = {"expire": "expiry", "request": "a whole request for the status"}.get(verb, verb)
    return (
        Line(f"{name}, {FEW:,} stored", one(f"{verb}, few"), "µs"),
        Line(f"{name}, all stored", one(f"{verb}, many"), "µs"),
        Line(f"{name}, growth", ratio(f"{verb}, many", f"{verb}, few"), "x", at_most=1.2),
    )


ROWS = (
    Row(
        "memory",
        "Memory of the server for each job, over 100,000 jobs",
        memory,
        (
            Line("finished and kept", one("finished"), "KB", at_most=1.5),
            Line("queued", one("queued"), "KB", at_most=1.52),
        ),
    ),
    Row(
        "growth",
        f"{FEW:,} to 1,000,000 jobs stored: cost of one, on the core",
        growth,
        (
            *(line for verb in ("run", "status", "request", "cancel", "expire") for line in _grows(verb)),
            Line("run, mean while they are stored, with all collections", one("fill"), "µs"),
        ),
    ),
    Row(
        "deadlines",
        "1,000,000 deadlines due within a minute",
        deadlines,
        (
            Line("longest stall of the event loop", one("stall"), "ms", at_most=50),
            Line("the last of them late by", one("late"), "s"),
        ),
    ),
)
