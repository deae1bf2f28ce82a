"""What every store does: records, and indexes that follow them. On the memory store no step suspends."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from runpod_emulator.core.errors import IllegalTransition, JobNotFound
from runpod_emulator.core.jobs.deliveries import Delivery, DeliveryStatus
from runpod_emulator.core.jobs.job import (  # fmt: skip
    Cancelled,
    Completed,
    Emitted,
    Event,
    Failed,
    Forgotten,
    Job,
    JobStatus,
    Released,
    Requeued,
    Retried,
    Returned,
    Shortened,
    Taken,
    TimedOut,
    Transition,
    apply,
    submit,
)
from runpod_emulator.core.jobs.script_state import ScriptState
from runpod_emulator.core.jobs.store import Cleared, DeliveryStore, JobStore
from runpod_emulator.stores.deliveries import MemoryDeliveries
from runpod_emulator.stores.memory import MemoryStore
from runpod_emulator.stores.redis.store import RedisStore

from tests.core.jobs.test_job import QUEUED
from tests.core.steps import finish
from tests.stores.clusters import shared_cluster
from tests.stores.servers import shared_server


class Shelf:
    """A store with one endpoint's jobs, and every transition that was heard of."""

    def __init__(self, store: JobStore, do: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self.store: Any = store
        self.do = do
        """Runs a call of the store."""
        self.heard: list[Transition] = []
        self.store.news.transitions.append(self.heard.append)

    def create(self, job_id: str, **changes: object) -> Job:
        place = self.do(self.store.next_place())
        job = QUEUED._replace(id=job_id, place=place, lease=0, retries=0, **changes)
        assert self.do(self.store.create(submit(job))) == self.do(self.store.counts("ep"))
        return job

    def update(self, job_id: str, event: Event, at: int = 2_000) -> Transition:
        written = self.do(self.store.update("ep", job_id, lambda job: apply(job, event, at)))
        assert written.transition is not None and written.counts == self.do(self.store.counts("ep"))
        return written.transition

    def claim(self, most: int, worker: str = "w1") -> list[str]:
        claimed = self.do(self.store.claim("ep", most, lambda job: apply(job, Taken(worker), 2_000)))
        assert claimed.counts == self.do(self.store.counts("ep"))
        return [transition.job.id for transition in claimed.transitions]

    def queued(self) -> list[str]:
        return self.do(self.store.queued("ep"))


@pytest.fixture(params=["memory", "redis", "cluster"])
def shelf(request: pytest.FixtureRequest) -> Iterator[Shelf]:
    if request.param == "memory":
        yield Shelf(MemoryStore(), finish)
        return
    loop = asyncio.new_event_loop()
    server = shared_server() if request.param == "redis" else shared_cluster()
    store = RedisStore(server.address())
    yield Shelf(store, loop.run_until_complete)
    loop.run_until_complete(store.close())
    loop.close()


def methods(kind: type) -> set[str]:
    return {name for name, method in vars(kind).items() if inspect.isfunction(method) and not name.startswith("_")}


def test_it_is_a_job_store():
    assert methods(MemoryStore) - methods(JobStore) == {"dump", "load"}
    assert methods(JobStore) <= methods(MemoryStore)
    for store, protocol in ((MemoryStore, JobStore), (MemoryDeliveries, DeliveryStore)):
        for name in methods(protocol):
            assert inspect.signature(getattr(store, name)) == inspect.signature(getattr(protocol, name))


def test_what_was_created_is_found_in_its_endpoint_only(shelf: Shelf):
    job = shelf.create("a")
    assert shelf.do(shelf.store.get("ep", "a")) == job
    for endpoint, job_id in (("ep", "b"), ("other", "a")):
        with pytest.raises(JobNotFound):
            shelf.do(shelf.store.get(endpoint, job_id))


@pytest.mark.parametrize("job_id", ["\ud800", "", "\x00", "x" * 5_000])
def test_odd_names_are_not_there(shelf: Shelf, job_id: str):
    with pytest.raises(JobNotFound):
        shelf.do(shelf.store.get("ep", job_id))


def test_half_a_surrogate_pair_in_an_error_is_kept(shelf: Shelf):
    shelf.create("a", webhook="http://h/\udc00", trace="\ud800")
    shelf.claim(1)
    shelf.update("a", Failed("\ud83d", None, 1))
    job = shelf.do(shelf.store.get("ep", "a"))
    assert (job.error, job.webhook, job.trace) == ("\ud83d", "http://h/\udc00", "\ud800")
    assert shelf.do(shelf.store.recent("ep", 0, 9)) == ([job], 1)


@pytest.mark.parametrize("verb", ["get", "unread", "update"])
def test_what_is_not_there_raises(shelf: Shelf, verb: str):
    arguments = [lambda job: apply(job, Cancelled(), 1)] if verb == "update" else []
    with pytest.raises(JobNotFound):
        shelf.do(getattr(shelf.store, verb)("ep", "nobody", *arguments))
    assert shelf.heard == []


def test_places_rise(shelf: Shelf):
    places = [shelf.do(shelf.store.next_place()) for _ in range(5)]
    assert places == sorted(set(places))


def test_a_change_that_raises_writes_nothing(shelf: Shelf):
    job = shelf.create("a")
    before = len(shelf.heard)
    with pytest.raises(IllegalTransition):
        shelf.update("a", Completed(0))
    assert shelf.do(shelf.store.get("ep", "a")) == job
    assert len(shelf.heard) == before


def test_a_claim_that_raises_writes_nothing(shelf: Shelf):
    shelf.create("a")
    with pytest.raises(IllegalTransition):
        shelf.do(shelf.store.claim("ep", 1, lambda job: apply(job, Completed(0), 1)))
    assert shelf.queued() == ["a"]


# The queue


def test_jobs_are_claimed_in_the_order_of_their_places(shelf: Shelf):
    for job_id in "zab":
        shelf.create(job_id)
    assert shelf.claim(2) == ["z", "a"]
    assert shelf.claim(2) == ["b"]
    assert shelf.claim(2) == []


def test_claiming_an_unknown_endpoint_gives_nothing(shelf: Shelf):
    assert shelf.do(shelf.store.claim("other", 5, lambda job: apply(job, Taken("w"), 1))).transitions == []


@pytest.mark.parametrize(
    ("event", "queue"),
    [
        (Returned(1), ["a", "b"]),
        (Requeued(1), ["a", "b"]),
        (Completed(1), ["b"]),
        (Cancelled(), ["b"]),
        (Forgotten(), ["b"]),
        (Emitted(1, (b"1",)), ["b"]),
    ],
)
def test_the_queue_holds_exactly_what_waits(shelf: Shelf, event: Event, queue: list[str]):
    shelf.create("a")
    shelf.create("b")
    shelf.claim(1)
    shelf.update("a", event)
    assert shelf.queued() == queue


def test_a_retried_job_waits_at_its_new_place(shelf: Shelf):
    for job_id in "ab":
        shelf.create(job_id)
    shelf.claim(1)
    shelf.update("a", Failed("boom", None, 1))
    shelf.update("a", Retried(shelf.do(shelf.store.next_place())))
    assert shelf.queued() == ["b", "a"]
    assert shelf.do(shelf.store.queued("ep", 1)) == ["b"]


def test_a_claim_that_ends_a_job_goes_on_with_the_next(shelf: Shelf):
    for job_id in "abc":
        shelf.create(job_id, expires_at=1_500 if job_id == "a" else 61_000)

    def step(job: Job) -> Transition:
        return apply(job, Forgotten() if job.expires_at < 2_000 else Taken("w1"), 2_000)

    claimed = shelf.do(shelf.store.claim("ep", 2, step))
    assert [(transition.job.id, transition.after is None) for transition in claimed.transitions] == [
        ("a", True),
        ("b", False),
    ]


def test_jobs_that_a_claim_leaves_stay_where_they_were(shelf: Shelf):
    for job_id in "abcd":
        shelf.create(job_id)

    def step(job: Job) -> Transition | None:
        return apply(job, Taken("w1"), 2_000) if job.id in "bd" else None

    claimed = shelf.do(shelf.store.claim("ep", 5, step))
    assert [transition.job.id for transition in claimed.transitions] == ["b", "d"]
    assert shelf.queued() == ["a", "c"]
    assert shelf.do(shelf.store.claim("ep", 5, lambda job: None)).transitions == []
    assert shelf.claim(5) == ["a", "c"]


# Deadlines


def first_due(shelf: Shelf) -> int | None:
    first = shelf.do(shelf.store.first_due())
    return first and first[0]


def test_the_earliest_deadline_follows_the_records(shelf: Shelf):
    assert first_due(shelf) is None
    shelf.create("a", expires_at=9_000)
    shelf.create("b", expires_at=8_000, execution_timeout=3_000)
    assert first_due(shelf) == 8_000
    shelf.update("b", Taken("w1", 6_500), 2_000)
    assert first_due(shelf) == 5_000
    shelf.update("b", Completed(1), 3_000)
    assert first_due(shelf) == 9_000
    shelf.update("b", Shortened(1_000), 3_000)
    assert first_due(shelf) == 4_000
    shelf.update("b", Forgotten(), 4_000)
    shelf.update("a", Forgotten(), 4_000)
    assert first_due(shelf) is None


def test_what_is_due_first_is_told_with_its_time(shelf: Shelf):
    for job_id, expires_at in (("a", 9_000), ("b", 8_000), ("c", 8_500)):
        shelf.create(job_id, expires_at=expires_at)
    assert shelf.do(shelf.store.first_due()) == (8_000, ("ep", "b"))
    shelf.update("b", Forgotten())
    assert shelf.do(shelf.store.first_due()) == (8_500, ("ep", "c"))


# Chunks


def drain(shelf: Shelf) -> tuple[str, list[bytes]]:
    """What a reader gets who takes all that there is."""
    read = shelf.do(shelf.store.unread("ep", "a"))
    assert shelf.do(shelf.store.acknowledge(read))
    return read.job.status.value, read.chunks


def test_chunks_are_drained_once_with_the_status_of_that_moment(shelf: Shelf):
    shelf.create("a")
    assert shelf.do(shelf.store.unread("ep", "a"))[1:] == ([], 0)
    shelf.claim(1)
    shelf.update("a", Emitted(1, (b"1", b"2")))
    shelf.update("a", Emitted(1, (b"3",)))
    assert drain(shelf) == ("IN_PROGRESS", [b"1", b"2", b"3"])
    assert drain(shelf) == ("IN_PROGRESS", [])
    shelf.update("a", Emitted(1, (b"4",)))
    shelf.update("a", Completed(1))
    assert drain(shelf) == ("COMPLETED", [b"4"])


@pytest.mark.parametrize("event", [Requeued(1), Returned(1)])
def test_a_new_run_starts_with_an_empty_stream(shelf: Shelf, event: Event):
    shelf.create("a")
    shelf.claim(1)
    shelf.update("a", Emitted(1, (b"1",)))
    shelf.update("a", event)
    assert shelf.do(shelf.store.unread("ep", "a"))[1:] == ([], 0)


def test_a_retried_job_starts_with_an_empty_stream(shelf: Shelf):
    shelf.create("a")
    shelf.claim(1)
    shelf.update("a", Emitted(1, (b"1",)))
    shelf.update("a", Failed("boom", None, 1))
    shelf.update("a", Retried(9))
    assert shelf.do(shelf.store.unread("ep", "a"))[1:] == ([], 0)


def test_the_chunks_of_a_deleted_job_do_not_come_back_with_its_id(shelf: Shelf):
    shelf.create("a")
    shelf.claim(1)
    shelf.update("a", Emitted(1, (b"1",)))
    shelf.update("a", Forgotten())
    shelf.create("a")
    assert shelf.do(shelf.store.unread("ep", "a"))[1:] == ([], 0)


def test_chunks_that_were_read_stay_until_they_are_taken(shelf: Shelf):
    shelf.create("a")
    shelf.claim(1)
    shelf.update("a", Emitted(1, (b"1", b"2")))
    first, second = (shelf.do(shelf.store.unread("ep", "a")) for _ in range(2))
    assert first == second and first.chunks == [b"1", b"2"]
    shelf.update("a", Emitted(1, (b"3",)))
    assert first.chunks == [b"1", b"2"]
    assert shelf.do(shelf.store.acknowledge(first))
    assert not shelf.do(shelf.store.acknowledge(second))
    assert not shelf.do(shelf.store.acknowledge(first))
    assert drain(shelf)[1] == [b"3"]


AGAIN = [Requeued(1), Taken("w2"), Emitted(2, (b"new",))]
RETRIED = [Failed("boom", None, 1), Retried(9), Taken("w2"), Emitted(2, (b"new",))]


@pytest.mark.parametrize(
    ("events", "taken", "left"),
    [
        ([], True, []),
        ([Emitted(1, (b"2",))], True, [b"2"]),
        ([Completed(1)], True, []),
        ([Requeued(1)], False, []),
        (AGAIN, False, [b"new"]),
        (RETRIED, False, [b"new"]),
        ([*AGAIN, Completed(2)], False, [b"new"]),
    ],
)
def test_only_chunks_of_the_present_run_are_taken(shelf: Shelf, events: list[Event], taken: bool, left: list[bytes]):
    shelf.create("a")
    shelf.claim(1)
    shelf.update("a", Emitted(1, (b"1",)))
    read = shelf.do(shelf.store.unread("ep", "a"))
    for event in events:
        shelf.update("a", event)
    assert shelf.do(shelf.store.acknowledge(read)) is taken
    assert shelf.do(shelf.store.unread("ep", "a")).chunks == left


@pytest.mark.parametrize("clears", [True, False])
def test_chunks_of_a_job_that_is_gone_take_none_of_a_later_one_with_its_id(shelf: Shelf, clears: bool):
    shelf.create("a")
    shelf.claim(1)
    shelf.update("a", Emitted(1, (b"1",)))
    read = shelf.do(shelf.store.unread("ep", "a"))
    if clears:
        shelf.do(shelf.store.clear())
    else:
        shelf.update("a", Forgotten())
    assert not shelf.do(shelf.store.acknowledge(read))
    shelf.create("a")
    shelf.claim(1)
    shelf.update("a", Emitted(1, (b"2",)))
    assert not shelf.do(shelf.store.acknowledge(read))
    assert drain(shelf)[1] == [b"2"]


@pytest.mark.parametrize("event", [Cancelled(), TimedOut("late")])
def test_what_was_read_of_a_job_that_waits_is_of_no_run(shelf: Shelf, event: Event):
    shelf.create("a")
    read = shelf.do(shelf.store.unread("ep", "a"))
    assert not shelf.do(shelf.store.acknowledge(read))
    shelf.update("a", event)
    assert not shelf.do(shelf.store.acknowledge(read))


# Counts and pages


def test_counts_follow_every_transition(shelf: Shelf):
    store = shelf.store

    def counted() -> tuple[int, int, int, int, int]:
        counts = shelf.do(store.counts("ep"))
        ended = {status.value: count for status, count in counts.ended.items() if count}
        assert set(ended) <= {"COMPLETED", "FAILED", "CANCELLED"}
        return counts.queued, counts.running, counts.queued_unscaled, counts.requeued, sum(ended.values())

    assert counted() == (0, 0, 0, 0, 0)
    shelf.create("a")
    shelf.create("b", low_priority=True)
    shelf.create("c", low_priority=True)
    assert counted() == (3, 0, 2, 0, 0)
    shelf.claim(2)
    assert counted() == (1, 2, 1, 0, 0)
    shelf.update("b", Requeued(1))
    assert counted() == (2, 1, 2, 1, 0)
    shelf.update("a", Failed("boom", None, 1))
    assert counted() == (2, 0, 2, 1, 1)
    shelf.update("a", Retried(9))
    assert counted() == (3, 0, 2, 1, 1)
    shelf.update("c", Cancelled())
    assert counted() == (2, 0, 1, 1, 2)
    for job_id in "abc":
        shelf.update(job_id, Forgotten())
    assert counted() == (0, 0, 0, 1, 2)
    assert Counter(shelf.do(store.counts("ep")).now.values()) == {0: len(JobStatus)}


def test_jobs_that_wait_for_a_worker_to_play_a_script_are_counted(shelf: Shelf):
    def counted() -> tuple[int, int, int]:
        counts = shelf.do(shelf.store.counts("ep"))
        return counts.scripted, counts.scripted_scaled, counts.held

    script = ScriptState("s")
    shelf.create("a", script=script)
    shelf.create("b", script=script, low_priority=True)
    shelf.create("c", script=script._replace(held_until=3_000), held=True)
    shelf.create("d")
    assert counted() == (2, 1, 1)
    shelf.update("c", Released())
    assert counted() == (3, 2, 0)
    shelf.claim(2)
    assert counted() == (1, 1, 0)
    shelf.update("b", Requeued(1))
    shelf.update("a", Failed("boom", None, 1))
    assert counted() == (2, 1, 0)
    shelf.update("a", Retried(9, script))
    assert counted() == (3, 2, 0)
    for job_id in "abc":
        shelf.update(job_id, Forgotten())
    assert counted() == (0, 0, 0)


def test_a_returned_claim_counts_as_no_second_try(shelf: Shelf):
    shelf.create("a")
    shelf.claim(1)
    shelf.update("a", Returned(1))
    assert shelf.do(shelf.store.counts("ep")).requeued == 0


def test_recent_jobs_come_newest_first(shelf: Shelf):
    for job_id in "abcde":
        shelf.create(job_id)
    shelf.update("c", Forgotten())

    def page(offset: int, limit: int) -> tuple[str, int]:
        jobs, total = shelf.do(shelf.store.recent("ep", offset, limit))
        return "".join(job.id for job in jobs), total

    assert page(0, 10) == ("edba", 4)
    assert page(1, 2) == ("db", 4)
    assert page(9, 2) == ("", 4)
    assert shelf.do(shelf.store.recent("other", 0, 10)) == ([], 0)


# Listeners


def test_every_listener_hears_of_every_write_in_order(shelf: Shelf):
    others: list[Transition] = []
    shelf.store.news.transitions.append(others.append)
    shelf.create("a")
    shelf.claim(1)
    shelf.update("a", Completed(1))
    assert [type(news.event).__name__ for news in shelf.heard] == ["Submitted", "Taken", "Completed"]
    assert others == shelf.heard


def test_who_is_told_of_a_write_finds_it_written_on_the_memory_store():
    shelf = Shelf(MemoryStore(), finish)
    found: list[JobStatus] = []
    shelf.store.news.transitions.append(lambda news: found.append(finish(shelf.store.get("ep", news.job.id)).status))
    shelf.create("a")
    shelf.claim(1)
    shelf.update("a", Completed(1))
    assert [status.value for status in found] == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]


