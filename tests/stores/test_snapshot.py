"""What a store of one process dumps, another one loads: then all that can be asked of both is the same."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import RequestError
from runpod_emulator.core.jobs.deliveries import Delivery
from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, Job, JobStatus, Progressed
from runpod_emulator.stores.memory import MemoryStore
from runpod_emulator.stores.records import read, written
from runpod_emulator.stores.snapshot import (
    Contents,
    Shelf,
    bytes_of,
    chunk_rows,
    delivery_in,
    delivery_row,
    job_in,
    job_row,
    shelf_row,
    shelves_in,
    text_of,
)

from tests.core.steps import finish
from tests.stores.test_records import TEXTS, values
from tests.tables import table
from tests.worlds import RecordingPost, TestWorld, make_world

HOOK = "http://client.test/hook"


class Life:
    """Jobs of one world, to which anything happens that clients, workers and time can do."""

    def __init__(self) -> None:
        self.world: TestWorld = make_world(
            rate_limits=False, workers_max=100, run_retention=60_000,
            post=RecordingPost(lambda url, body: "refused"),
            settings=lambda one: dataclasses.replace(one, idle_timeout=10**12, execution_timeout=0),
        )  # fmt: skip
        self.endpoint = self.world.endpoint
        self.jobs: list[str] = []
        self.running: list[Job] = []
        self.worker = finish(self.world.worker(concurrency=1_000))

    def do(self, verb: str, number: int) -> None:
        """One step; what is not possible now does nothing."""
        with contextlib.suppress(RequestError):
            getattr(self, verb)(number)

    def submit(self, number: int) -> None:
        hook = HOOK if number % 2 else None
        given = Submission(b'{"n":%d}' % number, hook, low_priority=number % 3 == 0, s3_config=b"{}" if hook else None)
        self.jobs.append(finish(self.endpoint.submit(given)).id)

    def take(self, number: int) -> None:
        self.running += finish(self.world.take(self.worker, 1 + number % 2, 4_000 if number % 3 else None))

    def emit(self, number: int) -> None:
        if self.running:
            job = self.running[number % len(self.running)]
            finish(self.endpoint.work.report(job.id, Emitted(job.lease, (b'"a"', b"%d" % number))))

    def progress(self, number: int) -> None:
        if self.running:
            job = self.running[number % len(self.running)]
            finish(self.endpoint.work.report(job.id, Progressed(job.lease, b'"half"')))

    def end(self, number: int) -> None:
        if self.running:
            job = self.running.pop(number % len(self.running))
            event: Any = Completed(job.lease, b'"\xff"') if number % 2 else Failed("no luck", None, job.lease)
            finish(self.endpoint.work.report(job.id, event))

    def read(self, number: int) -> None:
        if self.jobs:
            finish(self.endpoint.next_chunks(self.jobs[number % len(self.jobs)], self.now))

    def cancel(self, number: int) -> None:
        if self.jobs:
            finish(self.endpoint.cancel(self.jobs[number % len(self.jobs)]))

    def retry(self, number: int) -> None:
        if self.jobs:
            finish(self.endpoint.retry(self.jobs[number % len(self.jobs)]))

    def purge(self, number: int) -> None:
        if number % 4 == 0:
            finish(self.endpoint.purge())

    def claim(self, number: int) -> None:
        """A sender has taken what it owes; whoever loads it sends it again."""
        finish(self.world.emulator.store.deliveries.claim(self.now, 1 + number % 3, None))

    def wait(self, number: int) -> None:
        self.world.clock.move_to(self.now + number * 500)
        finish(self.world.emulator.timeline.catch_up())

    @property
    def now(self) -> int:
        return self.world.clock.now()


VERBS = (
    "submit",
    "submit",
    "take",
    "take",
    "emit",
    "progress",
    "end",
    "read",
    "cancel",
    "retry",
    "purge",
    "claim",
    "wait",
)


def told(store: MemoryStore, jobs: list[str]) -> dict[str, Any]:
    """All that can be asked of a store about these jobs; what is owed comes out last, and is taken."""
    counts = dataclasses.replace(finish(store.counts("ep")), writes=0)
    recent, total = finish(store.recent("ep", 0, 1_000))
    there = {job.id for job in recent}
    unread = {job: finish(store.unread("ep", job)) for job in jobs if job in there}
    deadlines = []
    while (first := finish(store.first_due())) is not None:
        deadlines.append(first)
        finish(store.give_up_deadline(*first[1]))
    owed = []
    while batch := finish(store.deliveries.claim(1 << 60, 7, None)):
        owed += [one._replace(lease=0) for one in batch]
    return {
        "counts": counts, "recent": recent, "total": total, "unread": unread, "deadlines": deadlines,
        "queued": finish(store.queued("ep")), "first": finish(store.queued("ep", 1)), "owed": owed,
        "has_work": store.has_work(), "place": finish(store.next_place()),
    }  # fmt: skip


def through_json(contents: Contents) -> Contents:
    """What comes back of contents that were written as JSON."""
    shelves = contents.shelves
    rows = {
        "endpoints": [shelf_row(shelf) for shelf in shelves],
        "jobs": [job_row(job) for shelf in shelves for job in shelf.jobs],
        "chunks": list(chunk_rows(shelves, lambda text: text)),
        "deliveries": [delivery_row(one) for one in contents.deliveries],
    }
    rows = orjson.loads(orjson.dumps(rows))
    found = shelves_in(rows["endpoints"], map(job_in, rows["jobs"]), rows["chunks"])
    return Contents(contents.places, found, list(map(delivery_in, rows["deliveries"])))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, 50)), max_size=60))
async def test_whatever_has_happened_a_fresh_store_that_loads_it_answers_the_same(steps: list[tuple[str, int]]) -> None:
    life = Life()
    for verb, number in steps:
        life.do(verb, number)
    store = life.world.emulator.store
    assert isinstance(store, MemoryStore)
    dumped = store.dump()
    loaded, by_json = MemoryStore(), MemoryStore()
    loaded.load(dumped)
    by_json.load(through_json(dumped))
    ids = life.jobs
    # what a sender has is not owed to others, and is again after a start: so all of it is given back first
    store.deliveries.load(store.deliveries.dump())
    expected = told(store, ids)
    assert told(loaded, ids) == expected
    assert told(by_json, ids) == expected


async def test_a_dump_stays_as_it_was_whatever_follows() -> None:
    life = Life()
    for verb in ("submit", "submit", "take", "emit"):
        life.do(verb, 1)
    store = life.world.emulator.store
    assert isinstance(store, MemoryStore)
    dumped = store.dump()
    before = through_json(dumped)
    for verb in ("emit", "read", "end", "submit", "cancel"):
        life.do(verb, 1)
    assert through_json(dumped) == before
    assert through_json(store.dump()) != before


@given(values(Job))
def test_a_job_comes_back_from_its_row(job: Job) -> None:
    assert job_in(read(written(job_row(job)))) == job


@given(values(Delivery))
def test_a_delivery_comes_back_from_its_row(delivery: Delivery) -> None:
    assert delivery_in(read(written(delivery_row(delivery)))) == delivery


@given(TEXTS)
def test_bytes_come_back_whatever_they_are(data: bytes) -> None:
    assert bytes_of(orjson.loads(orjson.dumps(text_of(data)))) == data
    assert text_of(None) is None


JOB = Job("ep", "a", JobStatus.IN_QUEUE, b"{}", 1, 2, 3, 4, 5)
WRONG_ROWS: dict[str, list[Any]] = {
    "short": job_row(JOB)[:-1],
    "long": [*job_row(JOB), 1],
    "a status that there is not": [*job_row(JOB)[:2], "LOST", *job_row(JOB)[3:]],
    "a text for a number": [*job_row(JOB)[:4], "1", *job_row(JOB)[5:]],
    "a number for an input": [*job_row(JOB)[:3], 7, *job_row(JOB)[4:]],
    "two texts for an input": [*job_row(JOB)[:3], ["a", "b"], *job_row(JOB)[4:]],
    "a list in a list for an input": [*job_row(JOB)[:3], [["a"]], *job_row(JOB)[4:]],
    "nothing for an input": [*job_row(JOB)[:3], None, *job_row(JOB)[4:]],
}


@table("row", WRONG_ROWS.values())
def test_what_is_no_job_is_refused(row: list[Any]) -> None:
    with pytest.raises((TypeError, ValueError, AssertionError)):
        job_in(row)


def test_rows_that_do_not_fit_together_are_refused() -> None:
    endpoint = shelf_row(Shelf("ep", ()))
    with pytest.raises(ValueError, match="two jobs of endpoint ep have the same id"):
        shelves_in([endpoint], [JOB, JOB], [])
    for jobs, chunks in (([JOB._replace(endpoint="other")], []), ([], [["other", "a", 0, ["1"]]])):
        with pytest.raises(KeyError):
            shelves_in([endpoint], jobs, chunks)
