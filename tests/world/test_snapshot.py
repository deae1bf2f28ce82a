"""A world that comes back from a snapshot: its jobs, whose time has gone on, its workers, which have not."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import ConfigurationError, JobNotFound
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, Job, JobStatus
from runpod_emulator.core.jobs.script_state import ScriptState
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.mocks.script import Ending, Script
from runpod_emulator.core.mocks.stubs import Stub
from runpod_emulator.core.records.news import Effect
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.core.settings import EndpointSettings
from runpod_emulator.core.time.clock import AutoClock, RealClock
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.stores.snapshot import Contents, Shelf
from runpod_emulator.world.covers import Cover, Masked
from runpod_emulator.world.saving import Loaded, Mocks, bring_back, taken
from runpod_emulator.world.snapshot import KeptStub, Snapshot, moved
from runpod_emulator.world.snapshot_json import NoSnapshot, OtherVersion, pieces_of, snapshots_in

from tests.stores.yielding import YieldingStore
from tests.tables import table
from tests.worlds import RecordingPost, TestWorld, make_world

JOB = Submission(b'{"a":1}')
HOOKED = Submission(b'{"a":1}', "http://client.test/hook")
START = 1_700_000_000_000
MINUTE = 60_000
NO_MOCKS = Mocks({}, {})

pytestmark = pytest.mark.one_step


class Going(RealClock):
    """A clock that goes on by itself, as far as the emulator knows, and stands where a test puts it."""

    def __init__(self, at: int = START) -> None:
        super().__init__()
        self.at = at

    def now(self) -> int:
        return self.at

    def drift(self) -> int:
        return 0


def written(snapshot: Snapshot, cover: Cover | Masked | None = None) -> bytes:
    return b"".join(pieces_of([snapshot], cover or Cover(Masks())))


def saved(world: TestWorld) -> Snapshot:
    """What a server that reads the file of another one has of its world."""
    (found,) = snapshots_in(written(taken(world.emulator).snapshot()))
    return found


async def restarted(before: TestWorld, after: TestWorld, mocks: Mocks = NO_MOCKS, restarts: bool = True) -> Loaded:
    """A server's world as the next one has it."""
    loaded = await bring_back(after.emulator, saved(before), mocks, restarts)
    await after.emulator.timeline.catch_up()
    return loaded


def here(at: int = START, **options: Any) -> TestWorld:
    return make_world(clock=Going(at), rate_limits=False, **options)


def events(world: TestWorld, job: str) -> list[tuple[str, int]]:
    return [(one.event, one.at) for one in world.emulator.history.of("ep", job)]


async def test_what_has_ended_is_told_and_what_waits_waits_in_its_order() -> None:
    before, after = here(), here(START + 5_000)
    worker, done = await before.running(JOB)
    await before.endpoint.work.report(done.id, Completed(done.lease, b'{"x": 1e400}'))
    waiting = [await before.endpoint.submit(Submission(b"{}", low_priority=number == 0)) for number in range(4)]
    assert await restarted(before, after) == Loaded(jobs=5, lost=0, unserved={})
    assert (await after.endpoint.status(done.id)).output == b'{"x": 1e400}'
    assert await after.endpoint.status(done.id) == await before.endpoint.status(done.id)
    order = [job.id for job in (*waiting[1:], waiting[0])]
    assert await after.emulator.store.queued("ep") == order
    assert [job.id for job in await after.take(await after.worker(9), 9)] == order
    health = await after.endpoint.health()
    assert (health.completed, health.running, health.queued) == (1, 4, 0)
    assert events(after, done.id) == events(before, done.id)
    assert worker == (await after.endpoint.status(done.id)).worker


async def test_workers_come_for_jobs_that_waited() -> None:
    before, after = here(), here()
    await before.endpoint.submit(JOB)
    await restarted(before, after)
    assert len(after.launcher.started) == 1


