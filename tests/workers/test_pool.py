"""The worker processes of an endpoint together: when they start, how they end, and that none is left."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import logging
import os
import sys
import time
from pathlib import Path

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.fleet.worker import WorkerCounts
from runpod_emulator.core.jobs.job import JobStatus
from runpod_emulator.core.platform import preset
from runpod_emulator.core.settings import default_settings
from runpod_emulator.core.time.clock import VirtualClock
from runpod_emulator.http import wire
from runpod_emulator.workers.program import Program
from runpod_emulator.world.world import World

from tests.gates import PASS, Gate
from tests.workers.conftest import DO, LIMIT, Opener, Workshop, until, write_handler
from tests.workers.processes import alive, needs_proc, zombies

WAIT = """
    import os, time
    import runpod

    def handler(job):
        runpod.serverless.progress_update(job, os.getpid())
        open(job["input"]["until"], "rb", 0).read(1)
        return os.getpid()

    runpod.serverless.start({"handler": handler})
"""
"""A plain handler that waits at a gate."""


async def counts(shop: Workshop) -> WorkerCounts:
    return (await shop.endpoint.health()).workers


# How many


async def test_the_first_worker_is_up_before_any_job_and_takes_it(workshop: Opener) -> None:
    shop = await workshop()
    assert await counts(shop) == WorkerCounts(idle=1, initializing=0, ready=1, running=0, throttled=0, unhealthy=0)
    (warm,) = shop.endpoint.fleet.workers
    assert (await shop.ended(await shop.do("1"))).worker == warm


async def test_three_jobs_that_wait_have_three_workers_and_the_fourth_waits(workshop: Opener, gate: Gate) -> None:
    shop = await workshop(WAIT)
    jobs = [await shop.submit({"until": str(gate)}) for _ in range(4)]
    pids = [await shop.progress(job_id) for job_id in jobs[:3]]
    assert len(set(pids)) == 3
    health = await shop.endpoint.health()
    assert (health.running, health.queued, health.workers.running) == (3, 1, 3)
    gate.open()
    assert [await shop.output(job_id) for job_id in jobs[:3]] == pids
    assert await shop.output(jobs[3]) in pids


async def test_first_in_is_first_out(workshop: Opener, gate: Gate) -> None:
    shop = await workshop(WAIT, settings={"workers_max": 1})
    jobs = [await shop.submit({"until": str(gate)}) for _ in range(5)]
    gate.open()
    ended = [await shop.ended(job_id) for job_id in jobs]
    assert [job.taken_at for job in ended] == sorted(job.taken_at for job in ended)
    assert all(before.ended_at <= after.taken_at for before, after in itertools.pairwise(ended))


async def test_workers_min_are_up_from_the_start_and_stay(workshop: Opener) -> None:
    shop = await workshop(settings={"workers_min": 2})
    assert (await counts(shop)).idle == 2
    await shop.skip(60_000)
    assert (await counts(shop)).idle == 2
    job = await shop.ended(await shop.do("os._exit(1)"))
    assert job.status is JobStatus.FAILED
    await until(lambda: shop.endpoint.fleet.counts().idle == 2)


@needs_proc
async def test_an_idle_worker_ends_after_its_timeout_and_the_next_job_gets_another(workshop: Opener) -> None:
    shop = await workshop()
    first = await shop.pid()
    await shop.skip(4_000)
    assert alive(first)
    await shop.skip(1_001)
    assert await counts(shop) == WorkerCounts(0, 0, 0, 0, 0, 0)
    await until(lambda: not shop.processes())
    assert await shop.pid() != first


async def test_a_busy_worker_never_idles_out(workshop: Opener, gate: Gate) -> None:
    shop = await workshop(WAIT)
    job_id = await shop.submit({"until": str(gate)})
    pid = await shop.progress(job_id)
    await shop.skip(60_000)
    gate.open()
    assert await shop.output(job_id) == pid


async def test_without_workers_a_job_waits(workshop: Opener) -> None:
    shop = await workshop(settings={"workers_max": 0}, platform={"paused_endpoint": "queue"})
    job_id = await shop.do("1")
    await shop.skip(60_000)
    assert (await shop.endpoint.status(job_id)).status is JobStatus.IN_QUEUE
    assert await counts(shop) == WorkerCounts(0, 0, 0, 0, 0, 0)


async def test_low_priority_starts_no_worker_but_uses_one(workshop: Opener) -> None:
    shop = await workshop()
    await shop.skip(5_001)
    patient = await shop.do("'patient'", low_priority=True)
    await shop.skip(5_001)
    assert (await shop.endpoint.status(patient)).status is JobStatus.IN_QUEUE
    assert shop.endpoint.fleet.workers == {}
    await shop.ended(await shop.do("'urgent'"))
    assert await shop.output(patient) == "patient"


# Starting


async def test_the_endpoints_start_at_the_same_time(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with Gate(tmp_path / "one") as one, Gate(tmp_path / "two") as two:
        shop = Workshop(write_handler(tmp_path, meet(one, two)))
        shop.serve_too("other", write_handler(other, meet(two, one)))
        try:
            await asyncio.wait_for(shop.emulator.endpoints.start(), LIMIT)
        finally:
            await shop.close()


def meet(mine: Gate, theirs: Gate) -> str:
    """A handler whose import ends only once the other one's has begun."""
    return f"""
        open({str(mine)!r}, "wb", 0).write(b"1")
        {PASS.format(repr(str(theirs)))}
        handler = print
    """


