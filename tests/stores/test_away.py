"""The store's server is away, hangs, is full, or loses its memory or its answers: what is told, and what is left."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.job import (
    Completed,
    Emitted,
    Forgotten,
    Job,
    JobStatus,
    Taken,
    Transition,
    apply,
    submit,
)
from runpod_emulator.core.jobs.store import patiently
from runpod_emulator.core.store_errors import StoreAway, StoreFull
from runpod_emulator.stores.redis import connection
from runpod_emulator.stores.redis.store import RedisStore

from tests.core.jobs.test_job import QUEUED
from tests.stores.relay import Relay
from tests.stores.servers import StoreServer
from tests.waits import answered, turns, until

SECONDS = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[StoreServer]:
    server = StoreServer("--appendonly", "yes", "--appendfsync", "always")
    yield server
    server.close()


@pytest.fixture
async def relay(server: StoreServer) -> AsyncIterator[Relay]:
    relay = Relay(server)
    await relay.begin()
    yield relay
    await relay.close()


class Seen:
    """A store, and what it has told."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store
        self.heard: list[Transition] = []
        self.losses: list[str] = []
        self.backs = 0
        store.news.transitions.append(self.heard.append)
        store.news.losses.append(self.losses.append)
        store.outage.on_back.append(self._back)
        store.news.follow("ep")

    def _back(self) -> None:
        self.backs += 1

    @property
    def events(self) -> list[str]:
        return [type(transition.event).__name__ for transition in self.heard]


@pytest.fixture
async def seen(relay: Relay) -> AsyncIterator[Seen]:
    seen = Seen(RedisStore(relay.address()))
    await seen.store.open()
    yield seen
    relay.go_on()
    await seen.store.close()


def job(name: str = "a", place: int = 1) -> Job:
    return QUEUED._replace(endpoint="ep", id=name, place=place, lease=0)


def taken(at: Job) -> Transition:
    return apply(at, Taken("w1"), 2_000)


async def create(store: RedisStore, name: str = "a", place: int = 1) -> None:
    await store.create(submit(job(name, place)))


CALLS: dict[str, Callable[[RedisStore], Awaitable[object]]] = {
    "next_place": lambda store: store.next_place(),
    "create": lambda store: store.create(submit(job("b"))),
    "get": lambda store: store.get("ep", "a"),
    "update": lambda store: store.update("ep", "a", taken),
    "claim": lambda store: store.claim("ep", 1, taken),
    "unread": lambda store: store.unread("ep", "a"),
    "first_due": lambda store: store.first_due(),
    "counts": lambda store: store.counts("ep"),
    "queued": lambda store: store.queued("ep"),
    "recent": lambda store: store.recent("ep", 0, 9),
    "clear": lambda store: store.clear("ep"),
    "drop": lambda store: store.drop("ep"),
    "give_up_deadline": lambda store: store.give_up_deadline("ep", "a"),
    "deliveries.claim": lambda store: store.deliveries.claim(1, 1, 2),
    "deliveries.next_due": lambda store: store.deliveries.next_due(),
    "deliveries.owes": lambda store: store.deliveries.owes(),
    "owners.beat": lambda store: store.owners.beat("me", 1, {}),
    "owners.over": lambda store: store.owners.over(1),
    "owners.workers": lambda store: store.owners.workers("ep", 1),
}


async def test_while_the_server_refuses_every_call_fails_at_once_and_the_log_says_so_once(
    relay: Relay, seen: Seen, caplog: pytest.LogCaptureFixture
):
    await create(seen.store)
    with caplog.at_level(logging.INFO, "runpod_emulator"):
        await relay.refuse()
        began = time.monotonic()
        for call in CALLS.values():
            with pytest.raises(StoreAway):
                await call(seen.store)
        assert time.monotonic() - began < 2.0
        tries, asked = relay.connections, list[object]()
        look = seen.store.connection._connect_anew
        seen.store.connection._connect_anew = lambda: asked.append(1) or look()
        await until(lambda: len(asked) > 2)
        assert relay.connections == tries
        await relay.begin()
        await until(lambda: seen.backs)
        assert (await seen.store.get("ep", "a")).status is JobStatus.IN_QUEUE
    said = [record.getMessage().partition(": ")[0] for record in caplog.records]
    shown = f"the store at redis://127.0.0.1:{relay.port}/0"
    assert said == [f"{shown} is away", f"{shown} is back"]