async def test_a_job_that_ran_comes_back_once_and_then_fails_as_a_lost_workers_does() -> None:
    first, second, third = here(), here(START + 1_000), here(START + 2_000)
    _, job = await first.running(HOOKED)
    assert (await restarted(first, second)).lost == 1
    again = await second.endpoint.status(job.id)
    assert (again.status, again.retries, again.worker, again.owner) == (JobStatus.IN_QUEUE, 1, None, None)
    assert events(second, job.id)[-1] == ("Requeued", START + 1_000)
    assert (await second.endpoint.health()).retried == 1
    (taken_again,) = await second.take(await second.worker())
    assert taken_again.id == job.id
    assert (await restarted(second, third)).lost == 1
    failed = await third.endpoint.status(job.id)
    assert (failed.status, failed.error) == (JobStatus.FAILED, "job timed out after 1 retries")
    assert failed.ended_at == START + 2_000
    await third.emulator.timeline.settle()
    assert len(third.post.calls) == 1
    health = await third.endpoint.health()
    assert (health.failed, health.retried, health.running) == (1, 1, 0)


async def test_a_program_that_polls_has_ended_too_where_the_server_had_started_it() -> None:
    before, after = here(), here()
    sent = await before.endpoint.submit(JOB)
    await before.take(await before.worker(), lease=40_000)
    assert (await restarted(before, after)).lost == 1
    assert (await after.endpoint.status(sent.id)).status is JobStatus.IN_QUEUE


async def test_an_old_report_does_not_count_for_a_job_that_came_back() -> None:
    before, after = here(), here()
    _, job = await before.running(JOB)
    await restarted(before, after)
    assert not await after.endpoint.work.report(job.id, Completed(job.lease, b"1"))


async def test_what_was_due_meanwhile_happens_at_its_own_time() -> None:
    before, after = here(), here(START + 60 * MINUTE)
    _, done = await before.running(JOB)
    await before.endpoint.work.report(done.id, Completed(done.lease, b"1"))
    short = await before.endpoint.submit(Submission(b"{}", ttl=10 * MINUTE))
    _, overdue = await before.running(JOB)
    assert overdue.id == short.id  # the first in the queue is taken first
    longer = await before.endpoint.submit(Submission(b'{"a":1}', ttl=20 * MINUTE))
    assert (await restarted(before, after)).lost == 1
    for job in (done.id, short.id, longer.id):
        with pytest.raises(JobNotFound):
            await after.endpoint.status(job)
    assert events(after, done.id)[-1] == ("Forgotten", START + 30 * MINUTE)
    assert events(after, short.id)[-2:] == [("Requeued", START), ("Forgotten", START + 10 * MINUTE)]
    assert after.emulator.history.record("ep", done.id) is not None
    assert events(after, longer.id) == [("Submitted", START), ("Forgotten", START + 20 * MINUTE)]
    assert (await after.endpoint.health()).queued == 1


async def test_chunks_that_nobody_has_read_are_there_and_others_are_not() -> None:
    before, after = here(), here()
    _, job = await before.running(JOB)
    await before.endpoint.work.report(job.id, Emitted(job.lease, (b"1", b"2")))
    assert await before.endpoint.next_chunks(job.id, START) == (JobStatus.IN_PROGRESS, [b"1", b"2"])
    await before.endpoint.work.report(job.id, Emitted(job.lease, (b"3", b'"\xff"')))
    await before.endpoint.work.report(job.id, Completed(job.lease, None))
    await restarted(before, after)
    assert (await after.emulator.store.unread("ep", job.id)).taken == 2
    assert await after.endpoint.next_chunks(job.id, START) == (JobStatus.COMPLETED, [b"3", b'"\xff"'])
    assert await after.endpoint.next_chunks(job.id, START) == (JobStatus.COMPLETED, [])
    said = after.emulator.streams.of("ep", job.id)
    assert [one.output for one in said] == [b"1", b"2", b"3", b'"\xff"']


