"""/status and /status-sync: the envelope in every state, its life, and the hold."""

from tests.core.steps import beside
from tests.doors.doors import JOB, PROFILES, Doors, Visit, expect_bad_request, expect_problem, open_doors, until
from tests.tables import table

BOTH = ["GET", "POST"]


async def queued(doors: Doors) -> str:
    return await doors.submit()


async def running(doors: Doors) -> str:
    await doors.submit()
    await doors.world.advance(40)
    return (await doors.take()).id


async def progressed(doors: Doors) -> str:
    job_id = await running(doors)
    await doors.world.advance(7)
    await doors.progress(await doors.endpoint.status(job_id), b'"50%"')
    return job_id


async def lost(doors: Doors) -> str:
    job_id = await running(doors)
    await doors.endpoint.work.worker_gone((await doors.endpoint.status(job_id)).worker)
    return job_id


async def tried_again(doors: Doors) -> str:
    job_id = await lost(doors)
    await doors.world.advance(60)
    await doors.take()
    return job_id


async def ended(doors: Doors, output: bytes | None = b'{"z":1,"a":2}') -> str:
    job_id = await running(doors)
    await doors.world.advance(7)
    await doors.complete(await doors.endpoint.status(job_id), output)
    return job_id


async def ended_after_progress_without_output(doors: Doors) -> str:
    job_id = await progressed(doors)
    await doors.complete(await doors.endpoint.status(job_id), None)
    return job_id


async def ended_after_retry(doors: Doors) -> str:
    job_id = await tried_again(doors)
    await doors.world.advance(7)
    await doors.complete(await doors.endpoint.status(job_id))
    return job_id


async def failed(doors: Doors) -> str:
    job_id = await running(doors)
    await doors.world.advance(7)
    await doors.fail(await doors.endpoint.status(job_id), 'line\n"two" ż')
    return job_id


async def failed_with_rest(doors: Doors) -> str:
    job_id = await running(doors)
    await doors.fail(await doors.endpoint.status(job_id), "no", b'{"status":"failed"}')
    return job_id


async def lost_twice(doors: Doors) -> str:
    job_id = await tried_again(doors)
    await doors.world.advance(7)
    await doors.endpoint.work.worker_gone((await doors.endpoint.status(job_id)).worker)
    return job_id


async def too_slow(doors: Doors) -> str:
    await doors.submit(b'{"input":{},"policy":{"executionTimeout":5000}}')
    job = await doors.take()
    await doors.world.advance(6_000)
    return job.id


async def cancelled_queued(doors: Doors) -> str:
    job_id = await doors.submit()
    await doors.world.advance(5)
    await doors.post(f"/cancel/{job_id}")
    return job_id


async def cancelled_running(doors: Doors) -> str:
    job_id = await running(doors)
    await doors.world.advance(7)
    await doors.post(f"/cancel/{job_id}")
    return job_id


async def cancelled_at_its_second_try(doors: Doors) -> str:
    job_id = await tried_again(doors)
    await doors.post(f"/cancel/{job_id}")
    return job_id


SHAPES = {
    queued: '{"id":"ID","status":"IN_QUEUE"}',
    running: '{"delayTime":40,"id":"ID","status":"IN_PROGRESS"WORKER}',
    progressed: '{"delayTime":40,"executionTime":7,"id":"ID","output":"50%","status":"IN_PROGRESS"WORKER}',
    lost: '{"id":"ID","status":"IN_QUEUE"}',
    tried_again: '{"delayTime":100,"id":"ID","retries":1,"status":"IN_PROGRESS"WORKER}',
    ended: '{"delayTime":40,"executionTime":7,"id":"ID","output":{"z":1,"a":2},"status":"COMPLETED"WORKER}',
    ended_after_progress_without_output: '{"delayTime":40,"executionTime":7,"id":"ID","status":"COMPLETED"WORKER}',
    ended_after_retry: (
        '{"delayTime":100,"executionTime":7,"id":"ID","output":"done","retries":1,"status":"COMPLETED"WORKER}'
    ),
    failed: ('{"delayTime":40,"error":"line\\n\\"two\\" ż","executionTime":7,"id":"ID","status":"FAILED"WORKER}'),
    failed_with_rest: (
        '{"delayTime":40,"error":"no","executionTime":0,"id":"ID","output":{"status":"failed"},"status":"FAILED"WORKER}'
    ),
    cancelled_queued: '{"id":"ID","status":"CANCELLED"}',
    cancelled_running: '{"delayTime":40,"executionTime":7,"id":"ID","status":"CANCELLED"WORKER}',
    cancelled_at_its_second_try: '{"delayTime":100,"executionTime":0,"id":"ID","status":"CANCELLED"WORKER}',
}

DISPUTED = {
    lost_twice: {
        "observed": (
            '{"delayTime":100,"error":"job timed out after 1 retries","executionTime":7,"id":"ID","retries":1,'
            '"status":"FAILED"WORKER}'
        ),
        "documented": (
            '{"delayTime":100,"error":"job timed out after 1 retries","executionTime":7,"id":"ID","retries":1,'
            '"status":"TIMED_OUT"WORKER}'
        ),
    },
    too_slow: {
        "observed": (
            '{"delayTime":0,"error":"executionTimeout exceeded","executionTime":5000,"id":"ID","status":"FAILED"WORKER}'
        ),
        "documented": (
            '{"delayTime":0,"error":"job timed out","executionTime":5000,"id":"ID","status":"TIMED_OUT"WORKER}'
        ),
    },
}


def name_of(play):
    return getattr(play, "__name__", None)


