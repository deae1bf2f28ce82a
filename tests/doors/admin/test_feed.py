"""The event feed: what is sent of each kind of news, in pieces, and what becomes of a reader who is too slow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed, Emitted
from runpod_emulator.core.records.news import Entry, Line
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.doors.admin import backlog, state
from runpod_emulator.doors.admin import feed as feed_module
from runpod_emulator.doors.admin.feed import Feed
from runpod_emulator.doors.admin.happenings import KINDS, Kind
from runpod_emulator.world.world import World

from tests import waits
from tests.core.steps import turns
from tests.doors.doors import Doors, Visit, open_doors, until
from tests.worlds import TestWorld, make_world

HOOK = "http://127.0.0.1:9/hook?token=abcdefghijklmnop"
ALL: tuple[Kind, ...] = tuple(KINDS)


class Event:
    """One event as it was sent."""

    def __init__(self, text: str) -> None:
        parts = dict(line.split(": ", 1) for line in text.splitlines())
        self.number, self.kind, self.data = int(parts["id"]), parts["event"], json.loads(parts["data"])


def events_of(piece: bytes) -> list[Event]:
    return [Event(text) for text in piece.decode().split("\n\n") if text and not text.startswith(":")]


class Reader:
    """Reads a feed of a world piece by piece."""

    def __init__(self, world: World, *kinds: Kind, endpoint: str | None = None) -> None:
        self.feed = Feed(world, kinds or ALL, endpoint)
        self.pieces: AsyncIterator[bytes] = self.feed.pieces()

    async def piece(self) -> list[Event]:
        return events_of(await asyncio.wait_for(anext(self.pieces), 10))


async def life(world: TestWorld, webhook: str | None = None) -> str:
    """A job that a worker does."""
    worker, job = await world.running(Submission(b'{"a":1}', webhook=webhook))
    await world.endpoint.work.report(job.id, Emitted(job.lease, (b"1",)))
    await world.endpoint.work.report(job.id, Completed(job.lease, b"2"))
    await turns()
    return worker


async def test_what_is_sent_of_each_kind(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feed_module, "WORK", 60)
    monkeypatch.setattr(feed_module, "CROWDED_WORK", 60)
    world = make_world()
    reader = Reader(world.emulator)
    now = world.emulator.timeline.now()
    with reader.feed.reading():
        worker = await life(world, HOOK)
        world.emulator.news.answered[-1](
            Entry(7, now, "ep", "run", "POST", "/v2/ep/run", "", [(b"a", b"b")], b"{}", 401, "", 2, why="no key")
        )
        world.emulator.news.printed[-1](Line(now, "ep", worker, "j1", "token=abcdefghijklmnop", "error", 1))
        await world.emulator.reset()
        told = await reader.piece()
    by_kind = {kind: [one.data for one in told if one.kind == kind] for kind in ALL}
    assert [one["event"] for one in by_kind["transition"]] == ["Submitted", "Taken", "Emitted", "Completed"]
    first = by_kind["transition"][0]
    assert first == {
        "at": now, "event": "Submitted", "endpoint": "ep", "id": first["id"], "status": "IN_QUEUE", "worker": None,
        "retries": 0,
    }  # fmt: skip
    assert by_kind["request"] == [
        {
            "number": 7, "at": now, "endpoint": "ep", "operation": "run", "method": "POST", "path": "/v2/ep/run",
            "query": "", "status": 401, "job": None, "fault": None, "took": 0, "stub": None, "why": "no key",
        }
    ]  # fmt: skip
    states = ["throttled", "initializing", "idle", "running", "idle"]
    assert [(one["worker"], one["number"], one["state"]) for one in by_kind["worker"]] == [
        (worker, 1, state) for state in states
    ]
    assert by_kind["worker"][0] == {
        "at": now, "endpoint": "ep", "worker": worker, "number": 1, "state": "throttled", "reason": "",
    }  # fmt: skip
    (call,) = by_kind["webhook"]
    assert (call["url"], call["acknowledged"], "body" in call) == (HOOK.replace("abcdefghijkl", "****"), True, False)
    assert by_kind["log"] == [
        {
            "at": now, "endpoint": "ep", "worker": worker, "number": 1, "job": "j1", "level": "error",
            "text": "token=****mnop",
        }
    ]  # fmt: skip
    assert by_kind["reset"] == [{"endpoint": None}]
    assert [one.number for one in told] == sorted({one.number for one in told})


async def test_only_the_wanted_kinds_and_endpoints_are_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feed_module, "WORK", 60)
    monkeypatch.setattr(feed_module, "CROWDED_WORK", 60)
    world = make_world()
    jobs, none, both = (
        Reader(world.emulator, "transition"),
        Reader(world.emulator, "transition", endpoint="other*"),
        Reader(world.emulator, "worker", "reset", endpoint="e?"),
    )
    with jobs.feed.reading(), none.feed.reading(), both.feed.reading():
        await life(world)
        await world.emulator.reset("ep")
        assert {one.kind for one in await jobs.piece()} == {"transition"}
        told = await both.piece()
        assert [one.data["state"] for one in told[:-1]] == ["throttled", "initializing", "idle", "running", "idle"]
        assert (told[-1].kind, told[-1].data) == ("reset", {"endpoint": "ep"})
        assert not none.feed._backlog.news


async def test_nobody_is_told_while_nobody_reads():
    world = make_world().emulator
    before = {name: list(getattr(world.news, name)) for name in ("answered", "worker_changed", "printed", "tried")}
    heard = {kind: list(called) for kind, called in world.news.heard.items()}
    assert before["worker_changed"] == []
    reader = Reader(world)
    with reader.feed.reading():
        assert len(world.feeds) == 1 and len(world.news.worker_changed) == 1
    assert {name: list(getattr(world.news, name)) for name in before} == before
    assert {kind: list(called) for kind, called in world.news.heard.items()} == heard
    assert len(world.feeds) == 0


async def test_what_comes_together_goes_out_together_and_the_next_piece_a_little_later(
    monkeypatch: pytest.MonkeyPatch,
):
    world = make_world()
    monkeypatch.setattr(feed_module, "WORK", 60)
    monkeypatch.setattr(feed_module, "CROWDED_WORK", 60)
    reader, loop = Reader(world.emulator, "transition"), asyncio.get_running_loop()
    with reader.feed.reading():
        for _ in range(20):
            await world.endpoint.submit(Submission(b"{}"))
        assert len(await reader.piece()) == 20
        began = loop.time()
        later = asyncio.ensure_future(reader.piece())
        await turns()
        await world.endpoint.submit(Submission(b"{}"))
        await world.endpoint.submit(Submission(b"{}"))
        assert len(await later) == 2
        assert loop.time() - began > feed_module.PAUSE * 0.9


async def test_a_piece_costs_little_and_the_rest_waits_for_the_next(monkeypatch: pytest.MonkeyPatch):
    ticks = iter(range(100))
    monkeypatch.setattr(feed_module, "WORK", 1)
    monkeypatch.setattr(feed_module, "work_time", lambda: next(ticks) / 8)
    monkeypatch.setattr(feed_module, "PAUSE", 0)
    world = make_world()
    reader = Reader(world.emulator, "transition")
    with reader.feed.reading():
        ids = [(await world.endpoint.submit(Submission(b"{}"))).id for _ in range(12)]
        pieces = [await reader.piece() for _ in range(2)]
    assert [len(piece) for piece in pieces] == [8, 4]
    assert [one.data["id"] for piece in pieces for one in piece] == ids


async def test_a_reader_who_does_not_read_is_told_what_was_left_out(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feed_module, "WORK", 60)
    monkeypatch.setattr(feed_module, "CROWDED_WORK", 60)
    monkeypatch.setattr(backlog, "MOST", 3)
    monkeypatch.setattr(backlog, "FEW", 3)
    world = make_world()
    reader = Reader(world.emulator, "transition")
    with reader.feed.reading():
        ids = [(await world.endpoint.submit(Submission(b"{}"))).id for _ in range(5)]
        told = await reader.piece()
        assert [one.data["id"] for one in told[:-1]] == ids[:3]
        assert (told[-1].kind, told[-1].data) == ("left-out", {"count": 2, "kinds": {"transition": 2}})
        await world.endpoint.submit(Submission(b"{}"))
        assert [one.kind for one in await reader.piece()] == ["transition"], "it is told once"


async def test_what_floods_in_is_left_out_before_it_crowds_out_the_rest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feed_module, "WORK", 60)
    monkeypatch.setattr(feed_module, "CROWDED_WORK", 60)
    monkeypatch.setattr(backlog, "FEW", 2)
    world = make_world()
    reader = Reader(world.emulator, "request", "transition")
    with reader.feed.reading():
        for number in range(5):
            world.emulator.news.answered[-1](Entry(number, 1, "ep", "status", "GET", "/", "", (), b"", 200, "", 0))
        await world.endpoint.submit(Submission(b"{}"))
        told = await reader.piece()
    assert [one.data.get("number") for one in told[:-1]] == [0, 1, None]
    assert told[-1].data == {"count": 3, "kinds": {"request": 3}}


async def test_in_a_rush_nobody_listens_until_all_that_waits_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backlog, "FEW", 4)
    monkeypatch.setattr(backlog, "MOST", 8)
    monkeypatch.setattr(feed_module, "PAUSE", 0.001)
    monkeypatch.setattr(feed_module, "CROWDED_PAUSE", 0.001)
    monkeypatch.setattr(feed_module, "WORK", 0)
    monkeypatch.setattr(feed_module, "CROWDED_WORK", 0)
    world = make_world()
    news = world.emulator.news
    before = len(news.heard[Completed])
    reader = Reader(world.emulator, "transition", "worker")

    def listeners() -> tuple[int, int]:
        return len(news.worker_changed), len(news.heard[Completed]) - before

    with reader.feed.reading():
        worker = await world.worker()
        for _ in range(2):
            await world.endpoint.submit(Submission(b"{}"))
        assert (reader.feed._backlog.is_crowded, listeners()) == (True, (1, 1))
        told = await reader.piece()
        assert listeners() == (0, 1), "what comes with every job has more room"
        jobs = [await world.endpoint.submit(Submission(b"{}")) for _ in range(6)]
        told += await reader.piece()
        assert listeners() == (0, 0)
        await world.endpoint.submit(Submission(b"{}"))
        (job,) = await world.take(worker)
        while told[-1].kind != "left-out":
            told += await reader.piece()
        submitted = [one.data["id"] for one in told if one.kind == "transition"]
        assert submitted[-4:] == [one.id for one in jobs[:4]], "the fifth found it full"
        assert told[-1].data == {"count": 4, "kinds": {"worker": 2, "transition": 2}}, "at least"
        assert listeners() == (1, 1)
        await world.endpoint.work.report(job.id, Completed(job.lease, b"2"))
        last = await reader.piece() + await reader.piece()
        assert [(one.kind, one.data.get("state") or one.data["event"]) for one in last] == [
            ("transition", "Completed"), ("worker", "idle"),
        ]  # fmt: skip
    assert listeners() == (0, 0)


async def test_in_a_rush_pieces_are_larger_and_come_less_often(monkeypatch: pytest.MonkeyPatch):
    ticks = iter(range(100))
    monkeypatch.setattr(feed_module, "WORK", 1)
    monkeypatch.setattr(feed_module, "CROWDED_WORK", 2)
    monkeypatch.setattr(feed_module, "PAUSE", 0.01)
    monkeypatch.setattr(feed_module, "CROWDED_PAUSE", 0.02)
    monkeypatch.setattr(feed_module, "work_time", lambda: next(ticks) / 4)
    monkeypatch.setattr(backlog, "FEW", 10)
    monkeypatch.setattr(backlog, "MOST", 10)
    world = make_world()
    reader, loop = Reader(world.emulator, "transition"), asyncio.get_running_loop()
    with reader.feed.reading():
        for _ in range(10):
            await world.endpoint.submit(Submission(b"{}"))
        pieces = [await reader.piece()]
        began = loop.time()
        pieces.append(await reader.piece())
    assert [[one.kind for one in piece] for piece in pieces] == [["transition"] * 8, ["transition"] * 2 + ["left-out"]]
    assert loop.time() - began > feed_module.CROWDED_PAUSE * 0.9


async def test_long_lines_that_nobody_reads_take_bounded_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feed_module, "WORK", 60)
    monkeypatch.setattr(feed_module, "CROWDED_WORK", 60)
    monkeypatch.setattr(backlog, "MOST_BYTES", 1_000)
    world = make_world().emulator
    reader = Reader(world, "log")
    with reader.feed.reading():
        for number in range(10):
            world.news.printed[-1](Line(number, "ep", "w", "", "x" * 300))
        told = await reader.piece()
    assert [one.data["at"] for one in told[:-1]] == [0, 1, 2, 3]
    assert told[-1].data == {"count": 6, "kinds": {"log": 6}}


async def test_the_numbers_go_on_for_a_reader_who_comes_again():
    world = make_world()
    last = 0
    for _ in range(2):
        reader = Reader(world.emulator, "transition")
        with reader.feed.reading():
            await world.endpoint.submit(Submission(b"{}"))
            (one,) = await reader.piece()
        assert one.number > last
        last = one.number


async def test_a_stop_ends_the_feed():
    world = make_world().emulator
    reader = Reader(world)
    with reader.feed.reading():
        waiting = asyncio.ensure_future(anext(reader.pieces, None))
        await turns()
        world.hang_up()
        assert await waiting is None


# By HTTP


@pytest.fixture
def doors() -> Doors:
    return open_doors()


def visit(doors: Doors, query: str) -> Visit:
    return Visit(doors, "GET", "/__emulator/events", query=query, headers={"host": "localhost"})


async def read(feed: Visit, least: int) -> list[Event]:
    await waits.until(lambda: len(events_of(feed.body)) >= least, what=f"fewer than {least} events came")
    return events_of(feed.body)


async def test_the_feed_over_http_tells_transitions_unless_other_kinds_are_named(doors: Doors):
    await doors.http.get("/__emulator/clock")  # the application is made in a thread
    plain, all_kinds = visit(doors, ""), visit(doors, f"kinds={','.join(ALL)}")
    await until(lambda: len(plain.sent) > 0 and len(all_kinds.sent) > 0)
    assert plain.headers["content-type"].startswith("text/event-stream")
    assert len(doors.world.emulator.feeds) == 2
    await doors.submit()
    assert [one.kind for one in await read(plain, 1)] == ["transition"]
    told = await read(all_kinds, 4)
    assert {one.kind for one in told} == {"transition", "request", "worker"}
    (request,) = [one.data for one in told if one.kind == "request"]
    assert (request["path"], request["status"], "headers" in request, "body" in request) == (
        "/v2/ep/run", 200, False, False,
    )  # fmt: skip
    for one in (plain, all_kinds):
        one.leave()
        await one.task
    assert len(doors.world.emulator.feeds) == 0


async def test_there_are_so_many_readers_at_most(doors: Doors, monkeypatch: pytest.MonkeyPatch):
    await doors.http.get("/__emulator/clock")
    monkeypatch.setattr(state, "MOST_READERS", 1)
    first = visit(doors, "")
    await until(lambda: len(first.sent) > 0)
    second = visit(doors, "")
    await second.task
    assert (second.status, b"1 others read what happens here already" in second.body) == (429, True)
    first.leave()
    await first.task
    third = visit(doors, "")
    await until(lambda: len(third.sent) > 0)
    assert third.status == 200
    third.leave()
    await third.task


async def test_an_unknown_kind_is_refused(doors: Doors):
    answer = await doors.http.get("/__emulator/events", params={"kinds": "transition,requests"})
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("kinds: there is no kind requests; the nearest is request")


def test_masked_texts_that_are_remembered_are_the_same():
    masks = Masks(["rpa_0123456789ABCDEF"])
    texts = ["ep", "key=abcdefghijklmnopqrst", "rpa_0123456789ABCDEF", "x" * 100 + " rpa_0123456789ABCDEF"]
    assert [masks.text(text) for text in texts] == [masks.text(text) for text in texts]
    assert all("0123456789" not in masks.text(text) and "abcdefghij" not in masks.text(text) for text in texts)
