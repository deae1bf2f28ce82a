"""The journal tells of each request how long it took, which stub its job plays, and why it was refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from runpod_emulator.core.mocks.script import Ending, Script
from runpod_emulator.core.mocks.stubs import Stub
from runpod_emulator.core.records.news import Entry
from runpod_emulator.http.access import Access

from tests.doors.doors import Doors, open_doors
from tests.tables import table

Ask = Callable[[Doors], Awaitable[Any]]
KEY = {"authorization": "Bearer rpa_ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
SLOW = Stub("slow", (Script(Ending.OUTPUT, lambda scene: b"1"),))


async def expired(doors: Doors) -> httpx.Response:
    job = await doors.completed()
    await doors.world.advance(doors.endpoint.platform.run_retention + 12_000)
    return await doors.get(f"/status/{job.id}")


async def purged(doors: Doors) -> httpx.Response:
    job = await doors.submit()
    await doors.post("/purge-queue")
    await doors.world.advance(2_500)
    return await doors.get(f"/status/{job}")


async def outlived(doors: Doors) -> httpx.Response:
    job = await doors.submit(b'{"input":{"a":1},"policy":{"ttl":10000}}')
    await doors.take()
    await doors.world.advance(15_000)
    return await doors.get(f"/status/{job}")


async def others(doors: Doors) -> httpx.Response:
    job = await doors.submit()
    doors.world.emulator.endpoints.add_mock_now("other")
    return await doors.http.get(f"/v2/other/status/{job}")


async def too_many(doors: Doors) -> httpx.Response:
    for _ in range(doors.endpoint.platform.purge_rate):
        await doors.post("/purge-queue")
    return await doors.post("/purge-queue")


@table(
    ("ask", "status", "why"),
    [
        (lambda doors: doors.get("/health", headers={"authorization": ""}), 401, "no Authorization header"),
        (lambda doors: doors.get("/health", headers=KEY), 401, "no key of this server: Bearer ****WXYZ"),
        (lambda doors: doors.http.get("/v2/epp/health"), 404, "no endpoint epp: did you mean ep?"),
        (lambda doors: doors.http.get("/v2/x-y-z/health"), 404, "no endpoint x-y-z: there are ep"),
        (lambda doors: doors.get("/status/abc"), 404, "job ep/JOB was never here"),
        (expired, 404, "job ep/JOB expired 12 s ago"),
        (purged, 404, "job ep/JOB was purged, IN_QUEUE, 2.5 s ago"),
        (outlived, 404, "job ep/JOB expired IN_PROGRESS 5 s ago: its TTL of 10 s was over (policy.ttl, job_ttl)"),
        (others, 404, "job other/JOB is ep's"),
        (too_many, 429, "purge: 2 in 10 s"),
        (lambda doors: doors.post("/run", content=b"{"), 400, "body: invalid json: Input data was truncated"),
        (lambda doors: doors.post("/run", content=b"{}"), 400, "body: input is required"),
    ],
)
async def test_a_refusal_has_its_reason(ask: Ask, status: int, why: str) -> None:
    doors = open_doors(access=Access(keys=frozenset(("rpa_KEY",))))
    assert (await ask(doors)).status_code == status
    entry = last(doors)
    assert (entry.status, entry.why.replace(entry.job or "no job", "JOB")) == (status, why)
    await doors.world.emulator.stop()


async def test_an_answer_has_its_stub_and_its_time() -> None:
    doors = open_doors()
    doors.world.emulator.stub(SLOW)
    job = await doors.submit()
    assert (last(doors).stub, last(doors).took, last(doors).why) == ("slow", 0, "")
    for call, held in (
        (doors.get(f"/status/{job}"), 0),
        (doors.get(f"/status-sync/{job}?wait=1000"), 1_000),
        (doors.get(f"/stream/{job}?wait=1000"), 1_000),
        (doors.post(f"/cancel/{job}"), 0),
    ):
        answer = await doors.hold(call) if held else call
        if held:
            await doors.world.advance(held)
        assert (await answer).status_code == 200
        assert (last(doors).stub, last(doors).took) == ("slow", held)
    await doors.world.emulator.stop()


def last(doors: Doors) -> Entry:
    """The journal's last request."""
    return list(doors.world.emulator.journal)[-1]
