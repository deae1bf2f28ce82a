"""A world whose store is away for a while: what waits goes on, nothing is lost, nothing ends twice, nothing dies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, Job, JobStatus, Progressed
from runpod_emulator.core.jobs.owners import BEAT, LEASE
from runpod_emulator.core.jobs.results import Report
from runpod_emulator.core.store_errors import StoreAway
from runpod_emulator.core.time import timeline
from runpod_emulator.core.time.clock import RealClock
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.stores.redis.store import RedisStore

from tests.stores.relay import Relay
from tests.stores.servers import shared_server
from tests.waits import answered, turns, until
from tests.world.servers import Servers
from tests.worlds import RecordingPost, TestWorld, make_world

INPUT = Submission(b'{"a":1}')
HOOKED = INPUT._replace(webhook="http://127.0.0.1:9/hook")
SECONDS = 20.0


class Here:
    """A world over a store behind a relay."""

    def __init__(self, relay: Relay, world: TestWorld, store: RedisStore) -> None:
        self.relay = relay
        self.world = world
        self.store = store
        self.endpoint, self.work, self.post = world.endpoint, world.endpoint.work, world.post

    async def away(self) -> None:
        await self.relay.refuse()
        with pytest.raises(StoreAway):
            await self.store.counts("ep")

    async def back(self) -> None:
        await self.relay.begin()

    async def ended(self, job: Job) -> Job:
        return await bounded(self.endpoint.wait(job.id, None))


@pytest.fixture
async def here(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Here]:
    monkeypatch.setattr(timeline, "AGAIN", 100)
    relay = Relay(shared_server())
    await relay.begin()
    store = RedisStore(relay.address(), owner="here")
    world = make_world(clock=RealClock(), store=store, owner="here", rate_limits=False, post=RecordingPost())
    with caplog.at_level(logging.ERROR):
        await world.emulator.open()
        yield Here(relay, world, store)
        await bounded(world.emulator.stop())
    await relay.close()
    assert [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []


async def bounded(work: Awaitable[Any]) -> Any:
    return await asyncio.wait_for(work, SECONDS)


async def still_waits(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task that has gone as far as it can, and has not ended."""
    task = asyncio.ensure_future(work)
    await turns()
    assert not task.done()
    return task


REPORTS: dict[str, Callable[[int], Report]] = {
    "progress": lambda lease: Progressed(lease, b"0.5"),
    "a chunk": lambda lease: Emitted(lease, (b"1",)),
    "a result": lambda lease: Completed(lease, b'"out"'),
    "a failure": lambda lease: Failed("boom", None, lease),
}


@pytest.mark.parametrize("name", REPORTS)
async def test_a_report_of_our_own_worker_is_kept_and_delivered_when_the_store_is_back(here: Here, name: str):
    _, job = await here.world.running()
    await here.away()
    report = await still_waits(here.work.report(job.id, REPORTS[name](job.lease)))
    await here.back()
    assert await bounded(report)
    assert not await bounded(here.work.report(job.id, Completed(job.lease + 1)))


@pytest.mark.parametrize("name", REPORTS)
async def test_so_is_a_report_of_a_program_that_polls(here: Here, name: str):
    await here.endpoint.submit(INPUT)
    (job,) = await here.endpoint.polling.take("w1", 1, True, here.world.emulator.timeline.now(), Caller())
    await here.away()
    report = await still_waits(here.endpoint.polling.report("w1", job.id, REPORTS[name]))
    await here.back()
    assert await bounded(report)
    assert not await bounded(here.work.report(job.id, Completed(job.lease + 1)))


async def test_a_worker_that_could_not_be_heard_has_a_whole_lease_again(here: Here):
    await here.endpoint.submit(INPUT)
    (job,) = await here.endpoint.polling.take("w1", 1, True, here.world.emulator.timeline.now(), Caller())
    assert job.lease_until is not None
    await here.away()
    engine = here.work.engine
    await here.back()
    await until(lambda: engine.store_back_at is not None)
    assert engine.store_back_at is not None
    after = await engine.load(job.id, job.lease_until)
    assert (after.status, after.lease_until) == (JobStatus.IN_PROGRESS, engine.store_back_at + LEASE)
    assert (await engine.load(job.id, engine.store_back_at + LEASE)).status is JobStatus.IN_QUEUE


async def test_a_program_that_asks_for_jobs_is_told_at_once(here: Here):
    await here.endpoint.submit(INPUT)
    (job,) = await here.endpoint.polling.take("w1", 1, True, here.world.emulator.timeline.now(), Caller())
    await here.endpoint.submit(INPUT)
    await here.away()
    with pytest.raises(StoreAway):
        await bounded(here.endpoint.polling.take("w1", 1, False, here.world.emulator.timeline.now(), Caller()))
    await here.back()
    await until(lambda: not here.store.connection.is_away)
    assert await here.endpoint.polling.report("w1", job.id, Completed)


