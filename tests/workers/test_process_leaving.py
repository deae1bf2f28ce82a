"""How worker processes leave that nobody waits for: to the last line of their file, and unheard."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from runpod_emulator.core.jobs.job import JobStatus

from tests.workers.conftest import ALONE, Opener, Workshop, until
from tests.workers.processes import alive, needs_proc

pytestmark = needs_proc

LEAVING = """
    import atexit, os, runpod, signal, time

    def handler(job):
        return eval(job["input"]["do"])

    def write(name):
        with open(FILE + name, "w") as file:
            file.write(str(os.getpid()))

    atexit.register(write, "atexit")
    runpod.serverless.start({"handler": handler})
    write("after")
    AFTER
"""


def leaving(folder: Path, after: str = "") -> str:
    return LEAVING.replace("FILE", repr(f"{folder}/")).replace("AFTER", after)


async def idles_out(shop: Workshop) -> None:
    await shop.skip(3_600_000)


async def is_refreshed(shop: Workshop) -> None:
    await shop.ended(await shop.do("{'refresh_worker': True}"))


async def is_outdated(shop: Workshop) -> None:
    assert await shop.endpoint.workforce.reload()


async def test_a_worker_runs_to_its_last_line(workshop: Opener, tmp_path: Path) -> None:
    """However it ends; all at once, for each takes more than a second."""

    async def ends(end: Callable[[Workshop], Awaitable[None]], shop: Workshop, pid: int) -> None:
        await end(shop)
        await until(lambda: not alive(pid))

    pids: dict[str, str] = {}
    leave = []
    for end in (idles_out, is_refreshed, is_outdated):
        (tmp_path / end.__name__).mkdir()
        shop = await workshop(leaving(tmp_path / end.__name__, "time.sleep(1.2)"), settings=ALONE)
        pids[end.__name__] = str(one := await shop.pid())
        leave.append(ends(end, shop, one))
    await asyncio.gather(*leave)
    for name, pid in pids.items():
        assert {(tmp_path / name / file).read_text() for file in ("after", "atexit")} == {pid}


async def test_a_worker_that_does_not_leave_is_killed_when_its_time_is_over(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop(leaving(tmp_path, "time.sleep(99)"), settings=ALONE, stop_grace=0.2)
    pid = await shop.pid()
    await idles_out(shop)
    await until(lambda: not alive(pid))
    assert (tmp_path / "after").exists() and not (tmp_path / "atexit").exists()


async def test_one_that_leaves_has_no_place_no_job_and_no_say(workshop: Opener, tmp_path: Path) -> None:
    said = f"[time.sleep(0.01) for _ in iter(lambda: os.path.exists({str(tmp_path / 'said')!r}), True)]"
    told = "lambda: os.path.exists(FILE + 'job') and os.path.getsize(FILE + 'job') > 0"
    after = f"[time.sleep(0.01) for _ in iter({told}, True)]; "
    after += "runpod.serverless.progress_update({'id': open(FILE + 'job').read()}, 'late') or "
    after += "open(FILE + 'said', 'w').close() or time.sleep(99)"
    shop = await workshop(leaving(tmp_path, after.replace("FILE", repr(f"{tmp_path}/"))), settings=ALONE)
    pid = await shop.pid()
    held = await shop.do("os.getpid()", execution_timeout=60_000)
    assert await shop.output(held) == pid
    await idles_out(shop)
    assert shop.endpoint.fleet.counts().idle == 0
    (tmp_path / "job").write_text(job := await shop.do(f"[os.getpid(), {said}]"))
    assert (await shop.output(job))[0] != pid
    assert alive(pid)
    began = time.monotonic()
    await shop.stop()
    assert time.monotonic() - began < 5
    assert not alive(pid)


async def test_a_cancelled_job_still_ends_its_process_quickly(workshop: Opener, tmp_path: Path) -> None:
    shop = await workshop(leaving(tmp_path), settings=ALONE)
    ignore = "print(signal.signal(signal.SIGTERM, signal.SIG_IGN))"
    job = await shop.do(f"{ignore} or runpod.serverless.progress_update(job, os.getpid()) or time.sleep(99)")
    pid = await shop.progress(job)
    began = time.monotonic()
    await shop.endpoint.cancel(job)
    await until(lambda: not alive(pid))
    assert time.monotonic() - began < 5
    assert (await shop.endpoint.status(job)).status is JobStatus.CANCELLED
