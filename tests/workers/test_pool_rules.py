"""What a pool does with workers of any kind: it passes on what is wanted of them, and waits for their ends."""

from __future__ import annotations

import asyncio

import pytest
from runpod_emulator.workers.pool import HANDLER, Pool

from tests.core.steps import turns


class AskedWorker:
    """A worker that remembers what was wanted of it, and lives until it is let go."""

    def __init__(self, worker: str, failure: BaseException | None = None) -> None:
        self.id = worker
        self.wanted: list[object] = []
        self.over = asyncio.Event()
        self._failure = failure

    async def run(self) -> None:
        await self.over.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        self.wanted.append("stop")

    def replace(self) -> None:
        self.wanted.append("replace")

    def retire(self) -> None:
        self.wanted.append("retire")

    def kill(self) -> None:
        self.wanted.append("kill")

    def stop_job(self, job: str, lease: int) -> None:
        self.wanted.append((job, lease))

    def close(self) -> None:
        self.wanted.append("close")
        self.over.set()


class Workers:
    """A pool, and the workers that it has made."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.made: list[AskedWorker] = []
        self.pool = Pool(HANDLER, self._make)
        self._failure = failure

    def _make(self, worker: str) -> AskedWorker:
        self.made.append(AskedWorker(worker, self._failure))
        return self.made[-1]

    def want_everything(self, worker: str) -> None:
        for verb in ("stop", "replace", "retire", "kill"):
            getattr(self.pool, verb)(worker)
        self.pool.stop_job(worker, "job", 7)


async def test_a_worker_hears_what_is_wanted_of_it_and_no_other_does():
    workers = Workers()
    workers.pool.start("w1")
    workers.pool.start("w2")
    workers.want_everything("w1")
    workers.want_everything("nobody")
    one, other = workers.made
    assert (one.wanted, other.wanted) == (["stop", "replace", "retire", "kill", ("job", 7)], [])
    await workers.pool.close()


async def test_one_that_has_ended_hears_nothing_more():
    workers = Workers()
    workers.pool.start("w1")
    (one,) = workers.made
    one.over.set()
    await turns()
    workers.want_everything("w1")
    await workers.pool.close()
    assert one.wanted == []


async def test_of_two_with_one_id_the_newer_is_meant_and_both_are_waited_for():
    workers = Workers()
    workers.pool.start("w1")
    workers.pool.start("w1")
    old, new = workers.made
    workers.pool.stop("w1")
    assert (old.wanted, new.wanted) == ([], ["stop"])
    await workers.pool.close()
    assert (old.wanted, new.wanted) == (["close"], ["stop", "close"])


async def test_the_newer_stays_when_the_older_ends():
    workers = Workers()
    workers.pool.start("w1")
    workers.pool.start("w1")
    old, new = workers.made
    old.over.set()
    await turns()
    workers.pool.kill("w1")
    assert new.wanted == ["kill"]
    await workers.pool.close()


async def test_a_close_waits_until_each_is_gone():
    workers = Workers()
    for worker in ("w1", "w2"):
        workers.pool.start(worker)
    await workers.pool.close()
    await turns()
    workers.want_everything("w1")
    assert [one.wanted for one in workers.made] == [["close"], ["close"]]
    await workers.pool.close()


async def test_a_worker_that_fails_is_logged(caplog: pytest.LogCaptureFixture):
    workers = Workers(ZeroDivisionError())
    workers.pool.start("w1")
    await workers.pool.close()
    await turns()
    assert [(record.levelname, record.message) for record in caplog.records] == [("ERROR", "worker w1 failed")]