async def test_a_server_that_hangs_is_away_after_a_bounded_time_and_then_at_once(
    relay: Relay, seen: Seen, monkeypatch: pytest.MonkeyPatch
):
    assert connection.TIMEOUT == 5.0
    monkeypatch.setattr(connection, "TIMEOUT", 0.3)
    await seen.store.connection._connect_anew()  # one of that bound
    await create(seen.store)
    relay.hang()
    began = time.monotonic()
    with pytest.raises(StoreAway):
        await seen.store.get("ep", "a")
    assert 0.2 < time.monotonic() - began < 1.5
    began = time.monotonic()
    with pytest.raises(StoreAway):
        await seen.store.counts("ep")
    assert time.monotonic() - began < 0.1
    relay.go_on()
    await until(lambda: seen.backs)
    assert (await seen.store.counts("ep")).queued == 1


async def test_cut_connections_are_made_anew_and_nothing_is_missed(relay: Relay, seen: Seen):
    for number in range(20):
        relay.cut()
        await create(seen.store, f"j{number}", number + 1)
    assert seen.events == ["Submitted"] * 20
    assert (seen.losses, seen.backs) == ([], 0)


# Answers that are lost


async def test_a_create_whose_answer_is_lost_is_done_once(relay: Relay, seen: Seen):
    relay.lose_answer(b"EVALSHA")
    await create(seen.store)
    assert relay.has_lost
    assert (await seen.store.counts("ep")).queued == 1
    await until(lambda: seen.events == ["Submitted"])


async def test_an_update_whose_answer_is_lost_is_won(relay: Relay, seen: Seen):
    await create(seen.store)
    relay.lose_answer(b"EVALSHA")
    written = await seen.store.update("ep", "a", taken)
    assert relay.has_lost
    assert written.transition is not None
    assert (await seen.store.get("ep", "a")).lease == 1
    await until(lambda: seen.events == ["Submitted", "Taken"])


async def test_chunks_whose_answer_is_lost_are_kept_once(relay: Relay, seen: Seen):
    await create(seen.store)
    await seen.store.update("ep", "a", taken)
    relay.lose_answer(b"EVALSHA")
    await seen.store.update("ep", "a", lambda job: apply(job, Emitted(1, (b"1", b"2")), 3_000), patient=True)
    assert relay.has_lost
    assert (await seen.store.unread("ep", "a")).chunks == [b"1", b"2"]


async def test_a_claim_of_several_whose_answer_is_lost_has_them_all(relay: Relay, seen: Seen):
    for place in (1, 2, 3):
        await create(seen.store, f"j{place}", place)
    await seen.store.counts("ep")
    relay.lose_answer(b"Taken")
    claimed = await seen.store.claim("ep", 3, taken)
    assert relay.has_lost
    assert [transition.job.id for transition in claimed.transitions] == ["j1", "j2", "j3"]
    assert (await seen.store.counts("ep")).running == 3


async def test_a_job_that_is_forgotten_with_its_answer_lost_was_forgotten_by_this_call(relay: Relay, seen: Seen):
    await create(seen.store)
    relay.lose_answer(b"Forgotten")
    written = await seen.store.update("ep", "a", lambda job: apply(job, Forgotten(), 2_000))
    assert relay.has_lost
    assert written.transition is not None
    with pytest.raises(JobNotFound):
        await seen.store.get("ep", "a")
    assert (await seen.store.counts("ep")).queued == 0


async def test_chunks_that_a_reader_took_with_the_answer_lost_are_the_readers(relay: Relay, seen: Seen):
    await create(seen.store)
    await seen.store.update("ep", "a", taken)
    await seen.store.update("ep", "a", lambda job: apply(job, Emitted(1, (b"1",)), 3_000))
    read = await seen.store.unread("ep", "a")
    relay.lose_answer(b"EVALSHA")
    assert await seen.store.acknowledge(read)
    assert relay.has_lost
    assert not await seen.store.acknowledge(read)


# Patience


async def test_a_patient_update_waits_until_the_server_is_back(relay: Relay, seen: Seen):
    await create(seen.store)
    await seen.store.update("ep", "a", taken)
    await relay.refuse()
    ends = lambda job: apply(job, Completed(1, b'"out"'), 3_000)  # noqa: E731
    report = asyncio.ensure_future(seen.store.update("ep", "a", ends, patient=True))
    await until(lambda: seen.store.connection.is_away)
    await turns()
    assert not report.done()
    await relay.begin()
    assert (await asyncio.wait_for(report, SECONDS)).transition is not None
    assert (await seen.store.get("ep", "a")).output == b'"out"'


async def test_who_waits_for_the_server_stops_when_the_store_hangs_up(relay: Relay, seen: Seen):
    await create(seen.store)
    await relay.refuse()
    report = asyncio.ensure_future(seen.store.update("ep", "a", taken, patient=True))
    await until(lambda: seen.store.connection.is_away)
    seen.store.outage.hang_up()
    with pytest.raises(StoreAway):
        await asyncio.wait_for(report, SECONDS)


