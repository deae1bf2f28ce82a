"""What a worker process prints, in the log of the server."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from emulator.core.job import JobStatus
from tests.workers.conftest import ALONE, Opener, until


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "emulator")


async def test_a_printed_line_names_endpoint_worker_and_job(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("[print('out'), print('two\\nlines'), print('err', file=sys.stderr)]"))
    where = f"ep/{job.worker}/{job.id} | "
    expected = {where + word for word in ("out", "two", "lines", "err")}
    await until(lambda: expected <= set(caplog.messages))


async def test_a_line_from_below_python_names_endpoint_and_worker(
    workshop: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("[os.system('echo shell'), os.write(1, b'raw\\n')]"))
    for word in ("shell", "raw"):
        line = re.compile(rf"ep/{job.worker}(/{job.id})? \| {word}")
        await until(lambda line=line: any(map(line.fullmatch, caplog.messages)))


async def test_lines_of_jobs_at_once_are_told_apart(
    workshop: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = await workshop(
        """
        import asyncio
        import runpod

        together = asyncio.Event()
        running = 0

        async def handler(job):
            global running
            running += 1
            if running == 2:
                together.set()
            await together.wait()
            print("I am", job["input"]["name"])

        runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: 2})
        """,
        settings=ALONE,
    )
    jobs = {name: await shop.submit({"name": name}) for name in ("ann", "bob")}
    worker = {(await shop.ended(job_id)).worker for job_id in jobs.values()}.pop()
    expected = {f"ep/{worker}/{job_id} | I am {name}" for name, job_id in jobs.items()}
    await until(lambda: expected <= set(caplog.messages))


async def test_a_traceback_is_in_the_log(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("1 / 0"))
    last = f"ep/{job.worker}/{job.id} | ZeroDivisionError: division by zero"
    await until(lambda: last in caplog.messages)


async def test_megabytes_of_prints_harm_nothing(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("[print('x' * 1_000) for _ in range(3_000)] and 'done'"))
    assert job.output == b'"done"'
    line = f"ep/{job.worker}/{job.id} | {'x' * 1_000}"
    await until(lambda: caplog.messages.count(line) == 3_000)


async def test_a_line_of_megabytes_harms_nothing(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("sys.stdout.write('x' * 4_000_000) and print() or 'done'"))
    assert job.output == b'"done"'
    line = f"ep/{job.worker}/{job.id} | {'x' * 4_000_000}"
    await until(lambda: line in caplog.messages)


async def test_binary_output_harms_nothing(workshop: Opener, caplog: pytest.LogCaptureFixture) -> None:
    shop = await workshop()
    job = await shop.ended(await shop.do("os.write(1, bytes(range(256)) * 100 + b'\\nend\\n')"))
    assert job.output == b"25605"
    await until(lambda: f"ep/{job.worker}/{job.id} | end" in caplog.messages)


async def test_closed_descriptors_harm_nothing_but_the_worker_that_logs_there(workshop: Opener) -> None:
    shop = await workshop(settings=ALONE)
    first = await shop.pid()
    assert await shop.output(await shop.do("[os.close(fd) for fd in (0, 2)] and 'done'")) == "done"
    assert await shop.pid() == first
    lost = await shop.ended(await shop.do("os.close(1)"))
    assert (lost.status, lost.retries) == (JobStatus.FAILED, 1)
    assert await shop.output(await shop.do("'again'")) == "again"