def test_who_listens_to_clears_hears_of_each_with_what_was_running(shelf: Shelf):
    clears: list[Cleared] = []
    for job_id in "abc":
        shelf.create(job_id)
    shelf.claim(1)
    shelf.store.news.clears.append(clears.append)
    running = shelf.do(shelf.store.get("ep", "a"))
    shelf.do(shelf.store.clear("other"))
    assert clears == [Cleared("other", [])] and shelf.queued() == ["b", "c"]
    shelf.do(shelf.store.clear("ep"))
    assert clears[1].endpoint == "ep" and [job.id for job in clears[1].running] == [running.id]
    assert shelf.queued() == []
    shelf.do(shelf.store.clear())
    assert clears[-1] == Cleared(None, [])
    told = len(clears)
    shelf.do(shelf.store.drop("ep"))
    assert len(clears) == told


# Deliveries


def owe(shelf: Shelf, job_id: str, due: int, serial: int = 1) -> Delivery:
    """A job that ends and owes a delivery."""
    shelf.create(job_id)
    delivery = Delivery("ep", job_id, serial, "http://127.0.0.1/hook", b"{}", due=due)
    shelf.do(
        shelf.store.update(
            "ep",
            job_id,
            lambda job: apply(job, Cancelled(), due)._replace(delivery=delivery),
        )
    )
    return delivery