# Losses


async def test_an_emptied_server_is_a_loss_and_what_follows_is_heard(relay: Relay, seen: Seen):
    await create(seen.store)
    await seen.store.connection.do("FLUSHALL")
    await until(lambda: seen.losses == ["ep"])
    await create(seen.store, "b")
    assert seen.events == ["Submitted", "Submitted"]
    assert [job.id for job in (await seen.store.recent("ep", 0, 9))[0]] == ["b"]


async def test_a_store_that_was_away_while_news_was_cut_has_missed_some(relay: Relay, seen: Seen, server: StoreServer):
    other = RedisStore(seen.store.address._replace(url=server.url))
    await relay.refuse()
    for place in (1, 2, 3):
        await create(other, f"j{place}", place)
    await other.connection.do("XTRIM", f"{other.base('ep')}:news", "MAXLEN", 1)
    await relay.begin()
    await until(lambda: seen.losses == ["ep"] and seen.events == ["Submitted"])
    assert seen.heard[0].job.id == "j3"
    await other.close()


# A server of its own


async def test_a_server_that_was_killed_knows_every_accepted_job(server: StoreServer, seen: Seen):
    for place in range(1, 51):
        await create(seen.store, f"j{place}", place)
    server.stop(hard=True)
    with pytest.raises(StoreAway):
        await seen.store.counts("ep")
    await asyncio.to_thread(server.start)
    await until(lambda: seen.backs)
    assert (await seen.store.counts("ep")).queued == 50
    await create(seen.store, "more", 99)
    assert (len(seen.events), seen.losses) == (51, [])


async def test_a_stopped_server_goes_on_where_it_was(server: StoreServer, seen: Seen):
    await create(seen.store)
    assert server.process is not None
    pid = server.process.pid
    server.process.send_signal(signal.SIGSTOP)
    waits = asyncio.ensure_future(seen.store.update("ep", "a", taken))
    await until(lambda: " T " in Path(f"/proc/{pid}/stat").read_text())
    await turns()
    assert not waits.done()
    server.process.send_signal(signal.SIGCONT)
    assert (await asyncio.wait_for(waits, SECONDS)).transition is not None


async def test_a_server_that_only_reads_is_left_for_the_one_that_has_its_place(relay: Relay, seen: Seen):
    old, new = relay.server, StoreServer()
    try:
        await create(seen.store)
        follower = RedisStore(new.address())
        await follower.connection.do("REPLICAOF", "127.0.0.1", old.port)
        counts = f"{seen.store.base('ep')}:counts"
        await answered(lambda: follower.connection.do("EXISTS", counts), lambda answer: answer == 1)
        await follower.connection.do("REPLICAOF", "NO", "ONE")
        relay.server = new
        await seen.store.connection.do("REPLICAOF", "127.0.0.1", new.port)
        await patiently(seen.store, lambda: seen.store.update("ep", "a", taken))
        other = RedisStore(seen.store.address._replace(url=new.url))
        await create(other, "b", 2)
        await until(lambda: seen.events == ["Submitted", "Taken", "Submitted"])
        await other.close()
        await follower.close()
    finally:
        relay.server = old
        back = RedisStore(old.address())
        await back.connection.do("REPLICAOF", "NO", "ONE")
        await back.close()
        new.close()


async def test_a_full_server_takes_nothing_in_and_lets_everything_end(server: StoreServer):
    full = StoreServer("--maxmemory-policy", "noeviction")
    store = RedisStore(full.address())
    seen = Seen(store)
    try:
        await store.open()
        for place in (1, 2, 3):
            await create(store, f"j{place}", place)
        await store.claim("ep", 1, taken)
        await store.connection.do("CONFIG", "SET", "maxmemory", 1)
        for call in (lambda: create(store, "more", 9), store.next_place):
            with pytest.raises(StoreFull):
                await call()
        with pytest.raises(StoreFull):
            await store.update("ep", "j1", lambda job: apply(job, Emitted(1, (b"1",)), 3_000))
        await store.owners.beat("me", 1, {})
        await store.update("ep", "j1", lambda job: apply(job, Completed(1, b'"out"'), 3_000))
        await store.update("ep", "j2", lambda job: apply(job, Forgotten(), 3_000))
        claimed = await store.claim("ep", 1, taken)
        assert [one.job.id for one in claimed.transitions] == ["j3"]
        counts = await store.counts("ep")
        assert (counts.queued, counts.running, counts.kept[JobStatus.COMPLETED]) == (0, 1, 1)
        await store.clear("ep")
        await store.connection.do("CONFIG", "SET", "maxmemory", 0)
        await create(store, "after", 10)
        assert seen.backs == 0
    finally:
        await store.close()
        full.close()