async def test_webhooks_that_were_owed_are_called_with_the_attempts_that_are_left() -> None:
    down = RecordingPost(lambda url, body: "refused")
    before, after = here(post=down), here(START + 5_000)
    _, job = await before.running(HOOKED)
    await before.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    await before.emulator.timeline.settle()
    assert len(down.calls) == 1
    await restarted(before, after)
    await after.emulator.timeline.settle()
    assert [url for url, _ in after.post.calls] == ["http://client.test/hook"]
    assert [(one.delivery.attempts, one.problem) for one in after.emulator.attempts] == [(1, "refused"), (2, "")]
    assert not await after.emulator.store.deliveries.owes()


async def test_no_id_is_given_twice_and_the_same_snapshot_gives_the_same_ids() -> None:
    before, after, twin = here(), here(), here()
    old = {(await before.endpoint.submit(JOB)).id for _ in range(20)}
    await restarted(before, after)
    await restarted(before, twin)
    new = [(await after.endpoint.submit(JOB)).id for _ in range(20)]
    assert not old & set(new)
    assert [(await twin.endpoint.submit(JOB)).id for _ in range(20)] == new
    assert await after.worker() != await before.worker()
    third = here()
    await restarted(after, third)
    assert not (old | set(new)) & {(await third.endpoint.submit(JOB)).id for _ in range(20)}
    places = [(await third.emulator.store.get("ep", job)).place for job in await third.emulator.store.queued("ep")]
    assert places == sorted(set(places))


async def test_workers_live_on_whatever_is_loaded_and_get_no_id_of_another() -> None:
    before, after = here(), here(workers_max=9)
    snapshot = saved(before)
    workers = [await after.worker()]
    for _ in range(3):
        await bring_back(after.emulator, snapshot, NO_MOCKS, restarts=False)
        workers.append(await after.worker())
    assert len(set(workers)) == len(after.endpoint.fleet.workers) == 4


# Workers that were started elsewhere


def remote(settings: EndpointSettings) -> EndpointSettings:
    return dataclasses.replace(settings, starts_workers=False, workers_min=0)


async def polled(world: TestWorld, worker: str = "w") -> Job:
    (job,) = await world.endpoint.polling.take(worker, 1, False, world.emulator.timeline.now(), Caller())
    return job


async def test_a_worker_elsewhere_may_end_its_job_at_the_next_server() -> None:
    before, after = here(settings=remote), here(START + 10_000, settings=remote)
    sent = await before.endpoint.submit(JOB)
    await polled(before)
    assert (await restarted(before, after)).lost == 0
    assert (await after.endpoint.status(sent.id)).status is JobStatus.IN_PROGRESS
    assert (await after.endpoint.health()).workers.running == 1
    assert not await after.endpoint.polling.report("x", sent.id, lambda lease: Completed(lease, b"0"))
    assert await after.endpoint.polling.report("w", sent.id, lambda lease: Completed(lease, b"1"))
    assert (await after.endpoint.status(sent.id)).output == b"1"


async def test_its_pings_keep_the_job_and_its_silence_loses_it() -> None:
    before, after = here(settings=remote), here(START + 10_000, settings=remote)
    job = (await before.endpoint.submit(JOB)).id
    await polled(before)
    await restarted(before, after)
    for _ in range(5):
        after.clock.at += 20_000
        await after.endpoint.polling.ping("w", [job])
    assert (await after.endpoint.status(job)).status is JobStatus.IN_PROGRESS
    assert await after.endpoint.polling.report("w", job, lambda lease: Completed(lease, b"1"))
    assert (await after.endpoint.status(job)).status is JobStatus.COMPLETED
    silent = here(START + 10_000, settings=remote)
    await restarted(before, silent)
    silent.clock.at = START + 41_000
    assert (await silent.endpoint.status(job)).status is JobStatus.IN_QUEUE
    assert events(silent, job)[-1] == ("Requeued", START + 40_000)


# Stubs and faults


def stub(name: str, of: str = "ep", **more: Any) -> Stub:
    return Stub(name, (Script(Ending.OUTPUT),), of, source={"respond": {"output": name}}, **more)