def claim(shelf: Shelf, now: int, most: int = 10, until: int | None = None) -> list[Delivery]:
    return shelf.do(shelf.store.deliveries.claim(now, most, until))


def record(shelf: Shelf, delivery: Delivery, **changes: object) -> bool:
    return shelf.do(shelf.store.deliveries.record(delivery._replace(attempts=1, **changes)))


def next_due(shelf: Shelf) -> int | None:
    return shelf.do(shelf.store.deliveries.next_due())


def test_due_deliveries_are_given_out_once_earliest_first(shelf: Shelf):
    owed = [owe(shelf, job, due) for job, due in (("a", 3_000), ("b", 2_000), ("c", 9_000))]
    late, soon, later = (delivery._replace(lease=1) for delivery in owed)
    assert next_due(shelf) == 2_000
    assert claim(shelf, 1_999) == []
    assert claim(shelf, 3_000, most=1) == [soon]
    assert claim(shelf, 3_000) == [late]
    assert claim(shelf, 3_000) == []
    assert next_due(shelf) == 9_000
    assert claim(shelf, 9_000) == [later]
    assert next_due(shelf) is None


def test_a_delivery_that_is_still_owed_is_given_out_again_at_its_new_time(shelf: Shelf):
    delivery = owe(shelf, "a", 2_000)
    (given,) = claim(shelf, 2_000)
    assert record(shelf, given, due=7_000)
    assert next_due(shelf) == 7_000
    assert claim(shelf, 7_000) == [delivery._replace(attempts=1, due=7_000, lease=2)]


