"""/cancel, /retry, /purge-queue, /health and /requests."""

import re

import pytest

from tests.doors.doors import Doors, expect_bad_request, expect_problem, open_doors
from tests.tables import table


async def brought_to(state: str, doors: Doors) -> str:
    """A job in this state."""
    job_id = await doors.submit()
    if state != "IN_QUEUE":
        job = await doors.take()
        if state == "COMPLETED":
            await doors.complete(job)
        elif state == "FAILED":
            await doors.fail(job)
    return job_id


@table(
    ("verb", "state", "becomes", "evidence"),
    [
        ("cancel", "IN_QUEUE", "CANCELLED", "observed; row=cancel.queued"),
        ("cancel", "IN_PROGRESS", "CANCELLED", "documented; row=cancel.running"),
        ("cancel", "COMPLETED", "COMPLETED", "guess; row=cancel.ended"),
        ("retry", "FAILED", "IN_QUEUE", "documented; row=retry.accepted"),
    ],
)
async def test_cancel_and_retry_answer_id_and_status(verb, state, becomes, evidence):
    doors = open_doors()
    job_id = await brought_to(state, doors)
    answer = await doors.post(f"/{verb}/{job_id}")
    assert (answer.status_code, answer.text) == (200, f'{{"id":"{job_id}","status":"{becomes}"}}')
    assert answer.headers["x-emulator-fidelity"] == evidence
    assert (await doors.get(f"/status/{job_id}")).json()["status"] == becomes


@table(
    ("verb", "state", "fields", "status", "title", "wanted"),
    [
        ("cancel", "COMPLETED", {"cancel_terminal": "reject"}, 400, "Bad Request", "cancellable"),
        ("retry", "IN_PROGRESS", {}, 400, "Bad Request", "retryable"),
        ("retry", "IN_QUEUE", {"retry_wrong_state_status": 409}, 409, "Conflict", "retryable"),
    ],
)
async def test_in_another_state_they_are_refused(verb, state, fields, status, title, wanted):
    doors = open_doors(**fields)
    job_id = await brought_to(state, doors)
    answer = await doors.post(f"/{verb}/{job_id}")
    expect_problem(answer, status, title, f"job is not in a {wanted} state: {state}")


@pytest.mark.parametrize("content", [b"", b"{}"])
async def test_purge_removes_what_waits_and_nothing_else(content):
    doors = open_doors()
    running = await brought_to("IN_PROGRESS", doors)
    waiting = [await doors.submit() for _ in range(2)]
    answer = await doors.post("/purge-queue", content=content)
    assert (answer.status_code, answer.text) == (200, '{"removed":2,"status":"completed"}')
    assert answer.headers["x-emulator-fidelity"] == "observed; row=purge.removed"
    found = [(await doors.get(f"/status/{job_id}")).status_code for job_id in (running, *waiting)]
    assert found == [200, 404, 404]


async def test_health_has_eleven_counters():
    doors = open_doors()
    await brought_to("COMPLETED", doors)
    await doors.submit()
    answer = await doors.get("/health")
    assert answer.headers["x-emulator-fidelity"] == "observed; row=health.counters"
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (
        200,
        "application/json",
        '{"jobs":{"completed":1,"failed":0,"inProgress":0,"inQueue":1,"retried":0},'
        '"workers":{"idle":1,"initializing":1,"ready":1,"running":0,"throttled":0,"unhealthy":0}}',
    )


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


@table(
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
