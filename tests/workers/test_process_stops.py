"""Stopping one job of a worker process: by a cancel, a timeout or the end of its life."""

from __future__ import annotations

import fcntl
import logging
from pathlib import Path

import pytest
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.job import JobStatus
from runpod_emulator.workers import child, process

from tests.workers.conftest import ALONE, Opener, until
from tests.workers.processes import alive, needs_proc


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "runpod_emulator")


HOLD = """
    import fcntl, os, signal, subprocess, sys, time
    import runpod

    def handler(job):
        asked = job["input"]
        if "lock" not in asked:
            return os.getpid()
        held = open(asked["lock"], "w")
        fcntl.flock(held, fcntl.LOCK_EX)
        if asked.get("stubborn"):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if asked.get("child"):
            subprocess.Popen(["sleep", "60"])
        runpod.serverless.progress_update(job, os.getpid())
        while True:
            time.sleep(60)

    runpod.serverless.start({"handler": handler})
"""
"""A plain handler that holds a lock until its process, with every child of it, is gone."""


def is_free(lock: Path) -> bool:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@needs_proc
@pytest.mark.parametrize("habit", [{}, {"stubborn": True}, {"child": True}], ids=["plain", "ignores SIGTERM", "child"])
async def test_cancel_really_stops_a_plain_handler(
    workshop: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, habit: dict[str, bool]
) -> None:
    monkeypatch.setattr(child, "TERMINATE_GRACE", 0.1)
    shop = await workshop(HOLD, settings=ALONE)
    lock = tmp_path / "lock"
    job_id = await shop.submit({"lock": str(lock), **habit})
    held_by = await shop.progress(job_id)
    assert not is_free(lock)
    job = await shop.endpoint.cancel(job_id)
    assert (job.status, job.output) == (JobStatus.CANCELLED, None)
    next_job = await shop.submit()
    assert await shop.output(next_job) != held_by
    await until(lambda: is_free(lock))
    await until(lambda: not alive(held_by))
    await until(lambda: len(shop.processes()) == 1)