@pytest.mark.parametrize("begins", ["before", "while the store is away"])
async def test_a_worker_that_waits_for_a_job_takes_the_next_one_after(here: Here, begins: str):
    worker = await here.world.worker()
    takes = asyncio.ensure_future(here.work.take(worker, 1, None, Caller())) if begins == "before" else None
    await here.away()
    takes = takes or asyncio.ensure_future(here.work.take(worker, 1, None, Caller()))
    await turns()
    await here.back()
    await until(lambda: not here.store.connection.is_away)
    job = await here.endpoint.submit(INPUT)
    assert [one.id for one in await bounded(takes)] == [job.id]


async def test_a_job_that_came_while_a_poll_met_the_outage_is_not_lost(here: Here):
    worker = await here.world.worker()
    job = await here.endpoint.submit(INPUT)
    here.relay.lose_answer(b"Taken")
    assert [one.id for one in await here.world.take(worker)] == [job.id]
    assert here.relay.has_lost


async def test_who_waits_for_a_job_is_answered_when_it_has_ended_after(here: Here):
    _, job = await here.world.running()
    waits = asyncio.ensure_future(here.endpoint.wait(job.id, None))
    reads = asyncio.ensure_future(here.endpoint.next_chunks(job.id, None))
    await until(lambda: len(here.world.emulator.room.held()) == 2)
    await here.away()
    ends = asyncio.ensure_future(here.work.report(job.id, Completed(job.lease, b"1")))
    await here.back()
    assert (await bounded(waits)).status is JobStatus.COMPLETED
    assert (await bounded(reads))[0] is JobStatus.COMPLETED
    assert await bounded(ends)


async def test_a_wait_that_is_over_while_the_store_is_away_ends_in_time(here: Here):
    _, job = await here.world.running()
    waits = asyncio.ensure_future(here.endpoint.wait(job.id, here.world.emulator.timeline.now() + 400))
    await until(here.world.emulator.room.held)
    await here.away()
    with pytest.raises(StoreAway):
        await asyncio.wait_for(waits, 3.0)
    await here.back()


async def test_a_deadline_that_passes_meanwhile_is_met_after_without_anybody_asking(here: Here):
    _, job = await here.world.running(INPUT._replace(execution_timeout=500))
    await here.away()
    ends = job.taken_at + 500
    await until(lambda: here.world.clock.now() > ends)
    await here.back()
    await until(lambda: here.world.launcher.stopped_jobs)
    assert here.world.launcher.stopped_jobs[0][1] == job.id
    after = await here.endpoint.status(job.id)
    assert after.status is not JobStatus.IN_PROGRESS
    assert after.ended_at == job.runs_until


async def test_jobs_of_a_worker_that_ended_meanwhile_are_tried_again(here: Here):
    worker, job = await here.world.running()
    await here.away()
    gone = await still_waits(here.work.worker_gone(worker))
    await here.back()
    await bounded(gone)
    after = await here.endpoint.status(job.id)
    assert (after.status, after.retries) == (JobStatus.IN_QUEUE, 1)


async def test_a_webhook_is_called_once_though_the_store_goes_away_as_it_is_called(here: Here):
    _, job = await here.world.running(HOOKED)
    going: list[asyncio.Future[None]] = []

    def answer(url: str, body: bytes) -> str:
        going.append(asyncio.ensure_future(here.relay.refuse()))
        return ""

    here.post.answer = answer
    assert await here.work.report(job.id, Completed(job.lease, b"1"))
    await until(lambda: going and here.store.connection.is_away)
    here.post.answer = lambda url, body: ""
    await here.back()
    await until(lambda: not here.store.connection.is_away)
    await answered(here.store.deliveries.owes, lambda owes: not owes)
    assert [url for url, _ in here.post.calls] == ["http://127.0.0.1:9/hook"]


async def test_a_webhook_that_was_owed_before_is_called_after(here: Here):
    _, job = await here.world.running(HOOKED)
    here.post.answer = lambda url, body: "refused" if len(here.post.calls) == 1 else ""
    assert await here.work.report(job.id, Completed(job.lease, b"1"))
    await until(lambda: here.post.calls)
    await here.away()
    here.world.emulator.webhooks.wake()
    await turns()
    await here.back()
    await until(lambda: not here.store.connection.is_away)
    await here.world.emulator.webhooks.resend((await owed(here))[0])
    await until(lambda: len(here.post.calls) == 2)


async def owed(here: Here) -> list[Any]:
    return await here.store.deliveries.claim(here.world.emulator.timeline.now() + 3_600_000, 9, 1)


async def test_the_stop_of_a_server_whose_store_is_away_waits_for_nothing(here: Here):
    _, job = await here.world.running(HOOKED)
    await here.away()
    report = await still_waits(here.work.report(job.id, Completed(job.lease)))
    await asyncio.wait_for(here.world.emulator.stop(), 5.0)
    with pytest.raises(StoreAway):
        await report
    await here.back()


