"""Two servers over one store: what a client or a worker does at one of them holds at the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from runpod_emulator.core.endpoint.balancer import Balancer
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import NotRetryable, RateLimited
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, Job, JobStatus
from runpod_emulator.core.jobs.owners import BEAT, LEASE
from runpod_emulator.core.mocks.script import Ending, Script
from runpod_emulator.core.mocks.stubs import Stub
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import default_settings
from runpod_emulator.core.time.clock import RealClock
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.world.heartbeat import SOON

from tests.core.steps import beside
from tests.stores.shared import SharedStore
from tests.world.servers import Servers, begun, done
from tests.worlds import RecordingLauncher, RecordingPost, TestWorld, make_world

INPUT = Submission(b'{"a":1}')
HOOKED = Submission(b'{"a":1}', webhook="http://127.0.0.1:9/hook")


@pytest.fixture(params=[0, 1, 5], ids=["at once", "one turn", "up to five turns"])
def servers(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> Iterator[Servers]:
    with caplog.at_level(logging.ERROR):
        yield Servers(request.param)
    assert [record.getMessage() for record in caplog.get_records("call")] == []


async def status(world: TestWorld, job: Job) -> tuple[JobStatus, int]:
    now = await world.endpoint.status(job.id)
    return now.status, now.retries


async def pair(servers: Servers, **options: object) -> tuple[TestWorld, TestWorld]:
    return await servers.start("a", **options), await servers.start("b", **options)


# Clients and workers


async def test_a_job_runs_at_one_server_and_is_waited_for_at_the_other(servers: Servers):
    here, there = await pair(servers)
    worker = await there.worker()
    polls = await begun(there.endpoint.work.take(worker, 1, None, Caller()))
    job = await here.endpoint.submit(INPUT)
    (taken,) = await done(polls)
    assert (taken.id, taken.owner, taken.worker) == (job.id, "b", worker)
    waits = await begun(here.endpoint.wait(job.id, None))
    reads = await begun(here.endpoint.next_chunks(job.id, None))
    assert await there.endpoint.work.report(job.id, Emitted(1, (b"1",)))
    assert await done(reads) == (JobStatus.IN_PROGRESS, [b"1"])
    reads = await begun(here.endpoint.next_chunks(job.id, None))
    assert await there.endpoint.work.report(job.id, Completed(1, b'"done"'))
    assert (await done(waits)).output == b'"done"'
    assert await done(reads) == (JobStatus.COMPLETED, [])


async def test_a_worker_stops_what_is_cancelled_at_the_other_server(servers: Servers):
    here, there = await pair(servers)
    worker, job = await there.running()
    assert (await here.endpoint.cancel(job.id)).status is JobStatus.CANCELLED
    await servers.settle()
    assert there.launcher.stopped_jobs == [(worker, job.id, 1)]
    assert here.launcher.stopped_jobs == []
    assert not there.endpoint.fleet.workers[worker].jobs


async def test_of_two_servers_that_retry_a_job_at_once_one_does_and_the_others_stub_has_matched_nothing(
    servers: Servers,
):
    here, there = await pair(servers)
    stubs = [Stub("s", (Script(Ending.NEVER),)) for _ in range(2)]
    for world, stub in zip((here, there), stubs, strict=True):
        world.emulator.stub(stub)
    _, job = await there.running()
    await there.endpoint.work.report(job.id, Failed("boom", None, 1))
    retries = (world.endpoint.retry(job.id) for world in (here, there))
    outcomes = await asyncio.gather(*retries, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == [Job.__name__, NotRetryable.__name__]
    assert sum(stub.matched for stub in stubs) == 2
    (again,) = await there.take(await there.worker())
    assert (again.id, again.lease) == (job.id, 2)
    assert (servers.seen["a"].wins + servers.seen["b"].wins).count("Retried") == 1


async def test_the_queue_is_first_in_first_out_over_both(servers: Servers):
    here, there = await pair(servers)
    jobs = [await (here, there, there)[number % 3].endpoint.submit(INPUT) for number in range(9)]
    workers = [(here, await here.worker(9)), (there, await there.worker(9))]
    got = [job.id for number in range(9) for job in await workers[number % 2][0].take(workers[number % 2][1])]
    assert got == [job.id for job in jobs]


async def test_two_servers_of_one_seed_name_jobs_and_workers_apart(servers: Servers):
    here, there = await pair(servers)
    names = [(await world.endpoint.submit(INPUT)).id for world in (here, there) for _ in range(3)]
    names += [await world.worker() for world in (here, there)]
    assert len({*names}) == 8


async def test_requests_of_both_count_in_one_window_and_at_once(servers: Servers):
    here, there = await pair(servers, run_rate=3, run_concurrency=2)

    async def asks(world: TestWorld) -> bool:
        try:
            with await world.endpoint.limits.admit(Operation.RUN, servers.clock.now()):
                return True
        except RateLimited:
            return False

    now = servers.clock.now()
    with await here.endpoint.limits.admit(Operation.RUN, now), await there.endpoint.limits.admit(Operation.RUN, now):
        assert [await asks(world) for world in (here, there)] == [False, False]
    assert [await asks(world) for world in (here, there, here)] == [True, False, False]
    for _ in range(2):  # 50 requests more for each worker that runs, of either server
        await there.running()
    await servers.advance(SOON)
    admitted = [await asks(here) for _ in range(98)]
    assert (all(admitted[:97]), admitted[97]) == (True, False)


async def test_health_counts_the_workers_of_both(servers: Servers):
    here, there = await pair(servers)
    await here.worker()
    await there.running()
    await there.worker()
    await servers.advance(SOON)
    for world in (here, there):
        workers = (await world.endpoint.health()).workers
        assert (workers.idle, workers.ready, workers.running) == (2, 2, 1)
    servers.kill("b")
    await servers.advance(LEASE + BEAT)
    assert (await here.endpoint.health()).workers == here.endpoint.worker_counts


async def test_health_of_a_load_balancing_endpoint_counts_the_workers_of_both(servers: Servers):
    balancers: list[Balancer] = []
    for world in await pair(servers):
        launcher = RecordingLauncher()
        settings = default_settings("lb", world.emulator.platform)
        balancers.append(Balancer(settings, world.endpoint.shared, launcher.launch))
        world.emulator.endpoints.balancers["lb"] = balancers[-1]
        balancers[-1].autoscaler.start_one(at_once=True)
        await balancers[-1].worker_healthy(launcher.started[-1], "http://127.0.0.1:9")
    await servers.advance(SOON)
    for balancer in balancers:
        workers = (await balancer.health()).workers
        assert (workers.idle, workers.ready) == (2, 2)


# Time and effects


async def test_a_deadline_is_met_once(servers: Servers):
    here, there = await pair(servers)
    await there.running()
    await here.endpoint.submit(INPUT._replace(ttl=10_000))
    await servers.advance(11_000)
    for world in (here, there):
        counters = await world.endpoint.health()
        assert (counters.queued, counters.running) == (0, 1)
    wins = servers.seen["a"].wins + servers.seen["b"].wins
    assert wins.count("Forgotten") == 1
    assert [seen.news.count("Forgotten") for seen in servers.seen.values()] == [1, 1]


async def test_each_transition_is_won_once_and_heard_of_by_both(servers: Servers):
    here, there = await pair(servers)
    job = await here.endpoint.submit(INPUT)
    await there.take(await there.worker())
    await there.endpoint.work.report(job.id, Completed(1))
    assert (servers.seen["a"].wins, servers.seen["b"].wins) == (["Submitted"], ["Taken", "Completed"])
    assert [seen.news for seen in servers.seen.values()] == [["Submitted", "Taken", "Completed"]] * 2


async def test_a_webhook_is_called_once(servers: Servers):
    post = RecordingPost()
    here, there = await pair(servers, post=post)
    jobs = [await world.endpoint.submit(HOOKED) for world in (here, there)]
    await there.take(await there.worker(2), 2)
    for job in jobs:
        await there.endpoint.work.report(job.id, Completed(1))
    await servers.advance(60_000)
    assert len(post.calls) == 2


async def test_what_a_killed_server_owes_to_a_webhook_is_owed_by_the_other(servers: Servers):
    here = await servers.start("a")
    there = await servers.start("b", post=RecordingPost(answer=lambda url, body: "refused"))
    _, job = await there.running(HOOKED)
    await there.endpoint.work.report(job.id, Completed(1))
    await servers.settle()
    servers.kill("b")
    await servers.advance(LEASE + BEAT)
    assert (len(there.post.calls), len(here.post.calls)) == (1, 1)


# Servers that end


async def test_the_job_of_a_killed_server_comes_back_once_and_ends_at_the_other(servers: Servers):
    here, there = await pair(servers)
    _, job = await there.running()
    waits = await begun(here.endpoint.wait(job.id, None))
    servers.kill("b")
    await servers.advance(LEASE - 1)
    assert await status(here, job) == (JobStatus.IN_PROGRESS, 0)
    await servers.advance(BEAT)
    assert await status(here, job) == (JobStatus.IN_QUEUE, 1)
    (again,) = await here.take(await here.worker())
    assert (again.id, again.lease, again.owner) == (job.id, 2, "a")
    await servers.advance(3 * LEASE)
    assert await here.endpoint.work.report(job.id, Completed(2, b"1"))
    assert ((await done(waits)).status, servers.seen["a"].wins.count("Requeued")) == (JobStatus.COMPLETED, 1)
    assert [*servers.store.until] == ["a"]


async def test_a_job_that_plays_a_script_has_an_owner_like_any_other(servers: Servers):
    here, there = await pair(servers)
    for world in (here, there):
        world.emulator.stub(Stub("s", (Script(Ending.OUTPUT, output=lambda scene: b"1"),)))
    _, job = await there.running()
    assert job.owner == "b"
    servers.kill("b")
    await servers.advance(LEASE + BEAT)
    assert await status(here, job) == (JobStatus.IN_QUEUE, 1)


async def test_a_job_whose_servers_are_killed_again_and_again_fails_as_after_lost_workers(servers: Servers):
    here = await servers.start("a")
    job = await here.endpoint.submit(INPUT)
    retries = here.emulator.platform.platform_retries
    for number in range(retries + 1):
        name = f"b{number}"
        there = await servers.start(name)
        assert [one.id for one in await there.take(await there.worker())] == [job.id]
        servers.kill(name)
        await servers.advance(LEASE + BEAT)
    assert await status(here, job) == (JobStatus.FAILED, retries)


async def test_two_that_look_at_the_same_moment_give_a_job_up_once(servers: Servers):
    here, there = await pair(servers)
    dead = await servers.start("c")
    jobs = [(await dead.running())[1] for _ in range(3)]
    servers.kill("c")
    await servers.advance(LEASE + BEAT)
    for job in jobs:
        assert await status(here, job) == await status(there, job) == (JobStatus.IN_QUEUE, 1)
    assert (servers.seen["a"].wins + servers.seen["b"].wins).count("Requeued") == 3


async def test_a_server_that_slept_too_long_reports_too_late_and_its_worker_stops(servers: Servers):
    here, there = await pair(servers)
    worker, job = await there.running()
    servers.sleep("b")
    await servers.advance(LEASE + BEAT)
    assert not await there.endpoint.work.report(job.id, Completed(1, b"0"))
    await here.take(await here.worker())
    assert not await there.endpoint.work.report(job.id, Failed("slept", None, 1))
    await servers.wake("b")
    assert there.launcher.stopped_jobs == [(worker, job.id, 1)]
    assert worker not in there.endpoint.fleet.workers, "it has had nothing to do for longer than the idle timeout"
    assert (await there.endpoint.status(job.id)).lease == 2
    await there.endpoint.submit(INPUT)
    (another,) = await there.take(await there.worker())  # it lives again, and so do its jobs
    await servers.advance(3 * LEASE)
    assert await status(here, another) == (JobStatus.IN_PROGRESS, 0)


async def test_a_server_that_wakes_as_it_is_given_up_is_not_forgotten(servers: Servers):
    here, there = await pair(servers)
    await there.running()
    servers.sleep("b")

    async def beats() -> None:
        await there.emulator.store.owners.beat("b", servers.clock.now() + LEASE, {})

    await servers.advance(LEASE - 1)
    servers.views["a"].after["over"] = beats  # it has just been found that b's time is over
    await servers.advance(BEAT)
    assert "b" in servers.store.until
    assert (await here.endpoint.health()).queued == 1


async def test_what_an_owner_has_taken_anew_meanwhile_stays_its_own(servers: Servers):
    here, there = await pair(servers)
    worker, job = await there.running()
    servers.sleep("b")

    async def takes_it_anew() -> None:
        await there.endpoint.work.worker_gone(worker)
        assert [one.lease for one in await there.take(await there.worker())] == [2]

    await servers.advance(LEASE - 1)
    servers.views["a"].after["held"] = takes_it_anew
    await servers.advance(1)
    assert await status(here, job) == (JobStatus.IN_PROGRESS, 1)


async def test_a_server_that_wakes_lives_from_then_on(servers: Servers):
    _, there = await pair(servers)
    servers.sleep("b")
    await servers.advance(10 * LEASE)
    assert [*servers.store.until] == ["a"]
    await servers.wake("b")
    assert servers.store.until["b"] == servers.clock.now() + LEASE
    assert (await there.endpoint.health()).workers == there.endpoint.worker_counts


async def test_a_killed_server_whose_jobs_a_reset_has_forgotten_is_forgotten_too(servers: Servers):
    here, dead = await pair(servers)
    await dead.running()
    servers.kill("b")
    await here.emulator.reset()
    await servers.advance(LEASE + BEAT)
    assert [*servers.store.until] == ["a"]
    assert servers.seen["a"].wins.count("Requeued") == 0


async def test_the_jobs_of_a_server_that_was_killed_before_its_first_beat_come_back_too(servers: Servers):
    here, dead = await pair(servers)
    _, job = await dead.running()
    servers.kill("b")
    del servers.store.until["b"]
    await servers.advance(LEASE - 1)
    assert await status(here, job) == (JobStatus.IN_PROGRESS, 0)
    await servers.advance(BEAT)
    assert await status(here, job) == (JobStatus.IN_QUEUE, 1)


async def test_a_server_that_ends_leaves_its_jobs_to_others_at_once(servers: Servers):
    here, there = await pair(servers)
    _, job = await there.running()
    await there.emulator.stop()
    assert await status(here, job) == (JobStatus.IN_QUEUE, 1)
    assert [*servers.store.until] == ["a"]


async def test_only_who_serves_an_endpoint_gives_its_jobs_up(servers: Servers):
    here, dead = await pair(servers)
    other = beside(dead)
    job = (await other.running())[1]
    servers.kill("b")
    await servers.advance(LEASE + BEAT)
    assert [*servers.store.until] == ["a", "b"]
    late = beside(here)
    await servers.advance(BEAT)
    assert await status(late, job) == (JobStatus.IN_QUEUE, 1)
    assert [*servers.store.until] == ["a"]


async def test_a_worker_that_may_fall_silent_is_watched_by_its_own_lease(servers: Servers):
    here, there = await pair(servers)
    job = await here.endpoint.submit(INPUT)
    (taken,) = await there.take(await there.worker(), lease=10 * LEASE)
    assert (taken.owner, taken.lease_until) == (None, servers.clock.now() + 10 * LEASE)
    servers.kill("b")
    await servers.advance(10 * LEASE - 1)
    assert await status(here, job) == (JobStatus.IN_PROGRESS, 0)
    await servers.advance(1)
    assert await status(here, job) == (JobStatus.IN_QUEUE, 1)


async def test_a_server_that_starts_later_meets_the_deadlines_it_finds(servers: Servers):
    early = await servers.start("a")
    await early.endpoint.submit(INPUT._replace(ttl=10_000))
    servers.kill("a")
    late = await servers.start("b")
    await servers.advance(10_000)
    assert servers.seen["b"].wins == ["Forgotten"]
    assert (await late.endpoint.health()).queued == 0


async def test_in_real_time_a_server_beats_by_itself():
    store = SharedStore()
    world = make_world(clock=RealClock(), store=store.view(), owner="a")
    for _ in range(1_000):
        if store.until:
            break
        await asyncio.sleep(0.001)
    assert [*store.until] == ["a"]
    await world.emulator.stop()
    assert not store.until


async def test_a_beat_that_fails_is_logged_and_the_next_one_comes(caplog: pytest.LogCaptureFixture):
    servers = Servers(1)
    world = await servers.start("a")

    async def breaks() -> None:
        raise ConnectionError("the store is away")

    servers.views["a"].after["over"] = breaks
    await servers.advance(2 * BEAT)
    assert servers.store.until["a"] == servers.clock.now() + LEASE
    servers.views["a"].after["beat"] = breaks
    await world.emulator.stop()
    told = [(record.getMessage(), str(record.exc_info and record.exc_info[1])) for record in caplog.records]
    assert told == [
        ("a heartbeat failed", "the store is away"),
        ("the store was not told that this server ends", "the store is away"),
    ]


async def test_no_beat_overtakes_one_that_takes_long():
    servers = Servers(0)
    world = await servers.start("a")
    goes_on = asyncio.Event()
    servers.views["a"].after["beat"] = goes_on.wait
    before = servers.store.workers["a"]
    for _ in range(3):
        await world.worker()
        servers.clock.move_to(servers.clock.now() + SOON)
        await begun(world.endpoint.health())
    told = servers.store.workers["a"]
    assert told != before
    assert told["ep"] != world.endpoint.worker_counts
    goes_on.set()
    await servers.advance(SOON)
    assert servers.store.workers["a"]["ep"] == world.endpoint.worker_counts


async def test_a_server_that_ends_leaves_after_its_last_beat():
    servers = Servers(0)
    here, there = await pair(servers)
    goes_on = asyncio.Event()
    servers.views["b"].after["over"] = goes_on.wait
    servers.clock.move_to(servers.clock.now() + BEAT)
    await there.endpoint.health()
    stops = await begun(there.emulator.stop())
    assert not stops.done()
    goes_on.set()
    await done(stops)
    await servers.advance(BEAT)
    assert [*servers.store.until] == ["a"]
    assert (await here.endpoint.health()).workers == here.endpoint.worker_counts


# One's own store


async def test_over_a_store_of_its_own_a_world_has_no_heartbeat():
    world = make_world()
    await world.endpoint.health()
    assert await world.emulator.timeline.next_due() is None
    worker, job = await world.running()
    assert (job.worker, job.owner) == (worker, world.emulator.owner)