async def test_stubs_and_faults_come_back_with_their_counts_in_their_order() -> None:
    before, after = here(), here()
    for name in ("one", "two", "three"):
        before.emulator.stub(stub(name, times=7 if name == "two" else None))
    before.emulator.fault(Fault("late", FaultKind.LATENCY, expires_at=START + 5 * MINUTE, source={}))
    before.emulator.faults.rules["late"].asked = 4
    for _ in range(3):
        await before.endpoint.submit(JOB)
    two = before.emulator.stubs.get("two")
    assert two is not None
    two.is_off = True
    mocks = Mocks(
        {name: stub(name) for name in ("one", "two", "three")}, {"late": Fault("late", FaultKind.LATENCY, source={})}
    )
    await restarted(before, after, mocks)
    assert [one.id for one in after.emulator.stubs] == ["three", "two", "one"]
    assert [one.counted() for one in after.emulator.stubs] == [one.counted() for one in before.emulator.stubs]
    (fault,) = after.emulator.faults
    assert (fault.counted(), fault.expires_at) == ([4, 0, False], START + 5 * MINUTE)


@pytest.mark.parametrize(("restarts", "ids"), [(True, ["kept"]), (False, ["kept", "gone"])])
async def test_at_a_restart_files_say_what_is_there_from_the_start(restarts: bool, ids: list[str]) -> None:
    before, after = here(), here()
    before.emulator.stubs.keep_instead([stub("gone"), stub("kept")])
    await before.endpoint.submit(JOB)
    after.emulator.stubs.keep_instead([stub("kept")])
    await restarted(before, after, Mocks({"gone": stub("gone"), "kept": stub("kept", times=1)}, {}), restarts)
    assert sorted(one.id for one in after.emulator.stubs) == sorted(ids)
    kept = after.emulator.stubs.get("kept")
    assert kept is not None
    assert (kept.matched, kept.times) == (1, None)


async def test_a_held_job_keeps_its_number_and_gives_it_back() -> None:
    before, after = here(), here()
    number = ScriptState("slow", 1, run=3, numbered=True, held_until=START + MINUTE)
    job = Job(
        "ep", "held", JobStatus.IN_QUEUE, b"{}", START, START + 9 * MINUTE, MINUTE, 0, 1, held=True, script=number
    )
    kept = stub("slow")
    counted = KeptStub("slow", kept.source, "", [1, 1, 0, 3, [], False, ""], of_start=False)
    snapshot = saved(before)._replace(store=Contents(1, [Shelf("ep", [job])], []), stubs=[counted])
    await bring_back(after.emulator, snapshot, Mocks({"slow": kept}, {}), restarts=True)
    await after.endpoint.cancel("held")
    assert kept.draw() == 3
    assert await after.emulator.store.queued("ep") == []


async def test_a_held_job_is_released_at_its_time_and_not_before() -> None:
    before, after = here(), here(START + 500)
    script = ScriptState(None, failure="none", held_until=START + 2_000)
    job = Job(
        "ep", "held", JobStatus.IN_QUEUE, b"{}", START, START + 9 * MINUTE, MINUTE, 0, 1, held=True, script=script
    )
    snapshot = saved(before)._replace(store=Contents(1, [Shelf("ep", [job])], []))
    await bring_back(after.emulator, snapshot, NO_MOCKS, restarts=True)
    assert await after.take(await after.worker()) == []
    after.clock.at = START + 2_500
    await after.emulator.timeline.catch_up()
    assert events(after, "held") == [("Released", START + 2_000)]


# Time


async def test_a_virtual_clock_shows_the_time_of_the_snapshot_again() -> None:
    before, after = make_world(), make_world()
    _, job = await before.running(JOB)
    await before.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    await before.advance(10 * MINUTE)
    await restarted(before, after)
    assert after.emulator.timeline.now() == START + 10 * MINUTE
    await after.advance(20 * MINUTE - 1)
    assert (await after.endpoint.status(job.id)).output == b"1"
    await after.advance(1)
    with pytest.raises(JobNotFound):
        await after.endpoint.status(job.id)


