"""/metrics: which workers are up, and counters of all."""

from __future__ import annotations

import pytest
from runpod_emulator.http.access import Access

from tests.doors.doors import KEY, PROFILES, expect_problem, open_doors

NONE = {"ready": 0, "running": 0, "idle": 0, "initializing": 0, "throttled": 0, "unhealthy": 0}


@pytest.mark.parametrize("profile", PROFILES)
async def test_workers_by_what_they_do(profile):
    doors = open_doors(profile)
    seen = [(await doors.get("/metrics")).json()]
    doors.endpoint.autoscaler.start_one()
    seen.append((await doors.get("/metrics")).json())
    worker = doors.world.launcher.started[-1]
    await doors.endpoint.work.worker_ready(worker, 1)
    seen.append((await doors.get("/metrics")).json())
    await doors.submit()
    assert await doors.world.take(worker)
    seen.append((await doors.get("/metrics")).json())
    assert seen == [
        {"readyWorkers": [], "workers": NONE},
        {"readyWorkers": [], "workers": {**NONE, "initializing": 1}},
        {"readyWorkers": [worker], "workers": {**NONE, "ready": 1, "idle": 1}},
        {"readyWorkers": [], "workers": {**NONE, "running": 1}},
    ]


async def test_the_counters_are_those_of_health():
    doors = open_doors()
    await doors.submit()
    await doors.take()
    await doors.world.worker()
    assert (await doors.get("/metrics")).json()["workers"] == (await doors.get("/health")).json()["workers"]


async def test_its_guards_are_those_of_health():
    doors = open_doors(access=Access(keys=frozenset({KEY})), key="another")
    expect_problem(await doors.get("/metrics"), 401, "Unauthorized", "invalid api key")
    doors = open_doors()
    expect_problem(await doors.http.get("/v2/nope/metrics"), 404, "Not Found", "endpoint not found")
    for _ in range(3_000):
        assert (await doors.get("/metrics")).status_code == 200
    assert len(doors.world.emulator.journal) == 3_001
    assert {entry.operation for entry in doors.world.emulator.journal} == {"metrics"}


async def test_its_evidence_is_the_client_that_reads_it():
    assert (await open_doors().get("/metrics")).headers["x-emulator-fidelity"] == "client; row=metrics.workers"
