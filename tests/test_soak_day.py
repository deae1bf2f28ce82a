"""A day of traffic on a virtual clock, played twice: the same seed gives the same history, byte for byte."""

from __future__ import annotations

import dataclasses
import json
import logging
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from runpod_emulator.core.jobs.job import Transition
from runpod_emulator.testing import Emulator

from tests.plain import PLAIN

HOUR = 3_600_000
BURST = 10
STUBS: list[dict[str, Any]] = [
    {"respond": {"delay": "1s-20s", "output": {"of": "{{ input.number }}", "id": "{{ uuid() }}"}}},
    {"match": {"input": {"kind": "fails"}}, "respond": {"delay": "1s-5s", "error": "CUDA out of memory"}},
    {"match": {"input": {"kind": "crashes"}}, "respond": [{"delay": "2s", "crash": True}, {"output": "at last"}]},
    {"match": {"input": {"kind": "streams"}}, "respond": {"stream": [{"chunk": "a", "after": "1s"}, {"chunk": "b"}]}},
]


@dataclass
class Day:
    """What became of one day."""

    transitions: list[str] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    webhooks: list[Any] = field(default_factory=list)
    left: int = 0

    def text(self) -> bytes:
        """All of it."""
        return json.dumps([self.transitions, self.requests, self.webhooks]).encode()


def _line(one: Transition) -> str:
    job = one.job
    status = None if one.after is None else job.status.value
    told = {"event": type(one.event).__name__, "id": job.id, "status": status, "worker": job.worker}
    return json.dumps({"at": one.at, **told, "retries": job.retries})


def play(jobs: int, seed: int = 7) -> Day:
    """Hand in so many jobs over 24 hours, a burst at a time, and wait until each is forgotten."""
    day, dice = Day(), random.Random(seed)
    bursts = sorted(dice.randrange(24 * HOUR) for _ in range(jobs // BURST))
    with Emulator("llm", clock="virtual", seed=seed, log_level="error") as emu, _client(emu) as client:
        for stub in STUBS:
            emu.stub(endpoint="llm", **stub)
        start = now = round(emu.clock.now() * 1000)
        with emu.link.world.feeds.listening(lambda one: day.transitions.append(_line(one)), lambda: None):
            for hour in range(25):
                emu.webhooks.answer(500, dice.randrange(jobs // 100))
                end = start + (hour + 1) * HOUR
                for at in [start + at for at in bursts if hour * HOUR <= at < (hour + 1) * HOUR]:
                    emu.clock.advance((at - now) / 1000)
                    now = at
                    for _ in range(BURST):
                        assert client.post("/llm/run", json=_job(dice, emu.webhooks.url)).status_code == 200
                        emu.clock.advance(0)
                emu.clock.advance((end - now) / 1000)
                calls = [one for one in emu.webhooks.received if one.at * 1000 > end - HOUR]
                day.webhooks += [(one.at, one.body.decode(), one.status) for one in calls]
                now = end
        day.requests = [dataclasses.asdict(one) | {"headers": None} for one in emu.requests()]
        day.left = len(emu.jobs())
        here = emu.base_url.removesuffix("/v2")
    for one in day.requests:
        one["body"]["webhook"] = one["body"]["webhook"].removeprefix(here)
    day.webhooks = [(at, body.replace(here, ""), status) for at, body, status in day.webhooks]
    return day


def _client(emu: Emulator) -> httpx.Client:
    return httpx.Client(base_url=emu.base_url, headers={"authorization": emu.key}, **PLAIN, timeout=30)


def _job(dice: random.Random, webhook: str) -> dict[str, Any]:
    kind = dice.choices(["works", "fails", "crashes", "streams"], [90, 5, 2, 3])[0]
    policy = {"ttl": dice.choice([10_000, 30_000, 60_000, HOUR, 24 * HOUR]), "lowPriority": dice.random() < 0.1}
    return {"input": {"kind": kind, "number": dice.randrange(1_000)}, "webhook": webhook, "policy": policy}


@pytest.mark.parametrize("jobs", [200, pytest.param(10_000, marks=pytest.mark.soak)])
def test_the_same_seed_gives_the_same_day_twice(jobs: int, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.ERROR, "runpod_emulator")
    day = play(jobs)
    events = Counter(json.loads(one)["event"] for one in day.transitions)
    assert events["Submitted"] == jobs == len(day.requests)
    assert min(events[one] for one in ("Completed", "Failed", "Emitted", "Requeued")) > 0, events
    assert events["Forgotten"] == jobs > events["Completed"] + events["Failed"], "no job has met its ttl"
    statuses = Counter(status for _, _, status in day.webhooks)
    assert statuses[200] > jobs / 2 and statuses[500] > 0
    assert day.left == 0
    assert play(jobs).text() == day.text()


def test_webhooks_of_one_moment_arrive_in_the_order_of_their_jobs():
    with Emulator("llm", clock="virtual", seed=7) as emu, _client(emu) as client:
        emu.stub(endpoint="llm", respond={"queue_delay": "10s", "output": "{{ input.number }}"})
        for number in range(200):
            client.post("/llm/run", json={"input": {"number": number}, "webhook": emu.webhooks.url})
        emu.clock.run_until_idle()
        assert [call.json["output"] for call in emu.webhooks.received] == list(range(200))
