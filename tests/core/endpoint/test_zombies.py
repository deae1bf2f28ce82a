"""Workers that are given up while they go on: what they still say does not count, and their jobs are tried again."""

from __future__ import annotations

import pytest
from runpod_emulator.core.jobs.job import Job, JobStatus
from runpod_emulator.core.mocks.fault_kinds import FaultKind

from tests.core.faulty_worlds import WORK, Mocked


@pytest.mark.parametrize("workers", [1, 3])
async def test_a_zombie_reports_late_and_is_refused(workers: int):
    mocked = Mocked(workers=workers)
    mocked.fault(FaultKind.ZOMBIE, delay=1_000, times=1)
    job = await mocked.submit()
    await mocked.world.advance(1_500)
    record = await mocked.endpoint.status(job.id)
    assert (record.status, record.lease, record.retries) == (JobStatus.IN_PROGRESS, 2, 1)
    zombie = mocked.heard[1].job.worker
    assert mocked.endpoint.work.stray_runs.lease(str(zombie), job.id) == 1
    assert mocked.endpoint.fleet.counts().running == 2
    await mocked.world.advance(WORK - 1_500)
    assert zombie not in mocked.endpoint.fleet.workers
    assert not mocked.endpoint.work.stray_runs.workers
    assert (await mocked.endpoint.status(job.id)).status is JobStatus.IN_PROGRESS
    await mocked.world.advance(1_000)
    assert (await mocked.endpoint.status(job.id)).output == b'"done"'
    mocked.expect_sound()


async def test_a_zombie_loses_all_its_jobs_and_takes_no_other():
    mocked = Mocked(concurrency=2, workers=1)
    mocked.fault(FaultKind.ZOMBIE, delay=1_000, calls=frozenset({1}))
    jobs = [await mocked.submit() for _ in range(2)]
    await mocked.world.advance(1_000)
    records = [await mocked.endpoint.status(job.id) for job in jobs]
    assert [record.lease for record in records] == [2, 2]
    assert len({record.worker for record in records} | {mocked.heard[2].job.worker}) == 2
    await mocked.world.advance(100_000)
    mocked.expect_sound()


@pytest.mark.one_step
async def test_a_worker_that_goes_while_it_is_given_up_is_gone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    mocked = Mocked(workers=1)
    mocked.fault(FaultKind.ZOMBIE, delay=1_000, times=1)
    await mocked.submit()
    await mocked.world.advance(500)
    (worker,) = mocked.endpoint.fleet.workers
    store = mocked.emulator.store
    get = store.get

    async def gone_meanwhile(endpoint: str, job: str) -> Job:
        monkeypatch.undo()
        await mocked.endpoint.work.worker_gone(worker)
        return await get(endpoint, job)

    monkeypatch.setattr(store, "get", gone_meanwhile)
    await mocked.world.advance(600)
    assert store.get == get and worker not in mocked.endpoint.fleet.workers
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
