"""All that happens in a world goes through its effects: what one of them hears, and what it does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import httpx
import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.fleet.worker import Said, WorkerChange
from runpod_emulator.core.jobs.job import Completed, Transition
from runpod_emulator.core.records.news import LONGEST_BODY, Attempt, Effect, Entry, Line
from runpod_emulator.core.settings import default_settings
from runpod_emulator.http.access import Access
from runpod_emulator.server.app import Application
from runpod_emulator.world.worlds import Worlds

from tests.core.steps import turns
from tests.worlds import RecordingLauncher, TestWorld, make_world

HOOK = "http://127.0.0.1:9/hook"


class Told(Effect):
    """Writes down all news in short."""

    def __init__(self) -> None:
        self.news: list[Any] = []

    def won(self, transition: Transition) -> None:
        self.news.append(("won", type(transition.event).__name__))

    def heard(self, transition: Transition) -> None:
        self.news.append(("heard", type(transition.event).__name__))

    def worker_changed(self, change: WorkerChange) -> None:
        self.news.append((change.endpoint, change.worker, change.state and change.state.value))

    def printed(self, line: Line) -> None:
        self.news.append((line.endpoint, line.worker, line.number, line.job, line.text, line.level))

    def answered(self, entry: Entry) -> None:
        self.news.append((entry.number, entry.operation, entry.status, len(entry.body), entry.body_size))

    def tried(self, attempt: Attempt) -> None:
        self.news.append(("tried", attempt.delivery.url, attempt.problem))

    def cleared(self, endpoint: str | None) -> None:
        self.news.append(("cleared", endpoint))

    def removed(self, endpoint: str) -> None:
        self.news.append(("removed", endpoint))

    def take(self) -> list[Any]:
        """The news since the last look."""
        taken, self.news = self.news, []
        return taken


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def world(told: Told) -> TestWorld:
    return make_world(effects=[told])


async def test_what_happens_to_a_job_and_its_worker(world: TestWorld, told: Told):
    worker = await world.worker()
    assert told.take() == [("ep", worker, state) for state in ("throttled", "initializing", "idle")]
    await world.endpoint.submit(Submission(b"{}", webhook=HOOK))
    assert told.take() == [("heard", "Submitted"), ("won", "Submitted")]
    (job,) = await world.take(worker)
    assert told.take() == [("heard", "Taken"), ("ep", worker, "running"), ("won", "Taken")]
    await world.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    assert told.take() == [("heard", "Completed"), ("ep", worker, "idle"), ("won", "Completed")]
    await turns()
    assert told.take() == [("tried", HOOK, "")]
    await world.advance(world.endpoint.settings.idle_timeout)
    assert told.take() == [("ep", worker, None)]
    await world.emulator.stop()


async def test_what_workers_print(world: TestWorld, told: Told):
    first, second = await world.worker(), await world.worker()
    told.take()
    world.endpoint.work.printed(second, "j", Said("hello", level="error"))
    world.endpoint.fleet.forget(first)
    world.endpoint.work.printed(first, "", Said("last words"))
    world.endpoint.work.printed("stranger", "", Said("who?"))
    assert [one for one in told.take() if len(one) == 6] == [
        ("ep", second, 2, "j", "hello", "error"),
        ("ep", first, 1, "", "last words", "info"),
        ("ep", "stranger", 0, "", "who?", "info"),
    ]
    assert [line.text for line in world.emulator.lines] == ["hello", "last words", "who?"]
    await world.emulator.reset()
    assert not list(world.emulator.lines)
    await world.emulator.stop()


async def test_what_becomes_of_workers_that_fail(world: TestWorld, told: Told):
    worker = await world.worker()
    told.take()
    world.endpoint.fleet.fell_ill(worker, "sick")
    world.endpoint.fleet.welcome("far")
    world.endpoint.fleet.ready("far", 1)
    world.endpoint.fleet.forget("far")
    world.endpoint.fleet.forget("nobody")
    states = [(worker, "unhealthy"), ("far", "throttled"), ("far", "idle"), ("far", None)]
    assert told.take() == [("ep", *one) for one in states]
    await world.worker()
    assert told.take()[0] == ("ep", worker, None), "a new one takes the place of the unhealthy one"


async def test_an_answer_comes_with_the_beginning_of_its_request(world: TestWorld, told: Told):
    app = Application(Worlds(world.emulator), Access(required=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        await client.get("/v2/ep/status/nothing")
        body = b'{"input": {"text": "' + b"x" * LONGEST_BODY + b'"}}'
        await client.post("/v2/ep/run", content=body)
    answered = [one for one in told.take() if len(one) == 5]
    assert answered == [(1, "status", 404, 0, 0), (2, "run", 200, LONGEST_BODY, len(body))]
    assert [entry.number for entry in world.emulator.journal] == [1, 2]


async def test_what_is_forgotten(world: TestWorld, told: Told):
    other = dataclasses.replace(default_settings("other", world.endpoint.platform), workers_max=0)
    world.emulator.endpoints.add(other, RecordingLauncher().launch)
    await world.emulator.reset("ep")
    await world.emulator.reset()
    await world.emulator.endpoints.remove("other")
    assert told.take() == [("cleared", "ep"), ("cleared", None), ("removed", "other")]


async def test_endpoints_are_a_mapping_with_the_queues_first(world: TestWorld):
    endpoints = world.emulator.endpoints
    assert (list(endpoints), len(endpoints), "ep" in endpoints, "lb" in endpoints) == (["ep"], 1, True, False)
    assert endpoints["ep"] is endpoints.any("ep") is endpoints.queue("ep") is world.endpoint
    with pytest.raises(KeyError):
        endpoints["lb"]