async def test_it_does_so_too_where_its_time_is_later_already() -> None:
    before, after = make_world(), make_world()
    sent = await before.endpoint.submit(JOB)
    await before.advance(MINUTE)
    await after.advance(60 * MINUTE)
    await restarted(before, after, restarts=False)
    line = after.emulator.timeline
    assert line.now() + line.drift() == START + MINUTE
    job = await after.endpoint.status(sent.id)
    assert (line.now() - job.submitted_at, job.expires_at - line.now()) == (MINUTE, sent.expires_at - START - MINUTE)
    again = saved(after)
    assert again.now == START + MINUTE
    assert again.store.shelves[0].jobs[0].submitted_at == START


async def test_a_snapshot_of_elsewhere_is_as_old_as_it_was() -> None:
    before, after = here(), here(START + 900 * MINUTE)
    _, job = await before.running(JOB)
    await before.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    await restarted(before, after, restarts=False)
    now = START + 900 * MINUTE
    found = await after.endpoint.status(job.id)
    assert (found.ended_at, found.kept_until) == (now, now + 30 * MINUTE)
    assert events(after, job.id)[-1] == ("Completed", now)


@pytest.mark.parametrize(("mode", "at"), [("virtual", START), ("real", START + 5 * MINUTE), ("auto", START + MINUTE)])
async def test_times_of_a_clock_that_was_ahead_are_brought_to_the_present(mode: str, at: int) -> None:
    before, after = here(at), here(START)
    sent = await before.endpoint.submit(JOB)
    snapshot = saved(before)._replace(mode=mode)
    await bring_back(after.emulator, snapshot, NO_MOCKS, restarts=True)
    assert (await after.endpoint.status(sent.id)).submitted_at == START


async def test_an_automatic_clock_goes_on_from_the_time_that_was_left_out_and_keeps_what_nobody_has_read() -> None:
    before, after = make_world(clock=AutoClock()), make_world(clock=AutoClock())
    clock = before.emulator.timeline.clock
    assert isinstance(clock, AutoClock)
    _, job = await before.running(JOB)
    await before.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    clock.skip_to(clock.now() + 20 * MINUTE)
    now = clock.now()
    await restarted(before, after)
    assert after.emulator.timeline.now() >= now
    assert after.emulator.unread.jobs == {("ep", job.id)}
    assert (await after.endpoint.status(job.id)).output == b"1"
    before.emulator.unread.all_told()
    read, real = make_world(clock=AutoClock()), here(now)
    await restarted(before, read)
    assert read.emulator.unread.jobs == set()
    await restarted(before, real)
    back = make_world(clock=AutoClock())
    await restarted(real, back, restarts=False)
    assert back.emulator.unread.jobs == {("ep", job.id)}


# What is not served, and what is no world of this server's own


async def test_jobs_of_endpoints_that_nobody_serves_are_kept_for_the_next_server() -> None:
    before, between, after = here(), here(START + 1_000), here(START + 2_000)
    extra = before.emulator.endpoints.add(
        dataclasses.replace(before.endpoint.settings, id="other"), before.launcher.launch
    )
    other = await extra.submit(JOB)
    await before.endpoint.submit(JOB)
    assert await restarted(before, between) == Loaded(jobs=1, lost=0, unserved={"other": 1})
    assert list(between.emulator.history.jobs()) == [("ep", (await between.emulator.store.queued("ep"))[0])]
    served = after.emulator.endpoints.add(
        dataclasses.replace(after.endpoint.settings, id="other"), after.launcher.launch
    )
    assert await restarted(between, after) == Loaded(jobs=2, lost=0, unserved={})
    assert await served.status(other.id) == other
    assert [one.event for one in after.emulator.history.of("other", other.id)] == ["Submitted"]
    await between.emulator.reset()
    assert taken(between.emulator).snapshot().jobs == 0


async def test_an_endpoint_without_jobs_is_missed_by_nobody() -> None:
    before, after = here(), here()
    await before.emulator.store.counts("other")
    assert await restarted(before, after) == Loaded(jobs=0, lost=0, unserved={})


