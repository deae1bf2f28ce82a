"""/cancel, /retry, /purge-queue, /health and /requests."""

import re

import pytest
from runpod_emulator.core.jobs.job import Completed, JobStatus

from tests.doors.doors import PROFILES, expect_bad_request, expect_problem, open_doors


async def test_cancel_of_a_queued_job_removes_it():
    doors = open_doors()
    first, second = await doors.submit(), await doors.submit()
    answer = await doors.post(f"/cancel/{first}")
    assert (answer.status_code, answer.text) == (200, f'{{"id":"{first}","status":"CANCELLED"}}')
    assert answer.headers["x-emulator-fidelity"] == "observed; row=cancel.queued"
    assert (await doors.take()).id == second


async def test_cancel_of_a_running_job_answers_at_once_and_its_worker_is_told():
    doors = open_doors()
    job_id = await doors.submit()
    job = await doors.take()
    answer = await doors.post(f"/cancel/{job_id}")
    assert (answer.status_code, answer.text) == (200, f'{{"id":"{job_id}","status":"CANCELLED"}}')
    assert answer.headers["x-emulator-fidelity"] == "documented; row=cancel.running"
    assert doors.world.launcher.stopped_jobs == [(job.worker, job_id, job.lease)]
    assert not await doors.endpoint.work.report(job_id, Completed(job.lease, b'"late"'))


@pytest.mark.parametrize("times", [1, 2])
async def test_cancel_of_an_ended_job_echoes_it(times):
    doors = open_doors()
    job = await doors.completed()
    for _ in range(times):
        answer = await doors.post(f"/cancel/{job.id}")
    assert (answer.status_code, answer.text) == (200, f'{{"id":"{job.id}","status":"COMPLETED"}}')
    assert answer.headers["x-emulator-fidelity"] == "guess; row=cancel.ended"


async def test_cancel_of_an_ended_job_is_refused_when_asked():
    doors = open_doors(cancel_terminal="reject")
    job = await doors.completed()
    expect_problem(
        await doors.post(f"/cancel/{job.id}"), 400, "Bad Request", "job is not in a cancellable state: COMPLETED"
    )


async def test_retry_of_a_failed_job_runs_it_again_under_its_id_with_its_input():
    doors = open_doors()
    await doors.submit(b'{"input":{"k":[1, 2.0]},"s3Config":{"a":"b"}}')
    first = await doors.take()
    await doors.fail(first, "no", b'"rest"')
    await doors.world.advance(1_000)
    answer = await doors.post(f"/retry/{first.id}")
    assert (answer.status_code, answer.text) == (200, f'{{"id":"{first.id}","status":"IN_QUEUE"}}')
    assert answer.headers["x-emulator-fidelity"] == "documented; row=retry.accepted"
    assert (await doors.get(f"/status/{first.id}")).text == f'{{"id":"{first.id}","status":"IN_QUEUE"}}'
    assert not await doors.endpoint.work.report(first.id, Completed(first.lease, b'"of the first run"'))
    await doors.world.advance(250)
    second = await doors.take()
    assert (second.input, second.s3_config) == (b'{"k":[1, 2.0]}', b'{"a":"b"}')
    shown = (await doors.get(f"/status/{first.id}")).json()
    assert shown == {"id": first.id, "status": "IN_PROGRESS", "delayTime": 250, "workerId": second.worker}


async def test_retry_of_a_timed_out_job():
    doors = open_doors("documented")
    await doors.submit()
    job = await doors.take()
    await doors.world.advance(600_000)
    assert (await doors.get(f"/status/{job.id}")).json()["status"] == "TIMED_OUT"
    assert (await doors.post(f"/retry/{job.id}")).json() == {"id": job.id, "status": "IN_QUEUE"}


