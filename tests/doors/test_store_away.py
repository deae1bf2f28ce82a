"""The store is away or full: each verb of clients and workers, and of the admin API, says so, and when to try again."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from runpod_emulator.core.jobs.store import DeliveryStore, JobStore
from runpod_emulator.core.store_errors import StoreAway, StoreFull, Unavailable

from tests.doors.doors import Doors, open_doors, until
from tests.tables import table

AWAY = "the emulator's store does not answer: is the server of --store up? Try again"
BODY = b'{"input":{"a":1},"output":1}'
FULL = "the emulator's store is full: raise maxmemory of the server of --store, or purge jobs"
CALLS = (
    "POST /run", "POST /runsync", "GET /status/j", "GET /status-sync/j", "GET /stream/j", "POST /cancel/j",
    "POST /retry/j", "POST /purge-queue", "GET /health", "GET /requests", "POST /openai/v1/chat/completions",
    "GET /job-take/w1?job_in_progress=0", "GET /job-take-batch/w1?batch_size=2&job_in_progress=0",
    "POST /job-done/w1/j", "POST /job-stream/w1/j",
)  # fmt: skip
ADMIN = ("GET /jobs", "GET /overview", "GET /metrics", "POST /reset")


def fails(doors: Doors, error: type[Unavailable]) -> None:
    """Let every call of the store raise this, and nobody wait for it: of a worker's report that is the end."""

    async def call(*arguments: object, **named: object) -> None:
        raise error

    store = doors.world.emulator.store
    for kept, protocol in ((store, JobStore), (store.deliveries, DeliveryStore)):
        for name, method in vars(protocol).items():
            if inspect.iscoroutinefunction(method):
                setattr(kept, name, call)
    store.outage.back = call  # type: ignore[method-assign]


@table("path", CALLS)
@pytest.mark.parametrize("error", [StoreAway, StoreFull])
async def test_each_verb_answers_503_in_the_services_shape(path: str, error: type[Unavailable]):
    doors = open_doors(rate_limits=False)
    fails(doors, error)
    method, _, rest = path.partition(" ")
    answer = await doors.http.request(method, f"/v2/ep{rest}", content=BODY if method == "POST" else b"")
    assert answer.json() == {
        "status": 503, "title": "Service Unavailable", "detail": AWAY if error is StoreAway else FULL
    }  # fmt: skip
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["x-emulator-fidelity"] == "guess; row=error.unavailable"


@table("path", ADMIN)
async def test_the_admin_api_answers_503(path: str):
    doors = open_doors()
    fails(doors, StoreAway)
    method, _, rest = path.partition(" ")
    answer = await doors.http.request(method, f"/__emulator{rest}")
    assert (answer.status_code, answer.headers.get("retry-after")) == (503, "1")


def away_twice(doors: Doors) -> list[str]:
    """Let the next two looks at a job fail; returns the jobs that were looked at from now on."""
    store = doors.world.emulator.store
    get, calls = store.get, list[str]()

    async def away(endpoint: str, job_id: str) -> object:
        calls.append(job_id)
        if len(calls) < 3:
            raise StoreAway
        return await get(endpoint, job_id)

    store.get = away  # type: ignore[method-assign]
    return calls


async def test_a_stream_of_events_goes_on_when_the_store_is_back():
    doors = open_doors()
    await doors.submit()
    job = await doors.take()
    reads = await doors.hold(doors.get(f"/stream/{job.id}", headers={"accept": "text/event-stream"}))
    calls = away_twice(doors)
    await doors.emit(job, b'"one"')
    await until(lambda: len(calls) >= 3)
    await doors.complete(job)
    text = (await asyncio.wait_for(reads, 10)).text
    assert ('"one"' in text, text.count("event: status")) == (True, 1)


async def test_a_stream_of_openai_goes_on_when_the_store_is_back():
    doors = open_doors()
    reads = await doors.hold(doors.post("/openai/v1/chat/completions", content=b'{"stream":true}'))
    job = await doors.take()
    await doors.emit(job, b'"data: one\\n\\n"')
    await until(lambda: doors.waiting == 1)
    calls = away_twice(doors)
    await doors.emit(job, b'"data: two\\n\\n"')
    await until(lambda: len(calls) >= 3)
    await doors.complete(job)
    assert (await asyncio.wait_for(reads, 10)).text == "data: one\n\ndata: two\n\n"