@pytest.mark.parametrize("status", [DeliveryStatus.DELIVERED, DeliveryStatus.GIVEN_UP])
@pytest.mark.parametrize("until", [None, 5_000])
def test_a_settled_delivery_is_dropped(shelf: Shelf, status: DeliveryStatus, until: int | None):
    owe(shelf, "a", 2_000)
    (given,) = claim(shelf, 2_000, until=until)
    assert record(shelf, given, status=status)
    assert next_due(shelf) is None
    assert not shelf.do(shelf.store.deliveries.owes())
    assert not record(shelf, given, status=status)


def test_a_delivery_outlives_its_job(shelf: Shelf):
    owe(shelf, "a", 2_000)
    shelf.update("a", Forgotten())
    assert [given.job for given in claim(shelf, 2_000)] == ["a"]


def test_a_delivery_whose_sender_says_nothing_more_is_due_again_as_it_was(shelf: Shelf):
    delivery = owe(shelf, "a", 2_000)
    (given,) = claim(shelf, 2_000, until=5_000)
    assert record(shelf, given, due=7_000)
    (given,) = claim(shelf, 7_000, until=9_000)
    assert next_due(shelf) == 9_000
    assert claim(shelf, 8_999, until=20_000) == []
    (again,) = claim(shelf, 9_000, until=12_000)
    assert again == delivery._replace(attempts=1, due=7_000, lease=3)
    assert not record(shelf, given, status=DeliveryStatus.DELIVERED)
    shelf.do(shelf.store.deliveries.renew([given], 60_000))
    assert next_due(shelf) == 12_000
    assert record(shelf, again, status=DeliveryStatus.DELIVERED)
    assert not shelf.do(shelf.store.deliveries.owes())