@needs_proc
async def test_one_broken_handler_stops_the_start_and_leaves_nothing(tmp_path: Path) -> None:
    shop = Workshop(write_handler(tmp_path))
    other = tmp_path / "other"
    other.mkdir()
    shop.serve_too("other", write_handler(other, "import missing_module"))
    try:
        with pytest.raises(ConfigurationError, match="No module named 'missing_module'"):
            await shop.emulator.endpoints.start()
        await shop.stop()
        assert not shop.processes()
    finally:
        await shop.close()


@needs_proc
async def test_a_stop_in_the_middle_of_an_import(workshop: Opener) -> None:
    shop = await workshop("import time\ntime.sleep(60)\n", started=False)
    starting = asyncio.ensure_future(shop.emulator.endpoints.start())
    await until(shop.processes)
    await shop.stop()
    assert not shop.processes()
    await asyncio.wait_for(starting, LIMIT)


async def test_a_handler_that_breaks_later_keeps_its_jobs_until_it_is_mended(
    workshop: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = await workshop()
    await shop.skip(5_001)
    write_handler(tmp_path, "import missing_module")
    job_id = await shop.do("'at last'")
    await until(lambda: any("No module named 'missing_module'" in text for text in caplog.messages))
    await until(lambda: shop.endpoint.fleet.counts().unhealthy == 1)
    assert (await shop.endpoint.status(job_id)).status is JobStatus.IN_QUEUE
    write_handler(tmp_path, DO)
    await shop.skip(1_001)
    assert await shop.output(job_id) == "at last"
    assert (await counts(shop)).unhealthy == 0
    assert (await shop.ended(job_id)).retries == 0


# Ending


@needs_proc
async def test_a_stop_ends_idle_busy_and_stubborn_workers(workshop: Opener, gate: Gate) -> None:
    before = zombies()
    shop = await workshop(WAIT)
    for _ in range(2):
        await shop.progress(await shop.submit({"until": str(gate)}))
    assert len(shop.processes()) == 2
    started = time.monotonic()
    await shop.stop()
    assert time.monotonic() - started < 5
    assert not shop.processes()
    assert zombies() <= before


@needs_proc
async def test_crashes_and_stops_leave_neither_zombies_nor_descriptors(workshop: Opener) -> None:
    before = zombies()
    shop = await workshop(settings={"workers_max": 1})
    await shop.pid()
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        await shop.ended(await shop.do("os._exit(1)"))
    running = await shop.do("[runpod.serverless.progress_update(job, 1), time.sleep(60)]")
    await shop.progress(running)
    await shop.endpoint.cancel(running)
    last = await shop.pid()
    await until(lambda: shop.processes() == {last})
    await until(lambda: zombies() <= before)
    await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)
    await shop.stop()
    assert not shop.processes()


async def test_a_stop_says_nothing_of_failed_jobs(
    workshop: Opener, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    shop = await workshop(WAIT)
    await shop.progress(await shop.submit({"until": str(gate)}))
    await shop.stop()
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_nothing_counts_as_running_once_every_job_is_over(workshop: Opener) -> None:
    shop = await workshop(platform={"unsendable_result": "fail"})
    jobs = [await shop.do(what) for what in ("1", "1 / 0", "os._exit(1)", "{1}")]
    running = await shop.do("[runpod.serverless.progress_update(job, 1), time.sleep(60)]")
    await shop.progress(running)
    await shop.endpoint.cancel(running)
    for job_id in jobs:
        await shop.ended(job_id)
    await asyncio.wait_for(shop.emulator.timeline.settle(), 5)


async def test_virtual_time_stands_while_a_process_works(tmp_path: Path) -> None:
    platform = preset("observed")
    emulator = World(platform, wire.webhook_body, clock=VirtualClock())
    program = Program(write_handler(tmp_path, "import time\ndef handler(job):\n    time.sleep(0.1)"), sys.executable)
    endpoint = emulator.endpoints.add_program(default_settings("ep", platform), program)
    try:
        await emulator.endpoints.start()
        job = await endpoint.submit(Submission(b'{"a":1}'))
        await emulator.timeline.advance(emulator.timeline.now())
        job = await endpoint.status(job.id)
        assert (job.status, job.ended_at) == (JobStatus.COMPLETED, job.submitted_at)
    finally:
        await emulator.stop()


async def test_a_lowered_maximum_holds_for_those_who_are_busy(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop(WAIT, settings={"workers_max": 2})
    gates = [Gate(tmp_path / "first"), Gate(tmp_path / "second")]
    jobs = [await shop.submit({"until": str(gate)}) for gate in gates]
    pids = [await shop.progress(job) for job in jobs]
    await shop.endpoint.configure(dataclasses.replace(shop.endpoint.settings, workers_max=1))
    assert (await counts(shop)).running == 2
    later = [await shop.submit({"until": str(gates[1])}) for _ in range(3)]
    gates[0].open()
    await until(lambda: not alive(pids[0]))
    assert (await counts(shop)).running == 1
    gates[1].open()
    assert {await shop.output(job) for job in later} == {pids[1]}
    assert len(shop.endpoint.fleet.workers) == 1