async def test_an_emptied_store_ends_every_wait_and_stops_what_runs(here: Here):
    worker, job = await here.world.running()
    waits = asyncio.ensure_future(here.endpoint.wait(job.id, None))
    await until(here.world.emulator.room.held)
    await here.store.connection.do("UNLINK", *await here.store.connection.do("KEYS", f"{here.store.address.prefix}*"))
    with pytest.raises(JobNotFound):
        await bounded(waits)
    await until(lambda: here.world.launcher.stopped_jobs == [(worker, job.id, job.lease)])
    assert not here.endpoint.fleet.workers[worker].jobs
    assert not await here.work.report(job.id, Completed(job.lease))
    after = await here.endpoint.submit(INPUT)
    assert [one.id for one in await here.world.take(worker)] == [after.id]


# Who is given up


async def test_a_server_that_has_just_started_gives_up_nobody_who_had_no_time_to_beat():
    servers = Servers(1)
    here = await servers.start("a")
    _, job = await here.running()
    await servers.advance(3 * BEAT)
    servers.store.until["a"] = servers.clock.now()  # the store was away for long
    other = await servers.start("b")
    await servers.advance(2 * BEAT)
    now = await other.endpoint.status(job.id)
    assert (now.status, now.owner, now.retries) == (JobStatus.IN_PROGRESS, "a", 0)


async def test_servers_whose_store_was_away_for_long_all_keep_their_jobs():
    servers = Servers(1)
    worlds = [await servers.start(name) for name in "abc"]
    jobs = [(await world.running())[1] for world in worlds]

    async def fails() -> None:
        raise StoreAway

    end = servers.clock.now() + 3 * LEASE
    while servers.clock.now() < end:
        for view in servers.views.values():
            view.after["beat"] = fails
        servers.store.until = {}
        await servers.advance(1_000)
    servers.store.until = dict.fromkeys("abc", servers.clock.now() - LEASE)
    await servers.advance(LEASE)
    for world, job in zip(worlds, jobs, strict=True):
        assert (await world.endpoint.status(job.id)).retries == 0


@pytest.mark.parametrize("behind", [-2_000, 2_000])
async def test_a_clock_that_is_two_seconds_off_gives_nobody_up(behind: int):
    servers = Servers(1)
    here, other = await servers.start("a"), await servers.start("b")
    _, job = await here.running()
    owners = servers.views["a"].owners
    beat = owners.beat
    owners.beat = lambda owner, until, workers: beat(owner, until + behind, workers)  # type: ignore[method-assign]
    await servers.advance(5 * LEASE)
    assert (await other.endpoint.status(job.id)).retries == 0


async def test_a_stop_that_came_while_the_store_was_away_here_reaches_the_worker_after(here: Here):
    worker, job = await here.world.running()
    address = here.store.address._replace(url=shared_server().url)
    other = make_world(clock=RealClock(), store=RedisStore(address, owner="other"), owner="other", rate_limits=False)
    await here.away()
    assert (await other.endpoint.cancel(job.id)).status is JobStatus.CANCELLED
    assert here.world.launcher.stopped_jobs == []
    await here.back()
    await until(lambda: here.world.launcher.stopped_jobs == [(worker, job.id, job.lease)])
    assert not await here.work.report(job.id, Completed(job.lease))
    await bounded(other.emulator.stop())


async def test_of_two_servers_that_give_an_owner_up_at_once_one_puts_its_job_back(here: Here):
    _, job = await here.world.running()
    others = []
    for name in "bc":
        store = RedisStore(here.store.address, owner=name)
        others.append(make_world(clock=RealClock(), store=store, owner=name, rate_limits=False))
    held = await here.store.owners.held("here")
    assert [one.id for one in held] == [job.id]
    lost = await asyncio.gather(*(world.endpoint.work.owner_gone(one) for world in others for one in held * 2))
    assert sorted(lost) == [False, False, False, True]
    after = await here.endpoint.status(job.id)
    assert (after.status, after.retries, after.owner) == (JobStatus.IN_QUEUE, 1, None)
    assert not await here.work.report(job.id, Completed(job.lease))
    for world in others:
        await bounded(world.emulator.stop())


async def test_an_official_wait_for_stops_is_not_ended_by_an_outage(here: Here):
    await here.endpoint.submit(INPUT)
    (job,) = await here.endpoint.polling.take("w1", 1, True, here.world.emulator.timeline.now(), Caller())
    until_then = here.world.emulator.timeline.now() + 60_000
    stops = asyncio.ensure_future(here.endpoint.polling.stops("w1", until_then, Caller()))
    await until(here.world.emulator.room.held)
    await here.away()
    await here.back()
    await until(lambda: not here.store.connection.is_away)
    await here.endpoint.cancel(job.id)
    assert await bounded(stops) == [job.id]
