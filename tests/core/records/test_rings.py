"""What is remembered of what happened is bounded by its memory too, and the newest is always there."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed, Job, JobStatus, Progressed
from runpod_emulator.core.records.expired import Expired
from runpod_emulator.core.records.history import History, Told
from runpod_emulator.core.records.journal import Journal
from runpod_emulator.core.records.lines import Lines
from runpod_emulator.core.records.news import LONGEST_BODY, Entry, Line
from runpod_emulator.core.records.receiver import Receiver
from runpod_emulator.core.records.ring import Ring
from runpod_emulator.core.records.streams import Piece, Streams

from tests.worlds import make_world

HEADERS = [(b"a", b"b")]


def add(journal: Journal, body: bytes = b"", endpoint: str = "e", head: int = 0, headers=HEADERS) -> None:
    kept = body[:LONGEST_BODY]
    journal.answered(Entry(1, 0, endpoint, "run", "POST", "/p", "", headers, kept, 200, "", len(body), head))


@pytest.mark.parametrize(
    ("sizes", "left"),
    [([10] * 10, 10), ([10] * 11, 10), ([100], 1), ([101], 1), ([101, 1], 1), ([50, 60], 1), ([1] * 200, 20), ([], 0)],
)
def test_a_ring_is_bounded_both_ways(sizes: list[int], left: int):
    ring: Ring[int] = Ring(100, 20)
    for number, size in enumerate(sizes):
        ring.add(number, size)
    assert list(ring) == list(range(len(sizes)))[len(sizes) - left :]
    assert len(ring) == left


async def test_what_was_cleared_makes_room():
    ring: Ring[int] = Ring(100, 20)
    for number in range(4):
        ring.add(number, 25)
    ring.clear([True, False, False, True])
    assert list(ring) == [0, 3]
    ring.add(4, 50)
    assert list(ring) == [0, 3, 4]
    ring.clear()
    assert list(ring) == []
    ring.add(5, 100)
    assert list(ring) == [5]


@pytest.mark.parametrize("size", [LONGEST_BODY, LONGEST_BODY + 1, 1_000_000])
def test_a_long_body_is_cut_and_says_so(size: int):
    body = json.dumps("x" * (size - 2)).encode()
    journal = Journal()
    add(journal, body)
    (entry,) = journal
    is_cut = size > LONGEST_BODY
    assert (entry.is_cut, entry.body_size, len(entry.body)) == (is_cut, size, min(size, LONGEST_BODY))
    assert (entry.json is None) == is_cut


@pytest.mark.parametrize(
    "part",
    [{"body": b"x" * 60_000}, {"head": 60_000}, {"headers": [(b"x", b"")] * 400}],
    ids=["body", "head", "headers"],
)
async def test_the_journal_counts_all_that_a_client_sends(part):
    journal = Journal(1_000_000)
    for _ in range(100):
        add(journal, **part)
    assert 10 <= len(journal) <= 17
    journal.cleared("other")
    assert len(journal) >= 10
    journal.cleared("e")
    assert len(journal) == 0


def test_the_receiver_keeps_the_last_calls_whole():
    receiver = Receiver(1_000_000)
    for number in range(10):
        receiver.take(0, str(number), {}, b"x" * 300_000)
    assert [(call.name, len(call.body)) for call in receiver] == [(name, 300_000) for name in "789"]


async def test_a_history_is_bounded_by_its_moments_too():
    world = make_world()
    job = await world.endpoint.submit(Submission(b"{}"))
    history = History(160 * 100)
    for number in range(20):
        other = job._replace(id=f"j{number}")
        for _ in range(10 if number < 19 else 1_000):
            told: Any = SimpleNamespace(job=other, after=other, event=Progressed(1, b"1"), at=number)
            history.heard(told)
    moments = {key[1]: len(history.of(*key)) for key in history.jobs()}
    assert sum(moments.values()) <= 100
    assert list(moments) == ["j19"]
    assert moments["j19"] > 40
    await history_is_empty_then(history, other)


async def history_is_empty_then(history: History, other: Job) -> None:
    history.cleared()
    assert not list(history.jobs())
    for number in range(100):
        told: Any = SimpleNamespace(job=other, after=other, event=Progressed(1, b"1"), at=number)
        history.heard(told)
    assert len(history.of("ep", other.id)) == 100  # as many as it may keep


def test_lines_are_bounded_and_forgotten_by_endpoint():
    lines = Lines(10_000)
    for number in range(100):
        lines.printed(Line(number, "ab"[number % 2], "w", "", "x" * 600))
    assert [line.at for line in lines] == list(range(90, 100))
    lines.cleared("a")
    assert [line.at for line in lines] == [91, 93, 95, 97, 99]
    lines.cleared(None)
    assert len(lines) == 0
    for number in range(100):
        lines.printed(Line(number, "a", "w", "", "\N{GRINNING FACE}" * 600))
    assert len(lines) == 3  # a character of it takes 4 bytes


def expired_job(endpoint: str, name: str, size: int) -> Job:
    return Job(endpoint, name, JobStatus.COMPLETED, b"x" * size, 0, 1, 0, 0, 0)


def test_the_records_of_expired_jobs_are_bounded_by_their_bytes():
    expired = Expired(250_000)
    for number in range(5):
        expired.add(expired_job("e", str(number), 100_000))
    assert [number for number in range(5) if expired.get(("e", str(number)))] == [3, 4]
    expired.add(expired_job("other", "0", 1_000_000))
    assert [expired.get(key) is None for key in (("e", "4"), ("other", "0"))] == [True, False]
    expired.clear("e")
    assert expired.get(("other", "0")) is not None
    expired.clear(None)
    assert expired.get(("other", "0")) is None


async def history_of(jobs: int) -> History:
    """The history of so many jobs, of which the first is over."""
    world = make_world(rate_limits=False, workers_max=9_999, run_retention=1)
    _, first = await world.running(Submission(b'{"a":1}'))
    await world.endpoint.work.report(first.id, Completed(first.lease, b"1"))
    await world.advance(1)
    for _ in range(jobs - 1):
        await world.endpoint.submit(Submission(b'{"a":1}'))
    return world.emulator.history


async def test_a_history_that_loads_another_one_remembers_it_as_older():
    told = (await history_of(3)).dump()
    (first, _, _) = [key for key, _ in told.noted]
    fresh = History()
    fresh.load(told)
    assert fresh.dump() == told
    assert [one.event for one in fresh.of(*first)] == ["Submitted", "Taken", "Completed", "Forgotten"]
    assert fresh.record(*first) == told.expired[0]
    beside = await history_of(2)
    own = list(beside.jobs())
    age = beside.age
    beside.load(Told([(("ep", f"old-{number}"), told.noted[1][1]) for number in range(3)], []))
    assert list(beside.jobs()) == [("ep", "old-0"), ("ep", "old-1"), ("ep", "old-2"), *own]
    assert beside.age == age + 1


async def test_a_history_loads_no_more_than_it_has_room_for():
    told = (await history_of(30)).dump()
    small = History(160 * 10)
    small.load(told)
    assert list(small.jobs()) == [key for key, _ in told.noted[-10:]]
    assert small.dump().expired == []


def test_pieces_that_are_loaded_come_before_others_and_are_bounded():
    said = [(("ep", name), (Piece(1, False, b"x" * 40), Piece(2, True, b"y" * 40))) for name in "abc"]
    streams = Streams(1_000)
    streams.load(said[:2])
    assert streams.dump() == said[:2]
    streams.load(said[2:])
    assert streams.dump() == said[1:]
    assert streams.of("ep", "c") == list(said[2][1])