@pytest.mark.parametrize("status", ["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "CANCELLED"])
async def test_retry_in_another_state_is_refused_and_changes_nothing(status):
    doors = open_doors()
    job_id = await doors.submit()
    if status in ("IN_PROGRESS", "COMPLETED"):
        job = await doors.take()
    if status == "COMPLETED":
        await doors.complete(job)
    if status == "CANCELLED":
        await doors.post(f"/cancel/{job_id}")
    before = (await doors.get(f"/status/{job_id}")).content
    answer = await doors.post(f"/retry/{job_id}")
    expect_problem(answer, 400, "Bad Request", f"job is not in a retryable state: {status}")
    assert (await doors.get(f"/status/{job_id}")).content == before


async def test_the_title_of_a_refused_retry_belongs_to_its_status():
    doors = open_doors(retry_wrong_state_status=409)
    job_id = await doors.submit()
    answer = await doors.post(f"/retry/{job_id}")
    expect_problem(answer, 409, "Conflict", "job is not in a retryable state: IN_QUEUE")


@pytest.mark.parametrize("content", [b"", b"{}"])
async def test_purge_removes_what_waits_and_nothing_else(content):
    doors = open_doors()
    running = await doors.submit()
    job = await doors.take()
    waiting = [await doors.submit() for _ in range(2)]
    answer = await doors.post("/purge-queue", content=content)
    assert (answer.status_code, answer.text) == (200, '{"removed":2,"status":"completed"}')
    for job_id in waiting:
        expect_problem(await doors.get(f"/status/{job_id}"), 404, "Not Found", "job not found")
    await doors.complete(job)
    assert (await doors.get(f"/status/{running}")).json()["status"] == "COMPLETED"


async def test_purge_of_an_empty_queue():
    answer = await open_doors().post("/purge-queue", content=b"")
    assert answer.text == '{"removed":0,"status":"completed"}'
    assert answer.headers["x-emulator-fidelity"] == "observed; row=purge.removed"


async def test_purged_jobs_are_cancelled_when_asked():
    doors = open_doors(purged_job="cancelled")
    job_id = await doors.submit()
    assert (await doors.post("/purge-queue")).json()["removed"] == 1
    assert (await doors.get(f"/status/{job_id}")).text == f'{{"id":"{job_id}","status":"CANCELLED"}}'


def health(jobs: tuple[int, ...], workers: tuple[int, ...]) -> str:
    names = ("completed", "failed", "inProgress", "inQueue", "retried")
    states = ("idle", "initializing", "ready", "running", "throttled", "unhealthy")
    one = ",".join(f'"{name}":{number}' for name, number in zip(names, jobs, strict=True))
    two = ",".join(f'"{name}":{number}' for name, number in zip(states, workers, strict=True))
    return f'{{"jobs":{{{one}}},"workers":{{{two}}}}}'


@pytest.mark.parametrize("profile", PROFILES)
async def test_health_has_eleven_counters_that_are_true_at_every_moment(profile):
    doors = open_doors(profile, settings=lambda settings: settings)
    seen = []

    async def look():
        answer = await doors.get("/health")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert answer.headers["x-emulator-fidelity"] == "observed; row=health.counters"
        seen.append(answer.text)

    await look()
    first = await doors.submit()
    await look()
    worker = doors.world.launcher.started[0]
    await doors.endpoint.work.worker_ready(worker, 1)
    await look()
    (job,) = await doors.world.take(worker)
    await look()
    await doors.endpoint.work.worker_gone(worker, replace=True)
    await look()
    second = doors.world.launcher.started[-1]
    await doors.endpoint.work.worker_ready(second, 1)
    (job,) = await doors.world.take(second)
    assert job.id == first
    await doors.complete(job)
    await look()
    await doors.submit()
    (job,) = await doors.world.take(second)
    await doors.fail(job)
    await look()
    assert seen == [
        health((0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0)),
        health((0, 0, 0, 1, 0), (0, 1, 0, 0, 0, 0)),
        health((0, 0, 0, 1, 0), (1, 0, 1, 0, 0, 0)),
        health((0, 0, 1, 0, 0), (0, 0, 0, 1, 0, 0)),
        health((0, 0, 0, 1, 1), (0, 1, 0, 0, 0, 0)),
        health((1, 0, 0, 0, 1), (1, 0, 1, 0, 0, 0)),
        health((1, 1, 0, 0, 1), (1, 0, 1, 0, 0, 0)),
    ]


async def test_health_counts_a_worker_with_four_jobs_once():
    doors = open_doors()
    for _ in range(4):
        await doors.submit()
    worker = doors.world.launcher.started[0]
    await doors.endpoint.work.worker_ready(worker, 4)
    await doors.world.take(worker, most=4)
    shown = (await doors.get("/health")).json()
    assert (shown["jobs"]["inProgress"], shown["workers"]["running"]) == (4, 1)


async def test_health_counts_a_worker_that_could_not_start():
    doors = open_doors()
    await doors.submit()
    await doors.endpoint.work.worker_broken(doors.world.launcher.started[0], "ImportError")
    shown = (await doors.get("/health")).json()
    assert (shown["jobs"]["inQueue"], shown["workers"]["unhealthy"]) == (1, 1)


@pytest.mark.parametrize(("counts", "failed"), [(True, 1), (False, 0)])
async def test_health_counts_timed_out_as_failed_and_cancelled_nowhere(counts, failed):
    doors = open_doors("documented", health_timed_out_failed=counts)
    await doors.submit()
    job = await doors.take()
    await doors.world.advance(600_000)
    assert (await doors.endpoint.status(job.id)).status is JobStatus.TIMED_OUT
    await doors.post(f"/cancel/{await doors.submit()}")
    jobs = (await doors.get("/health")).json()["jobs"]
    assert jobs == {"completed": 0, "failed": failed, "inProgress": 0, "inQueue": 0, "retried": 0}


async def test_requests_of_an_endpoint_without_jobs():
    answer = await open_doors().get("/requests")
    assert answer.text == '{"requests":[],"total":0,"offset":0,"limit":50,"hasMore":false}'
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["x-emulator-fidelity"] == "client; row=requests.page"


async def test_requests_are_envelopes_newest_first():
    doors = open_doors()
    done = await doors.completed()
    waiting = await doors.submit()
    answer = await doors.get("/requests")
    assert answer.text == (
        f'{{"requests":[{{"id":"{waiting}","status":"IN_QUEUE"}},'
        f'{{"delayTime":0,"executionTime":0,"id":"{done.id}","output":"done","status":"COMPLETED",'
        f'"workerId":"{done.worker}"}}],"total":2,"offset":0,"limit":50,"hasMore":false}}'
    )


async def test_requests_come_in_pages():
    doors = open_doors()
    ids = [await doors.submit() for _ in range(7)][::-1]
    for query, page, offset, limit, more in (
        ("?limit=3", ids[:3], 0, 3, True),
        ("?limit=3&offset=3", ids[3:6], 3, 3, True),
        ("?offset=6&limit=3", ids[6:], 6, 3, False),
        ("?offset=7", [], 7, 50, False),
        ("?offset=700&limit=1000", [], 700, 1_000, False),
        ("?limit=7", ids, 0, 7, False),
    ):
        shown = (await doors.get(f"/requests{query}")).json()
        assert [job["id"] for job in shown.pop("requests")] == page
        assert shown == {"total": 7, "offset": offset, "limit": limit, "hasMore": more}


async def test_requests_pages_are_as_long_as_the_field_says():
    doors = open_doors(requests_limit=2)
    for _ in range(3):
        await doors.submit()
    shown = (await doors.get("/requests")).json()
    assert (len(shown["requests"]), shown["limit"], shown["hasMore"]) == (2, 2, True)


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("offset=-1", "offset must be a whole number of 0 or more"),
        ("offset=x", "offset must be a whole number of 0 or more"),
        ("offset=", "offset must be a whole number of 0 or more"),
        ("offset=1.0", "offset must be a whole number of 0 or more"),
        ("limit=0", "limit must be a whole number from 1 to 1000"),
        ("limit=1001", "limit must be a whole number from 1 to 1000"),
        ("limit=-1", "limit must be a whole number from 1 to 1000"),
        ("limit=ten", "limit must be a whole number from 1 to 1000"),
    ],
)
async def test_a_page_that_cannot_be_is_refused(query, detail):
    expect_bad_request(await open_doors().get(f"/requests?{query}"), detail)


async def test_every_id_looks_as_clients_want_it():
    doors = open_doors()
    await doors.submit()
    (shown,) = (await doors.get("/requests")).json()["requests"]
    assert re.fullmatch("[a-zA-Z0-9_-]+", shown["id"])
    assert re.fullmatch("[a-z0-9]{14}", (await doors.take()).worker)
