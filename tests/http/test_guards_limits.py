"""Rate windows, concurrency limits and the queue rule: 429 and its headers."""

import pytest

from tests.doors.doors import JOB, PROFILES, Doors, expect_problem, open_doors

DETAIL = "rate limit exceeded"

TABLE = {
    "run": ("POST", "/run", 1_000, 200),
    "runsync": ("POST", "/runsync", 2_000, 400),
    "status": ("GET", "/status/JOB", 2_000, 400),
    "stream": ("GET", "/stream/JOB", 2_000, 400),
    "cancel": ("POST", "/cancel/JOB", 100, 20),
    "purge": ("POST", "/purge-queue", 2, 0),
    "requests": ("GET", "/requests", 10, 2),
}


def expect_limited(answer, retry_after: int) -> bool:
    expect_problem(answer, 429, "Too Many Requests", DETAIL)
    assert answer.headers["retry-after"] == str(retry_after)
    assert "ratelimit" not in answer.headers
    return True


async def ask(doors: Doors, name: str, job_id: str):
    method, path, _, _ = TABLE[name]
    return await doors.http.request(method, f"/v2/ep{path.replace('JOB', job_id)}", content=b"{}")


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", TABLE)
async def test_each_operation_has_its_published_numbers(name, profile):
    platform = open_doors(profile).endpoint.platform
    _, _, rate, concurrency = TABLE[name]
    assert getattr(platform, f"{name}_rate") == rate
    assert getattr(platform, f"{name}_concurrency", 0) == concurrency


@pytest.mark.parametrize("name", TABLE)
async def test_more_requests_than_a_window_admits_are_refused(name):
    doors = open_doors(**{f"{name}_rate": 3})
    job = await doors.completed() if name != "run" else None
    job_id = job.id if job else ""
    for _ in range(3):
        assert (await ask(doors, name, job_id)).status_code != 429
    expect_limited(await ask(doors, name, job_id), 10)
    await doors.world.advance(9_001)
    expect_limited(await ask(doors, name, job_id), 1)
    await doors.world.advance(998)
    expect_limited(await ask(doors, name, job_id), 1)
    await doors.world.advance(1)
    for _ in range(3):
        assert (await ask(doors, name, job_id)).status_code != 429
    expect_limited(await ask(doors, name, job_id), 10)


@pytest.mark.parametrize(("after", "retry_after"), [(0, 10), (1, 10), (1_000, 9), (1_001, 9), (9_000, 1), (9_999, 1)])
async def test_retry_after_is_rounded_up_to_whole_seconds(after, retry_after):
    doors = open_doors(purge_rate=1)
    await doors.post("/purge-queue")
    await doors.world.advance(after)
    expect_limited(await doors.post("/purge-queue"), retry_after)


async def test_an_aligned_window_begins_at_a_round_time():
    doors = open_doors(purge_rate=1, rate_window="aligned")
    await doors.world.advance(10_000 - doors.world.clock.now() % 10_000 + 7_500)
    assert (await doors.post("/purge-queue")).status_code == 200
    expect_limited(await doors.post("/purge-queue"), 3)
    await doors.world.advance(2_500)
    assert (await doors.post("/purge-queue")).status_code == 200


async def test_operations_and_endpoints_have_windows_of_their_own():
    doors = open_doors(purge_rate=1)
    settings = doors.endpoint.settings.__class__("other", 0, 3, 5_000, 600_000, 60_000)
    doors.world.emulator.endpoints.add(settings, doors.world.launcher.launch)
    assert (await doors.post("/purge-queue")).status_code == 200
    expect_limited(await doors.post("/purge-queue"), 10)
    assert (await doors.http.post("/v2/other/purge-queue")).status_code == 200
    assert (await doors.get("/requests")).status_code == 200


async def test_all_keys_share_the_windows():
    doors = open_doors(purge_rate=1)
    assert (await doors.post("/purge-queue", headers={"authorization": "one"})).status_code == 200
    expect_limited(await doors.post("/purge-queue", headers={"authorization": "two"}), 10)


@pytest.mark.parametrize("operation", ["retry", "health"])
async def test_some_operations_have_no_limit(operation):
    doors = open_doors(run_rate=1, status_rate=1, cancel_rate=1)
    job = await doors.completed()
    for _ in range(30):
        answer = await (doors.post(f"/retry/{job.id}") if operation == "retry" else doors.get("/health"))
        assert answer.status_code in (200, 400)


async def test_status_sync_counts_as_status_in_every_method():
    doors = open_doors(status_rate=4)
    job = await doors.completed()
    for method, route in (("GET", "status"), ("POST", "status"), ("GET", "status-sync"), ("POST", "status-sync")):
        assert (await doors.http.request(method, f"/v2/ep/{route}/{job.id}")).status_code == 200
    for method, route in (("GET", "status"), ("POST", "status-sync")):
        expect_limited(await doors.http.request(method, f"/v2/ep/{route}/{job.id}"), 10)
    assert (await doors.get(f"/stream/{job.id}")).status_code == 200


async def test_stream_shares_the_pool_when_asked():
    doors = open_doors(status_rate=1, shared_status_pool=True)
    job = await doors.completed()
    assert (await doors.get(f"/status/{job.id}")).status_code == 200
    expect_limited(await doors.post(f"/stream/{job.id}"), 10)