def test_a_sender_that_renews_keeps_a_delivery(shelf: Shelf):
    owe(shelf, "a", 2_000)
    (given,) = claim(shelf, 2_000, until=5_000)
    shelf.do(shelf.store.deliveries.renew([given], 8_000))
    assert claim(shelf, 7_999, until=9_000) == []
    assert record(shelf, given, status=DeliveryStatus.DELIVERED)


def test_what_a_sender_says_late_counts_if_nobody_else_was_given_it(shelf: Shelf):
    owe(shelf, "a", 2_000)
    (given,) = claim(shelf, 2_000, until=3_000)
    assert next_due(shelf) == 3_000
    assert record(shelf, given, status=DeliveryStatus.DELIVERED)


def test_a_delivery_that_nobody_was_given_yet_may_be_settled_or_kept_back(shelf: Shelf):
    first, second = (owe(shelf, job, 2_000, serial) for serial, job in enumerate("ab", 1))
    shelf.do(shelf.store.deliveries.renew([second], 8_000))
    assert record(shelf, first, status=DeliveryStatus.DELIVERED)
    assert claim(shelf, 7_999) == []
    assert [given.job for given in claim(shelf, 8_000)] == ["b"]


def test_deliveries_of_all_endpoints_are_given_out_earliest_first(shelf: Shelf):
    dues = [("a", 3_000), ("b", 2_000), ("a", 1_000), ("b", 3_000), ("a", 2_000)]
    for serial, (endpoint, due) in enumerate(dues):
        shelf.store.news.follow(endpoint)
        delivery = Delivery(endpoint, "j", serial, "http://h/", b"{}", due=due)
        shelf.do(shelf.store.deliveries.owe_again(delivery))
    given = [claim(shelf, 5_000, most=most, until=9_000) for most in (1, 2, 5)]
    assert [[one.serial for one in some] for some in given] == [[2], [1, 4], [0, 3]]
    assert [one.serial for one in claim(shelf, 9_000)] == [0, 1, 2, 3, 4]


def test_a_delivery_that_was_cleared_stays_so(shelf: Shelf):
    owe(shelf, "a", 2_000)
    (given,) = claim(shelf, 2_000, until=3_000)
    shelf.do(shelf.store.clear("ep"))
    shelf.do(shelf.store.deliveries.renew([given], 8_000))
    assert not record(shelf, given, due=7_000)
    assert next_due(shelf) is None


def test_a_refused_change_owes_nothing(shelf: Shelf):
    shelf.create("a")
    with pytest.raises(IllegalTransition):
        shelf.update("a", Completed(1))
    assert shelf.do(shelf.store.deliveries.next_due()) is None
