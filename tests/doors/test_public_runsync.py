"""POST /runsync: how long it holds, and what it answers."""

import re

import pytest
from runpod_emulator.core.jobs.job import JobStatus

from tests.doors.doors import JOB, PROFILES, Visit, expect_bad_request, open_doors, until
from tests.tables import table

RANGE = "must be a whole number of milliseconds from 1000 to 300000"


@pytest.mark.parametrize("profile", PROFILES)
async def test_it_holds_until_the_job_is_done(profile):
    doors = open_doors(profile)
    held = await doors.hold(doors.post("/runsync", content=JOB))
    await doors.world.advance(824)
    job = await doors.take()
    await doors.world.advance(3391)
    assert not held.done()
    await doors.complete(job, b'[{"seed":46578}]')
    answer = await held
    worker = f',"workerId":"{job.worker}"'
    assert answer.text == (
        f'{{"delayTime":824,"executionTime":3391,"id":"{job.id}","output":[{{"seed":46578}}],"status":"COMPLETED"{worker}}}'
    )
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["x-emulator-fidelity"] == "observed; row=runsync.completed"
    assert re.match("sync-[0-9a-f]{8}-", job.id)


@table("profile", PROFILES)
@table(("query", "wait"), [("", 90_000), ("?wait=1000", 1_000), ("?wait=300000", 300_000)])
async def test_past_its_wait_a_queued_job_is_answered_as_it_is_and_goes_on(profile, query, wait):
    doors = open_doors(profile, paused_endpoint="queue", workers_max=0)
    held = await doors.hold(doors.post(f"/runsync{query}", content=JOB))
    await doors.world.advance(wait - 1)
    assert not held.done()
    await doors.world.advance(1)
    answer = await held
    job_id = answer.json()["id"]
    assert (answer.status_code, answer.content) == (200, b'{"id":"%s","status":"IN_QUEUE"}' % job_id.encode())
    assert answer.headers["x-emulator-fidelity"] == "documented; row=runsync.in_queue"
    assert (await doors.endpoint.status(job_id)).status is JobStatus.IN_QUEUE


@pytest.mark.parametrize("profile", PROFILES)
async def test_past_its_wait_a_running_job_is_answered_as_it_is_and_goes_on(profile):
    doors = open_doors(profile)
    held = await doors.hold(doors.post("/runsync?wait=2000", content=JOB))
    await doors.world.advance(40)
    job = await doors.take()
    await doors.world.advance(1_960)
    answer = await held
    worker = f',"workerId":"{job.worker}"'
    assert answer.text == f'{{"delayTime":40,"id":"{job.id}","status":"IN_PROGRESS"{worker}}}'
    assert answer.status_code == 200
    await doors.complete(job)
    assert (await doors.get(f"/status/{job.id}")).json()["output"] == "done"


@pytest.mark.parametrize(("profile", "status"), [("observed", 200), ("documented", 400)])
async def test_a_failed_job_is_answered_with_the_presets_status(profile, status):
    doors = open_doors(profile)
    held = await doors.hold(doors.post("/runsync", content=JOB))
    job = await doors.take()
    await doors.fail(job, "Invalid prompt", b'{"status":"failed"}')
    answer = await held
    worker = f',"workerId":"{job.worker}"'
    assert answer.text == (
        f'{{"delayTime":0,"error":"Invalid prompt","executionTime":0,"id":"{job.id}",'
        f'"output":{{"status":"failed"}},"status":"FAILED"{worker}}}'
    )
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")


async def test_a_purged_job_ends_the_hold_with_404():
    doors = open_doors(paused_endpoint="queue", workers_max=0)
    held = await doors.hold(doors.post("/runsync", content=JOB))
    await doors.post("/purge-queue")
    assert (await held).json() == {"status": 404, "title": "Not Found", "detail": "job not found"}


async def test_a_job_that_is_tried_again_is_still_held():
    doors = open_doors()
    held = await doors.hold(doors.post("/runsync", content=JOB))
    first = await doors.take()
    await doors.endpoint.work.worker_gone(first.worker)
    second = await doors.take()
    assert not held.done()
    await doors.complete(second)
    assert (await held).json()["retries"] == 1


async def test_a_caller_who_leaves_frees_the_hold_and_the_job_goes_on():
    doors = open_doors()
    visit = Visit(doors, "POST", "/v2/ep/runsync", parts=(JOB,))
    await until(lambda: doors.waiting == 1)
    job = await doors.take()
    visit.leave()
    await visit.task
    assert doors.waiting == 0
    await doors.complete(job)
    assert (await doors.endpoint.status(job.id)).status is JobStatus.COMPLETED


async def test_a_caller_who_leaves_frees_its_place_in_the_limit():
    doors = open_doors(runsync_concurrency=1)
    visit = Visit(doors, "POST", "/v2/ep/runsync", parts=(JOB,))
    await until(lambda: doors.waiting == 1)
    assert (await doors.post("/runsync", content=JOB)).status_code == 429
    visit.leave()
    await visit.task
    held = await doors.hold(doors.post("/runsync?wait=1000", content=JOB))
    await doors.world.advance(1_000)
    assert (await held).status_code == 200


async def test_a_server_that_stops_answers_what_it_holds():
    doors = open_doors(paused_endpoint="queue", workers_max=0)
    held = await doors.hold(doors.post("/runsync", content=JOB))
    doors.world.emulator.hang_up()
    answer = await held
    assert (answer.status_code, answer.json()["status"]) == (200, "IN_QUEUE")


async def test_a_wait_out_of_range_is_refused_and_queues_nothing():
    doors = open_doors()
    for wait in (999, 300_001, 0, -1, "90s", "1.5", ""):
        expect_bad_request(await doors.post(f"/runsync?wait={wait}", content=JOB), f"wait {RANGE}")
    assert (await doors.get("/health")).json()["jobs"]["inQueue"] == 0


@table(("sent", "means"), [("1", 1_000), ("-5", 1_000), ("99999999999", 300_000), ("5000", 5_000)])
async def test_a_wait_out_of_range_is_clamped_when_asked(sent, means):
    doors = open_doors(out_of_range="clamp", paused_endpoint="queue", workers_max=0)
    held = await doors.hold(doors.post(f"/runsync?wait={sent}", content=JOB))
    await doors.world.advance(means - 1)
    assert not held.done()
    await doors.world.advance(1)
    assert (await held).status_code == 200


async def test_a_wait_that_is_no_number_cannot_be_clamped():
    answer = await open_doors(out_of_range="clamp").post("/runsync?wait=soon", content=JOB)
    expect_bad_request(answer, f"wait {RANGE}")
