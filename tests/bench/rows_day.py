"""Virtual time: a day of stubbed jobs with TTLs and webhooks, as fast as it goes."""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from typing import NamedTuple

import orjson
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.jobs.job import Transition
from runpod_emulator.core.platform import HOUR, preset
from runpod_emulator.core.records.receiver import Receiver
from runpod_emulator.core.settings import default_settings
from runpod_emulator.core.time.clock import VirtualClock
from runpod_emulator.http import wire
from runpod_emulator.mocking.models import Stub
from runpod_emulator.server.loop import run
from runpod_emulator.server.server import Server
from runpod_emulator.world.world import World

from tests.bench.rows import Line, Row, Sample, Scale, in_fresh_process, in_turn, one

BURST = 10
"""Jobs that come in one moment."""
WORKERS = 10
_STUB = {"endpoint": "day", "respond": {"delay": "1s-5s", "output": {"of": "{{ input.number }}"}}}
_TTLS = (10_000, 30_000, 60_000, HOUR, 24 * HOUR)


class Direct(NamedTuple):
    """Webhook calls that are taken without HTTP."""

    receiver: Receiver
    clock: VirtualClock

    async def send(self, url: str, body: bytes) -> str:
        """Take one."""
        self.receiver.take(self.clock.now(), "day", {}, body)
        return ""

    async def close(self) -> None:
        """There is nothing to close."""


def day(scale: Scale) -> Sample:
    """Seconds of the day, with webhooks to the emulator's own receiver, and with webhooks that nobody looks at."""
    jobs = scale.jobs // 10
    works = in_turn([("server", _of_a_server), ("world", _of_a_world)], scale)
    full = 1_000_000 / scale.jobs  # what a part of the day took stands for all of it
    return {name: full * in_fresh_process(measure_day, name == "server", jobs) for name, _ in works}


def measure_day(server: bool, jobs: int) -> float:
    """One day in this process."""
    return run(_of_a_server(jobs) if server else _of_a_world(jobs))


async def _of_a_server(jobs: int) -> float:
    given = {"clock": "virtual", "port": 0, "seed": 7, "workers_max": WORKERS, "no_rate_limits": True}
    server = Server(read_settings(mock=["day"], config=os.devnull, **given))
    await server.start()
    url = f"http://127.0.0.1:{server.port}/__emulator/hooks/-/day"
    try:
        return await _play(server.emulator, jobs, url)
    finally:
        await server.stop()


async def _of_a_world(jobs: int) -> float:
    clock, receiver = VirtualClock(), Receiver()
    world = World(
        preset("observed"), wire.webhook_body, clock=clock, post=Direct(receiver, clock), rate_limits=False, seed=7,
        calls_per_host=1,
    )  # fmt: skip
    world.endpoints.add_mock(default_settings("day", world.platform, workers_max=WORKERS))
    await world.endpoints.start()
    try:
        return await _play(world, jobs, "http://127.0.0.1:1/day")
    finally:
        await world.stop()


async def _play(world: World, jobs: int, url: str) -> float:
    dice = random.Random(7)
    world.stub(Stub.model_validate(_STUB).to_core(taken=[]))
    endpoint, timeline = world.endpoints.queue("day"), world.timeline
    events: Counter[str] = Counter()

    def heard(transition: Transition) -> None:
        events[type(transition.event).__name__] += 1

    began, start = time.perf_counter(), timeline.now()
    with world.feeds.listening(heard, lambda: None):
        for at in sorted(dice.randrange(24 * HOUR) for _ in range(jobs // BURST)):
            await timeline.advance(start + at)
            for _ in range(BURST):
                job = {
                    "input": {"number": dice.randrange(1_000)},
                    "webhook": url,
                    "policy": {"ttl": dice.choice(_TTLS)},
                }
                await endpoint.submit(wire.submission(orjson.dumps(job), world.platform, sync=False))
        await world.run_until_idle(25 * HOUR)
    took = time.perf_counter() - began
    assert not any(attempt.problem for attempt in world.attempts), "a webhook call failed"
    assert events["Submitted"] == jobs // BURST * BURST and events["Completed"] > 0.9 * jobs, events
    assert await world.idle()
    return took


ROWS = (
    Row(
        "day",
        f"Virtual time: a day of 100,000 stubbed jobs with TTLs and webhooks, {WORKERS} workers",
        day,
        (
            Line("a server, with webhooks to its own receiver", one("server"), "s", at_most=20),
            Line("one world without a server", one("world"), "s"),
        ),
    ),
)