async def test_running_workers_lift_the_limit():
    doors = open_doors(status_rate=1, requests_per_worker=3)
    job_id = await doors.submit()
    await doors.take()
    for _ in range(3):
        assert (await doors.get(f"/status/{job_id}")).status_code == 200
    expect_limited(await doors.get(f"/status/{job_id}"), 10)


async def test_wrong_requests_count_too():
    doors = open_doors(run_rate=2)
    for _ in range(2):
        assert (await doors.post("/run", content=b"not json")).status_code == 400
    expect_limited(await doors.post("/run", content=JOB), 10)


@pytest.mark.parametrize("route", ["runsync", "status-sync", "stream"])
async def test_held_requests_fill_the_concurrency_limit(route):
    doors = open_doors(runsync_concurrency=2, status_concurrency=2, stream_concurrency=2)
    job_id = await doors.submit()
    path = f"/{route}?wait=5000" if route == "runsync" else f"/{route}/{job_id}?wait=5000"
    held = [await doors.hold(doors.post(path, content=JOB), waiters=n) for n in (1, 2)]
    expect_limited(await doors.post(path, content=JOB), 1)
    await doors.world.advance(5_000)
    assert [(await one).status_code for one in held] == [200, 200]
    third = await doors.hold(doors.post(path, content=JOB))
    await doors.world.advance(5_000)
    assert (await third).status_code == 200


async def test_held_status_sync_keeps_status_out():
    doors = open_doors(status_concurrency=1)
    job_id = await doors.submit()
    held = await doors.hold(doors.get(f"/status-sync/{job_id}"))
    expect_limited(await doors.get(f"/status/{job_id}"), 1)
    await doors.complete(await doors.take())
    await held
    assert (await doors.get(f"/status/{job_id}")).status_code == 200


async def test_a_refused_request_does_not_count():
    doors = open_doors(status_concurrency=1, status_rate=3)
    job_id = await doors.submit()
    held = await doors.hold(doors.get(f"/status-sync/{job_id}?wait=1000"))
    for _ in range(5):
        expect_limited(await doors.get(f"/status/{job_id}"), 1)
    await doors.world.advance(1_000)
    await held
    for _ in range(2):
        assert (await doors.get(f"/status/{job_id}")).status_code == 200
    expect_limited(await doors.get(f"/status/{job_id}"), 9)


@pytest.mark.parametrize("endpoint", [None, "ep"])
async def test_a_reset_opens_all_windows_anew(endpoint: str | None):
    doors = open_doors(purge_rate=1)
    for _ in range(2):
        assert (await doors.post("/purge-queue")).status_code == 200
        expect_limited(await doors.post("/purge-queue"), 10)
        await doors.world.emulator.reset(endpoint)


async def test_no_rate_limits_lifts_all_of_them():
    doors = open_doors(
        rate_limits=False, purge_rate=1, stream_concurrency=1, queue_limit_floor=0, queue_limit_per_worker=0
    )
    for _ in range(3):
        assert (await doors.post("/purge-queue")).status_code == 200
    job_id = [await doors.submit() for _ in range(3)][-1]
    for n in (1, 2):
        await doors.hold(doors.get(f"/stream/{job_id}"), waiters=n)
    doors.world.emulator.hang_up()


@pytest.mark.parametrize("route", ["/run", "/runsync"])
@pytest.mark.parametrize(("workers", "limit"), [(0, 50), (1, 50), (3, 60)])
async def test_a_queue_may_be_full(workers, limit, route):
    doors = open_doors(paused_endpoint="queue", workers_max=workers, queue_limit_per_worker=20)
    for _ in range(limit + 1):
        await doors.submit()
    answer = await doors.post(route, content=JOB)
    expect_problem(answer, 429, "Too Many Requests", f"queue is full: more than {limit} jobs wait for this endpoint")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["x-emulator-fidelity"] == "guess; row=error.queue_full"
    (page,) = (await doors.get("/requests?limit=1")).json()["requests"]
    await doors.post(f"/cancel/{page['id']}")
    await doors.submit()


@pytest.mark.parametrize("profile", PROFILES)
async def test_the_queue_rule_has_its_published_numbers(profile):
    platform = open_doors(profile).endpoint.platform
    rule = (platform.queue_limit_rule, platform.queue_limit_floor, platform.queue_limit_per_worker)
    assert rule == (True, 50, 500)


async def test_the_queue_rule_can_be_switched_off():
    doors = open_doors(queue_limit_rule=False, queue_limit_floor=0, queue_limit_per_worker=0)
    assert len({await doors.submit() for _ in range(3)}) == 3


@pytest.mark.parametrize(
    ("after", "header"), [(0, "limit=1, remaining=0, reset=10"), (8_500, "limit=1, remaining=0, reset=2")]
)
async def test_the_ratelimit_header_comes_on_request(after, header):
    doors = open_doors(purge_rate=1, rate_limit_headers=True)
    await doors.post("/purge-queue")
    await doors.world.advance(after)
    answer = await doors.post("/purge-queue")
    assert (answer.status_code, answer.headers["ratelimit"]) == (429, header)
    assert answer.headers["retry-after"] == header.rpartition("=")[2]


async def test_the_ratelimit_header_on_too_many_at_once():
    doors = open_doors(status_concurrency=1, rate_limit_headers=True)
    job_id = await doors.submit()
    held = await doors.hold(doors.get(f"/status-sync/{job_id}?wait=1000"))
    answer = await doors.get(f"/status/{job_id}")
    assert (answer.status_code, answer.headers["ratelimit"]) == (429, "limit=1, remaining=0, reset=1")
    await doors.world.advance(1_000)
    await held