async def test_a_store_that_is_shared_is_not_saved() -> None:
    world = make_world(store=YieldingStore(most=0))
    with pytest.raises(ConfigurationError, match="a shared store keeps its jobs itself"):
        taken(world.emulator)


# News


class Seen(Effect):
    """What an effect is told."""

    def __init__(self) -> None:
        self.loads: list[int] = []
        self.heard_of: list[str] = []

    def loaded(self, jobs: int) -> None:
        self.loads.append(jobs)

    def heard(self, transition: Any) -> None:
        self.heard_of.append(type(transition.event).__name__)


async def test_effects_are_told_that_jobs_came_back_and_of_nothing_that_had_happened_to_them() -> None:
    seen = Seen()
    before, after = here(), here(effects=[seen])
    await before.running(JOB)
    await before.endpoint.submit(JOB)
    await restarted(before, after)
    assert (seen.loads, seen.heard_of) == ([2], ["Requeued"])


async def test_nothing_has_happened_between_two_that_are_alike_but_that_time_went_by() -> None:
    world, still = here(), make_world()
    first = taken(world.emulator)
    world.clock.at += MINUTE
    assert taken(world.emulator).is_as(first)
    await world.endpoint.submit(JOB)
    assert not taken(world.emulator).is_as(first)
    first = taken(still.emulator)
    assert taken(still.emulator).is_as(first)
    await still.advance(MINUTE)
    assert not taken(still.emulator).is_as(first)


# Secrets

KEY = "rpa_ABCDEFGHIJKLMNOPQRSTUVWXYZ123456"


async def secretive() -> TestWorld:
    world = here()
    headers = ((b"authorization", f"Bearer {KEY}".encode()), (b"x-tenant", b"acme"))
    world.emulator.stub(stub("any"))
    await world.endpoint.submit(
        Submission(
            json.dumps({"api_key": KEY, "a": [1, 2.50]}).encode(), f"http://h.test/?token={KEY}",
            s3_config=json.dumps({"accessSecret": KEY, "bucketName": "b"}).encode(), headers=headers,
        )
    )  # fmt: skip
    await world.endpoint.submit(Submission(b'{"a": 1e400,  "b":1}'))
    return world


async def test_the_file_has_what_jobs_need_to_run_and_no_header_that_opens_something() -> None:
    world = await secretive()
    (snapshot,) = snapshots_in(written(taken(world.emulator).snapshot(), Cover(Masks([KEY]))))
    job = snapshot.store.shelves[0].jobs[0]
    assert json.loads(job.input)["api_key"] == json.loads(job.s3_config or b"")["accessSecret"] == KEY
    assert job.webhook == f"http://h.test/?token={KEY}"
    assert job.script is not None
    assert dict(job.script.headers) == {b"authorization": b"Bearer ****3456", b"x-tenant": b"acme"}


async def test_who_asks_for_a_snapshot_gets_no_secret_and_the_same_bytes_of_all_else() -> None:
    world = await secretive()
    text = written(taken(world.emulator).snapshot(), Masked(Masks([KEY])))
    assert KEY.encode() not in text
    (snapshot,) = snapshots_in(text)
    first, second = snapshot.store.shelves[0].jobs
    assert json.loads(first.input) == {"api_key": "****3456", "a": [1, 2.50]}
    assert json.loads(first.s3_config or b"")["bucketName"] == "b"
    assert second.input == b'{"a": 1e400,  "b":1}'


# What is no snapshot

GOOD: dict[str, Any] = json.loads(written(Snapshot("", "real", START, 0)))


def but(**changes: Any) -> bytes:
    """A snapshot whose world differs in these members."""
    return json.dumps({**GOOD, "worlds": [{**GOOD["worlds"][0], **changes}]}).encode()


