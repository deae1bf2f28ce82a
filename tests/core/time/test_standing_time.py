"""A start that never ends holds virtual time for as long as it may take, in real time, and says so."""

from __future__ import annotations

import asyncio

import pytest
from runpod_emulator.core.fleet import arrivals

from tests.core.balanced import balanced_world
from tests.core.steps import started
from tests.workers.conftest import until


async def test_moving_time_on_says_whom_it_waits_for_and_ends_when_the_start_takes_too_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(arrivals, "PATIENCE", 10)
    world = balanced_world(real=True, workers_max=1, init_timeout=25)
    task = await world.ask()
    (worker,) = world.launcher.started
    before = world.clock.now()
    await asyncio.wait_for(world.emulator.timeline.advance(before + 500), 10)
    assert world.clock.now() == before + 500
    said = [record.message for record in caplog.records if record.message.startswith("time stands")]
    assert said == [
        f"time stands: it waits for worker {worker} of endpoint lb, which has been starting for {seconds} s"
        for seconds in ("0.01", "0.02", "0.025")
    ]
    assert world.launcher.stopped == [worker]
    assert world.balancer.workforce.flaw == "endpoint lb: the worker was not ready within 0.025 s (init_timeout)"
    task.cancel()


async def test_without_anybody_who_waits_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(arrivals, "PATIENCE", 1)
    world = balanced_world(real=True, workers_max=1, init_timeout=5)
    await world.ask()
    await until(lambda: bool(world.launcher.stopped))
    assert "time stands" not in caplog.text


async def test_a_start_that_ends_is_watched_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    world = balanced_world(real=True, workers_max=1)
    await world.ask()
    moving = await started(world.emulator.timeline.advance(world.clock.now() + 1))
    assert not moving.done()
    await world.healthy(world.launcher.started[0])
    assert world.balancer.fleet.arrivals._watches == {}