@table("profile", PROFILES)
@table("play", [*SHAPES, *DISPUTED])
async def test_the_envelope_has_exactly_the_keys_that_exist_in_order(play, profile):
    doors = open_doors(profile)
    job_id = await play(doors)
    shape = SHAPES.get(play) or DISPUTED[play][profile]
    job = await doors.endpoint.status(job_id)
    worker = f',"workerId":"{job.worker}"'
    expected = shape.replace("ID", job_id, 1).replace("WORKER", worker)
    for method in BOTH:
        answer = await doors.http.request(method, f"/v2/ep/status/{job_id}")
        assert (answer.status_code, answer.text) == (200, expected)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-emulator-fidelity"].endswith(f"; row=status.{job.status.value.lower()}")
    if job.status.terminal:
        for method in BOTH:
            answer = await doors.http.request(method, f"/v2/ep/status-sync/{job_id}")
            assert (answer.status_code, answer.text) == (200, expected)
            assert answer.headers["x-emulator-fidelity"].endswith(f"; row=status_sync.{job.status.value.lower()}")


@table("route", ["status", "status-sync", "stream", "cancel", "retry"])
@table("content", [b"", b"{}", b"not json", b"\xff"])
async def test_a_post_by_id_takes_any_body(route, content):
    doors = open_doors()
    job = await doors.failed()
    answer = await doors.post(f"/{route}/{job.id}", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 200


@table("route", ["status", "status-sync", "stream", "cancel", "retry"])
async def test_a_job_that_nobody_has_or_another_endpoint_or_that_is_expired_is_404(route):
    doors = open_doors()
    other = beside(doors.world).endpoint
    job = await doors.failed()
    for path in (f"ep/{route}/nope", f"{other.id}/{route}/{job.id}"):
        expect_problem(await doors.http.post(f"/v2/{path}"), 404, "Not Found", "job not found")
    assert (await doors.get(f"/status/{job.id}")).status_code == 200
    await doors.world.advance(1_800_000)
    expect_problem(await doors.post(f"/{route}/{job.id}"), 404, "Not Found", "job not found")


async def test_ttl_shortens_the_life_of_a_result_from_the_call_on():
    doors = open_doors()
    job = await doors.completed()
    await doors.world.advance(1_000)
    assert (await doors.get(f"/status/{job.id}?ttl=6000")).json()["status"] == "COMPLETED"
    assert (await doors.post(f"/status/{job.id}?ttl=9000000")).status_code == 200
    await doors.world.advance(5_999)
    assert (await doors.get(f"/status/{job.id}")).status_code == 200
    await doors.world.advance(1)
    assert (await doors.get(f"/status/{job.id}")).status_code == 404


@table("ttl", ["0", "-1", "", "x", "1.5", "1e3", "\u0661"])
async def test_a_wrong_ttl_is_refused_and_changes_nothing(ttl):
    doors = open_doors()
    job = await doors.completed()
    answer = await doors.http.get(f"/v2/ep/status/{job.id}", params={"ttl": ttl})
    expect_bad_request(answer, "ttl must be a whole number of milliseconds of 1 or more")
    await doors.world.advance(10_000)
    assert (await doors.get(f"/status/{job.id}")).status_code == 200


async def test_a_ttl_too_small_is_clamped_when_asked():
    doors = open_doors(out_of_range="clamp")
    job = await doors.completed()
    assert (await doors.get(f"/status/{job.id}?ttl=-100")).status_code == 200
    await doors.world.advance(1)
    assert (await doors.get(f"/status/{job.id}")).status_code == 404


@table("method", BOTH)
@table(("query", "wait"), [("", 90_000), ("?wait=1000", 1_000), ("?wait=300000", 300_000)])
async def test_status_sync_holds_until_its_wait_is_over(method, query, wait):
    doors = open_doors(paused_endpoint="queue", workers_max=0)
    job_id = await doors.submit()
    held = await doors.hold(doors.http.request(method, f"/v2/ep/status-sync/{job_id}{query}"))
    await doors.world.advance(wait - 1)
    assert not held.done()
    await doors.world.advance(1)
    answer = await held
    assert (answer.status_code, answer.text) == (200, f'{{"id":"{job_id}","status":"IN_QUEUE"}}')
    assert answer.headers["x-emulator-fidelity"] == "client; row=status_sync.in_queue"


@table("method", BOTH)
async def test_status_sync_ends_with_the_job(method):
    doors = open_doors()
    job_id = await doors.submit()
    held = await doors.hold(doors.http.request(method, f"/v2/ep/status-sync/{job_id}"))
    job = await doors.take()
    assert not held.done()
    await doors.complete(job)
    assert (await held).json()["output"] == "done"


async def test_status_sync_of_a_failed_job_is_200_in_both_presets():
    for profile in PROFILES:
        doors = open_doors(profile)
        job = await doors.failed()
        answer = await doors.get(f"/status-sync/{job.id}")
        assert (answer.status_code, answer.json()["error"]) == (200, "no luck")


async def test_a_caller_who_leaves_frees_the_hold():
    doors = open_doors()
    job_id = await doors.submit(JOB)
    visit = Visit(doors, "GET", f"/v2/ep/status-sync/{job_id}")
    await until(lambda: doors.waiting == 1)
    visit.leave()
    await visit.task
    assert doors.waiting == 0


@table("wait", ["999", "300001", "0", "-1", "", "x", "1.5"])
async def test_a_wrong_wait_is_refused(wait):
    doors = open_doors()
    job = await doors.completed()
    answer = await doors.http.get(f"/v2/ep/status-sync/{job.id}", params={"wait": wait})
    expect_bad_request(answer, "wait must be a whole number of milliseconds from 1000 to 300000")
