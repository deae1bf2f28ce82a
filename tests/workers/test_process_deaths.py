"""One worker process that dies in the middle of a job, however it dies."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from runpod_emulator.core.jobs.job import JobStatus, Requeued

from tests.workers.conftest import ALONE, Opener, Workshop, write_handler
from tests.workers.logged import told
from tests.workers.processes import needs_proc


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "runpod_emulator")


@pytest.mark.parametrize(
    ("death", "words"),
    [
        ("os._exit(3)", "exited with code 3"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed by SIGKILL"),
        ("ctypes.string_at(0)", "was killed by SIGSEGV"),
        ("sys.exit(4)", "exited with code 4"),
        ("(_ for _ in ()).throw(KeyboardInterrupt)", "was killed by SIGINT"),
    ],
    ids=["exit", "killed", "segfault", "SystemExit", "KeyboardInterrupt"],
)
async def test_a_crash_costs_the_attempt_and_the_second_fails_the_job(
    workshop: Opener, caplog: pytest.LogCaptureFixture, death: str, words: str
) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do(death))
    assert (job.status, job.error, job.retries) == (JobStatus.FAILED, "job timed out after 1 retries", 1)
    assert (job.output, job.lease) == (None, 2)
    deaths = [message for message in caplog.messages if f"the worker {words}" in message]
    assert len(deaths) == 2
    assert deaths[-1].startswith("ep#2: ")
    arrival = shop.endpoint.fleet.arrivals.of(job.worker or "")
    assert arrival is not None and arrival.gone == f"it {words}"
    assert f"ep/{job.id}: its worker was lost; it is tried once more" in told(caplog)
    health = await shop.endpoint.health()
    assert (health.failed, health.retried) == (1, 1)
    assert await shop.pid()


async def test_a_crash_of_the_first_attempt_only_is_mended(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop()
    been = tmp_path / "been"
    once = f"os.getpid() if os.path.exists({str(been)!r}) else (open({str(been)!r}, 'x'), os._exit(1))"
    job = await shop.ended(await shop.do(once))
    assert (job.status, job.retries, job.error) == (JobStatus.COMPLETED, 1, None)


async def test_a_crash_drops_what_the_attempt_had_streamed(workshop: Opener, tmp_path: Path) -> None:
    been = tmp_path / "been"
    shop = await workshop(
        f"""
        import os

        def handler(job):
            first = not os.path.exists({str(been)!r})
            yield "first" if first else "second"
            if first:
                open({str(been)!r}, "x").close()
                os.kill(os.getpid(), 9)
        """
    )
    job_id = await shop.submit()
    assert (await shop.ended(job_id)).retries == 1
    assert await shop.endpoint.next_chunks(job_id, 0) == (JobStatus.COMPLETED, [b'"second"'])


async def test_a_result_sent_before_the_crash_counts(workshop: Opener) -> None:
    shop = await workshop(
        """
        import asyncio, os

        async def handler(job):
            asyncio.get_running_loop().call_soon(os._exit, 1)
            return "kept" * 1_000_000
        """
    )
    job = await shop.ended(await shop.submit())
    assert (job.status, job.retries, len(job.output)) == (JobStatus.COMPLETED, 0, 4_000_002)


@needs_proc
async def test_memory_that_runs_out_fails_the_job_and_the_worker_serves_on(workshop: Opener) -> None:
    shop = await workshop(settings=ALONE)
    first = await shop.pid()
    limit = "resource.setrlimit(resource.RLIMIT_AS, (1 << 30, resource.RLIM_INFINITY))"
    job = await shop.ended(await shop.do(f"({limit}, bytearray(1 << 32))"))
    assert job.status is JobStatus.FAILED
    assert json.loads(job.error)["error_type"] == "<class 'MemoryError'>"
    assert await shop.pid() == first


async def test_a_limit_of_the_system_that_kills_the_worker_is_a_crash(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop()
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))"
    deadly = "signal.signal(signal.SIGXFSZ, signal.SIG_DFL)"
    write = f"open({str(tmp_path / 'file')!r}, 'w').write('x' * 10_000)"
    job = await shop.ended(await shop.do(f"[{deadly}, {limit}, {write}]"))
    assert (job.status, job.error, job.retries) == (JobStatus.FAILED, "job timed out after 1 retries", 1)


@pytest.mark.parametrize(
    "garbage",
    [
        b"c\0\0\0\0\0\0",
        b"no frame at all",
    ],
    ids=["short", "long"],
)
async def test_a_worker_whose_channel_is_spoilt_is_lost(workshop: Opener, garbage: bytes) -> None:
    shop = await workshop(
        f"""
        import os, stat, time

        def handler(job):
            for descriptor in range(3, 50):
                try:
                    if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                        os.write(descriptor, {garbage!r})
                except OSError:
                    pass
            time.sleep(60)
        """
    )
    await asyncio.wait_for(shop.heard(Requeued, await shop.submit()), 2)


@needs_proc
@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
@pytest.mark.parametrize("apart", [True, False], ids=["own session", "same session"])
def test_a_descendant_that_holds_the_log_open_delays_nobody(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop], apart: bool
) -> None:
    leave = f"(subprocess.Popen(['sleep', '60'], start_new_session={apart}), os._exit(1))"

    async def story() -> None:
        shop = Workshop(write_handler(tmp_path), settings=ALONE)
        try:
            await shop.emulator.endpoints.start()
            job_id = await shop.do(leave)
            await asyncio.wait_for(shop.heard(Requeued, job_id), 3)
            await shop.ended(job_id)
            await asyncio.wait_for(shop.stop(), 3)
            assert not shop.processes()
        finally:
            shop.kill_everything()
            await shop.close()

    loop = new_loop()
    try:
        loop.run_until_complete(story())
    finally:
        loop.close()


async def test_a_modifier_that_raises_later_ends_its_worker_and_is_no_fault_of_the_channel(
    workshop: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    shop = await workshop(
        """
        import runpod

        asked = []

        def modifier(current):
            asked.append(current)
            return 1 if len(asked) < 4 else 1 / 0

        runpod.serverless.start({"handler": lambda job: job["input"], "concurrency_modifier": modifier})
        """,
        settings={"workers_max": 1},
    )
    jobs = [await shop.submit({"number": number}) for number in range(6)]
    ended = [await shop.ended(job) for job in jobs]
    assert not any("spoilt" in text for text in caplog.messages)
    assert any("exited with code 1" in text for text in caplog.messages)
    assert {job.status for job in ended} <= {JobStatus.COMPLETED, JobStatus.FAILED}
