"""An endpoint that may have no worker refuses jobs, as recorded, or lets them wait, as documented."""

from __future__ import annotations

import pytest

from tests.doors.doors import JOB, PROFILES, open_doors

PAUSED = (
    b'{"status":409,"title":"Conflict",'
    b'"detail":"Endpoint is paused (max_workers=0). Set max_workers > 0 to accept work.","code":"ENDPOINT_PAUSED"}'
)
WAYS = ["/v2/ep/run", "/v2/ep/runsync", "/v2/ep/openai/v1/chat/completions", "/v2/flash/run", "/v2/flash/runsync"]
FLASH = {"x-flash-endpoint": "ep"}


@pytest.mark.parametrize("path", WAYS)
async def test_a_paused_endpoint_refuses_jobs_at_once(path: str) -> None:
    doors = open_doors(workers_max=0)
    answer = await doors.http.post(path, content=JOB, headers=FLASH)
    assert (answer.status_code, answer.content) == (409, PAUSED)
    assert answer.headers["x-emulator-fidelity"] == "observed; row=error.paused"
    assert (await doors.get("/requests")).json()["total"] == 0


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_paused_endpoint_shows_nothing_of_it_elsewhere(profile) -> None:
    doors = open_doors(profile, workers_max=0)
    health = await doors.get("/health")
    assert (health.status_code, {count for part in health.json().values() for count in part.values()}) == (200, {0})
    assert (await doors.post("/purge-queue")).json() == {"removed": 0, "status": "completed"}


async def test_jobs_that_were_there_when_it_was_paused_wait_and_can_be_retried() -> None:
    doors = open_doors()
    waiting, failed = await doors.submit(), await doors.failed()
    await doors.world.emulator.endpoints.configure("ep", workers_max=0)
    assert (await doors.post("/run", content=JOB)).status_code == 409
    assert (await doors.post(f"/retry/{failed.id}")).json()["status"] == "IN_QUEUE"
    assert (await doors.get(f"/status/{waiting}")).json()["status"] == "IN_QUEUE"


async def test_it_takes_jobs_again_once_it_may_have_workers() -> None:
    doors = open_doors(workers_max=0)
    assert (await doors.post("/run", content=JOB)).status_code == 409
    await doors.world.emulator.endpoints.configure("ep", workers_max=1)
    assert (await doors.post("/run", content=JOB)).status_code == 200
    assert len(doors.world.launcher.started) == 1


@pytest.mark.parametrize("options", [{"profile": "documented"}, {"paused_endpoint": "queue"}])
async def test_as_documented_its_jobs_wait(options: dict[str, str]) -> None:
    doors = open_doors(**options, workers_max=0)
    job_id = await doors.submit()
    await doors.world.advance(3_600_000)
    assert (await doors.get(f"/status/{job_id}")).json() == {"id": job_id, "status": "IN_QUEUE"}
    assert doors.world.launcher.started == []
