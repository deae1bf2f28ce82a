"""What a child holds: leases, stops, and the time that stands meanwhile."""

from __future__ import annotations

import asyncio

from runpod_emulator.core.time.clock import VirtualClock
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.workers.held import HeldJobs


async def test_a_job_is_held_under_its_lease_until_it_is_given_back_and_time_stands_meanwhile() -> None:
    timeline = Timeline(VirtualClock())
    held = HeldJobs(timeline)
    held.add("a", 7)
    assert (list(held), held.leases.get("a"), held.only, held.wanted) == (["a"], 7, "a", True)
    settled = asyncio.ensure_future(timeline.settle())
    await asyncio.sleep(0)
    assert not settled.done()
    assert held.remove("a") == 7
    await settled
    assert held.remove("a") is None
    assert (len(held), held.only, held.wanted) == (0, "", False)


async def test_a_job_is_stopped_once_and_nobody_waits_for_it_then() -> None:
    held = HeldJobs(Timeline(VirtualClock()))
    held.add("a", 7)
    held.add("b", 8)
    assert held.may_stop("a", 7)
    assert not held.may_stop("a", 6), "an older run's"
    disobeyed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    held.stop("a", 0.0, disobeyed.set_result)
    assert not held.may_stop("a", 7)
    assert held.wanted, "the other one"
    held.remove("b")
    assert not held.wanted
    assert await disobeyed == "a"


async def test_a_child_that_lets_go_in_time_has_obeyed() -> None:
    held = HeldJobs(Timeline(VirtualClock()))
    called: list[str] = []
    for job in ("a", "b"):
        held.add(job, 1)
        held.stop(job, 0.0, called.append)
    held.remove("a")
    held.clear()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (called, len(held)) == ([], 0)