@needs_proc
async def test_an_execution_timeout_really_stops_a_plain_handler(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop(HOLD, settings=ALONE)
    lock = tmp_path / "lock"
    job_id = await shop.submit({"lock": str(lock)}, execution_timeout=60_000)
    held_by = await shop.progress(job_id)
    await shop.skip(50_000)
    assert (await shop.endpoint.status(job_id)).status is JobStatus.IN_PROGRESS
    await shop.skip(10_000)
    job = await shop.endpoint.status(job_id)
    assert (job.status, job.error, job.retries) == (JobStatus.FAILED, "executionTimeout exceeded", 0)
    assert job.ended_at - job.taken_at == 60_000
    assert await shop.output(await shop.submit()) != held_by
    await until(lambda: is_free(lock) and not alive(held_by))


@needs_proc
async def test_the_end_of_its_ttl_really_stops_a_plain_handler(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop(HOLD, settings=ALONE)
    lock = tmp_path / "lock"
    job_id = await shop.submit({"lock": str(lock)}, ttl=10_000)
    held_by = await shop.progress(job_id)
    await shop.skip(10_000)
    with pytest.raises(JobNotFound):
        await shop.endpoint.status(job_id)
    assert await shop.output(await shop.submit()) != held_by
    await until(lambda: is_free(lock) and not alive(held_by))


async def test_a_job_of_a_stopped_worker_is_not_tried_again(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop(HOLD, settings=ALONE)
    job_id = await shop.submit({"lock": str(tmp_path / "lock")})
    await shop.progress(job_id)
    await shop.endpoint.cancel(job_id)
    await shop.output(await shop.submit())
    job = await shop.endpoint.status(job_id)
    assert (job.status, job.retries, job.lease) == (JobStatus.CANCELLED, 0, 1)
    health = await shop.endpoint.health()
    assert (health.running, health.queued, health.retried, health.workers.running) == (0, 0, 0, 0)


ASYNC = """
    import asyncio, os
    from pathlib import Path
    import runpod

    async def handler(job):
        asked = job["input"]
        runpod.serverless.progress_update(job, os.getpid())
        try:
            while not Path(asked.get("until", "/")).exists():
                await asyncio.sleep(0.002)
        except asyncio.CancelledError:
            Path(asked["note"]).write_text("cancelled")
            if not asked.get("stubborn"):
                raise
            while True:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    pass
        return os.getpid()

    runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: 4})
"""


async def test_cancel_reaches_an_async_handler_and_nobody_else(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop(ASYNC, settings=ALONE)
    note, gate = tmp_path / "note", tmp_path / "gate"
    sibling = await shop.submit({"until": str(gate)})
    victim = await shop.submit({"until": str(tmp_path / "never"), "note": str(note)})
    worker = await shop.progress(victim)
    await shop.endpoint.cancel(victim)
    await until(note.exists)
    assert await shop.output(await shop.submit()) == worker, "the worker takes another job"
    gate.touch()
    assert await shop.output(sibling) == worker
    assert (await shop.endpoint.status(victim)).status is JobStatus.CANCELLED


async def test_a_stopped_job_frees_its_slot(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop(ASYNC, settings=ALONE)
    gate = tmp_path / "gate"
    endless = {"until": str(tmp_path / "never"), "note": str(tmp_path / "note")}
    siblings = [await shop.submit({"until": str(gate)}) for _ in range(2)]
    victims = [await shop.submit(endless) for _ in range(2)]
    waiting = [await shop.submit() for _ in range(2)]
    worker = await shop.progress(victims[1])
    for victim in victims:
        await shop.endpoint.cancel(victim)
    assert [await shop.output(job_id) for job_id in waiting] == [worker, worker]
    gate.touch()
    assert [await shop.output(job_id) for job_id in siblings] == [worker, worker]


async def test_a_handler_that_will_not_stop_is_replaced_and_its_siblings_never_pay(
    workshop: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process, "OBEY_GRACE", 0.05)
    shop = await workshop(ASYNC, settings=ALONE)
    note, gate = tmp_path / "note", tmp_path / "gate"
    sibling = await shop.submit({"until": str(gate)})
    victim = await shop.submit({"until": str(tmp_path / "never"), "note": str(note), "stubborn": True})
    worker = await shop.progress(victim)
    await shop.endpoint.cancel(victim)
    await until(lambda: any("did not stop within 0.05 s: its worker is replaced" in text for text in caplog.messages))
    later = await shop.submit()
    assert (await shop.endpoint.status(later)).status is JobStatus.IN_QUEUE, "a worker on its way out takes no job"
    gate.touch()
    assert await shop.output(sibling) == worker, "the sibling ends in peace"
    assert await shop.output(later) != worker
    await until(lambda: not alive(worker))
    assert (await shop.endpoint.health()).retried == 0


async def test_a_handler_that_will_not_stop_and_is_alone_ends_with_its_worker(
    workshop: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "OBEY_GRACE", 0.05)
    shop = await workshop(ASYNC, settings=ALONE)
    victim = await shop.submit({"until": str(tmp_path / "never"), "note": str(tmp_path / "note"), "stubborn": True})
    worker = await shop.progress(victim)
    await shop.endpoint.cancel(victim)
    await until(lambda: not alive(worker))
    assert await shop.output(await shop.submit()) != worker


async def test_several_jobs_share_an_async_worker(workshop: Opener) -> None:
    shop = await workshop(
        """
        import asyncio, os
        import runpod

        together = asyncio.Event()
        running = 0

        async def handler(job):
            global running
            running += 1
            if running == 4:
                together.set()
            await together.wait()
            return os.getpid()

        runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: 4})
        """,
        settings=ALONE,
    )
    jobs = [await shop.submit() for _ in range(4)]
    assert len({await shop.output(job_id) for job_id in jobs}) == 1