WRONG: list[tuple[bytes, str]] = [
    (b"", "it is no JSON"),
    (b'{"format":"runpod-emulator state","ver', "it is no JSON"),
    (b"[]", "there is no \"format\""),
    (b'"runpod-emulator state"', "there is no \"format\""),
    (b"{}", "there is no \"format\""),
    (json.dumps({**GOOD, "format": "x"}).encode(), "there is no \"format\""),
    (json.dumps({**GOOD, "worlds": 7}).encode(), "does not fit together"),
    (json.dumps({**GOOD, "worlds": [7]}).encode(), "does not fit together"),
    (json.dumps({**GOOD, "worlds": GOOD["worlds"] * 2}).encode(), "two worlds in it have the same namespace"),
    (but(jobs=7), "does not fit together"),
    (but(jobs=[[]]), "does not fit together"),
    (but(jobs=None), "does not fit together"),
    (but(places="1"), "does not fit together"),
    (but(places=True), "does not fit together"),
    (but(clock={"mode": "real"}), "does not fit together"),
    (but(clock={"mode": "real", "now": 1.5}), "does not fit together"),
    (but(loads=None), "does not fit together"),
    (but(records=3), "records of format 3"),
    (but(endpoints=[{"id": "ep", "ended": {"LOST": 1}, "requeued": 0}]), "does not fit together"),
    (but(deliveries=[[1, 2]]), "does not fit together"),
    (but(histories=[["ep", "a", [[1, "Beamed", None, None, 0, 0]]]]), "KeyError"),
    (but(histories=[["ep", "a", [["1", "Taken", None, None, 0, 0]]]]), "does not fit together"),
    (but(histories=[["ep", 7, []]]), "does not fit together"),
    (but(said=[["ep", "a", [[1, True]]]]), "does not fit together"),
    (but(calls=[[1, "", []]]), "does not fit together"),
    (but(stubs=[{"id": "a"}]), "does not fit together"),
    (but(stubs=[{"id": 7, "stub": {}, "place": "", "counted": [], "ofStart": False}]), "does not fit together"),
    (but(faults=[{"id": "a", "fault": {}, "expiresAt": "x", "counted": [], "ofStart": False}]), "does not fit"),
]  # fmt: skip


@table(("data", "reason"), WRONG)
def test_what_is_no_snapshot_is_refused_and_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(NoSnapshot, match=re.escape(reason)) as caught:
        snapshots_in(data)
    assert len(str(caught.value)) < 400


@table("version", [0, 1, 3, "2", None, True, 2.0])
def test_another_version_is_told(version: Any) -> None:
    with pytest.raises(OtherVersion) as caught:
        snapshots_in(json.dumps({**GOOD, "version": version}).encode())
    assert f"its version is {version} (written by runpod-emulator" in str(caught.value)
    assert "reads version 2 only" in str(caught.value)


def test_a_good_one_is_not_refused() -> None:
    assert snapshots_in(but()) == [
        Snapshot("", "real", START, 0, stubs=[], faults=[], said=[], calls=[])._replace(
            store=snapshots_in(but())[0].store, told=snapshots_in(but())[0].told
        )
    ]


async def test_moved_times_are_all_of_them_and_back_again_the_same() -> None:
    before = here(post=RecordingPost(lambda url, body: "refused"))
    _, job = await before.running(HOOKED)
    await before.endpoint.work.report(job.id, Emitted(job.lease, (b"1",)))
    await before.endpoint.work.report(job.id, Failed("no", None, job.lease))
    await before.emulator.timeline.settle()
    before.emulator.fault(Fault("late", FaultKind.LATENCY, expires_at=START + MINUTE, source={}))
    await before.endpoint.submit(JOB)
    snapshot = taken(before.emulator).snapshot()
    later = moved(snapshot, 7)
    assert moved(later, -7) == moved(moved(snapshot, 1), -1)
    numbers = json.loads(written(snapshot)), json.loads(written(later))
    assert differences(*numbers) == {7}


def differences(one: Any, other: Any) -> set[int]:
    """By how much the large numbers in two documents, which are times, differ."""
    if isinstance(one, dict):
        return set().union(*(differences(one[name], other[name]) for name in one))
    if isinstance(one, list):
        return set().union(*(differences(*pair) for pair in zip(one, other, strict=True)))
    if isinstance(one, int) and one > START // 2:
        return {other - one}
    assert one == other
    return set()
