"""The batch API over HTTP: drafts, what may be done with them, and what their requests become."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from runpod_emulator.core.mocks.script import Ending, Script
from runpod_emulator.core.mocks.stubs import Stub
from runpod_emulator.core.settings import default_settings
from runpod_emulator.world.saving import taken

from tests.doors.doors import Doors, open_doors
from tests.tables import table

START = 1_700_000_000_000
ONE = [{"input": {"n": 1}}]

pytestmark = pytest.mark.one_step


def mock(doors: Doors, **settings: Any) -> None:
    """An endpoint `m`, whose jobs stubs answer."""
    emulator = doors.world.emulator
    emulator.endpoints.add_mock(default_settings("m", emulator.platform, **settings)).workforce.begin()


async def create(doors: Doors, requests: list[Any] | None = None, endpoint: str = "ep") -> str:
    answer = await doors.http.post(f"/v2/{endpoint}/batch", json=[] if requests is None else requests)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "DRAFT"
    return str(answer.json()["id"])


async def page(doors: Doors, batch: str, query: str = "", endpoint: str = "ep") -> Any:
    return (await doors.http.get(f"/v2/{endpoint}/batch/{batch}/requests{query}")).json()


async def take(doors: Doors) -> Any:
    """A worker from elsewhere takes the next request of a batch."""
    return (await doors.http.get("/v2/ep~batch/job-take/w1?job_in_progress=0")).json()


async def done(doors: Doors, job: Any, body: Any) -> None:
    answer = await doors.http.post(f"/v2/ep~batch/job-done/w1/{job['id']}", content=json.dumps(body))
    assert answer.status_code == 200


async def test_a_batch_from_draft_to_its_last_request() -> None:
    doors = open_doors()
    batch = await create(doors)
    added = await doors.post(f"/batch/{batch}/requests", json={"requests": [{"input": {"n": n}} for n in range(4)]})
    assert added.json()["requestTotal"] == 4
    first = (await page(doors, batch))["requests"][0]
    assert first == {"id": first["id"], "status": "IN_QUEUE"}
    removed = await doors.http.delete(f"/v2/ep/batch/{batch}/requests/{first['id']}")
    assert removed.json()["requestTotal"] == 3
    named = await doors.http.put(f"/v2/ep/batch/{batch}", json={"name": "nightly"})
    assert list(named.json().items()) == [
        ("id", batch), ("endpointId", "ep"), ("name", "nightly"), ("status", "DRAFT"), ("requestTotal", 3),
        ("requestInProgress", 0), ("requestCompleted", 0), ("requestFailed", 0), ("createdAt", START),
    ]  # fmt: skip
    assert (await doors.post(f"/batch/{batch}/finalize")).json() == {"id": batch, "status": "FINALIZED"}

    job = await take(doors)
    assert job == {"id": job["id"], "input": {"n": 1}, "batchId": batch}
    await done(doors, job, {"output": {"ok": True}})
    broken = await take(doors)
    await done(doors, broken, {"error": "no luck"})
    running = await take(doors)
    body = (await doors.get(f"/batch/{batch}")).json()
    assert [body[f"request{name}"] for name in ("Total", "InProgress", "Completed", "Failed")] == [3, 1, 1, 1]
    assert body["status"] == "FINALIZED"
    now = "2023-11-14T22:13:20Z"
    assert await page(doors, batch) == {
        "requests": [
            {"id": broken["id"], "status": "FAILED", "error": "no luck", "startedAt": now, "completedAt": now},
            {"id": running["id"], "status": "IN_PROGRESS", "startedAt": now},
            {"id": job["id"], "status": "COMPLETED", "output": {"ok": True}, "startedAt": now, "completedAt": now},
        ],
        "total": 3, "offset": 0, "limit": 50, "hasMore": False,
    }  # fmt: skip
    second = await page(doors, batch, "?offset=1&limit=1")
    assert ([one["id"] for one in second["requests"]], second["hasMore"]) == ([running["id"]], True)


async def test_batches_are_listed_newest_first() -> None:
    doors = open_doors()
    ids = [await create(doors) for _ in range(3)]
    assert [one["id"] for one in (await doors.get("/batch")).json()["batches"]] == ids[::-1]


async def test_batches_and_other_jobs_are_apart() -> None:
    doors = open_doors()
    batch = await create(doors, ONE)
    await doors.post(f"/batch/{batch}/finalize")
    (request,) = (await page(doors, batch))["requests"]
    assert (await doors.get("/health")).json()["jobs"]["inQueue"] == 0
    assert (await doors.get(f"/status/{request['id']}")).status_code == 404
    for verb in ("health", "run", "purge-queue"):
        answer = await doors.http.request("GET" if verb == "health" else "POST", f"/v2/ep~batch/{verb}", json=ONE[0])
        assert (answer.status_code, answer.json()["detail"]) == (404, "endpoint not found")
    await doors.post("/purge-queue")
    assert (await page(doors, batch))["requests"][0]["status"] == "IN_QUEUE"


async def test_a_cancelled_batch_lets_what_runs_end() -> None:
    doors = open_doors()
    batch = await create(doors, ONE * 3)
    await doors.post(f"/batch/{batch}/finalize")
    job = await take(doors)
    assert (await doors.post(f"/batch/{batch}/cancel")).json() == {"id": batch, "status": "FINALIZED"}
    assert [one["status"] for one in (await page(doors, batch))["requests"]] == ["IN_PROGRESS", *["CANCELLED"] * 2]
    await done(doors, job, {"output": 1})
    body = (await doors.get(f"/batch/{batch}")).json()
    assert (body["status"], body["requestCompleted"], body["requestFailed"]) == ("CANCELLED", 1, 0)
    draft = await create(doors, ONE)
    assert (await doors.post(f"/batch/{draft}/cancel")).json() == {"id": draft, "status": "CANCELLED"}
    assert (await page(doors, draft))["requests"][0]["status"] == "CANCELLED"


async def test_a_lost_workers_request_is_tried_again_and_counted_once() -> None:
    doors = open_doors()
    batch = await create(doors, ONE)
    await doors.post(f"/batch/{batch}/finalize")
    await take(doors)
    for completed, failed, waits in ((0, 0, "IN_QUEUE"), (0, 1, "FAILED")):
        await doors.world.advance(40_000)
        body = (await doors.get(f"/batch/{batch}")).json()
        assert (body["requestCompleted"], body["requestFailed"], body["requestInProgress"]) == (completed, failed, 0)
        assert (await page(doors, batch))["requests"][0]["status"] == waits
        if waits == "IN_QUEUE":
            again = await doors.http.get("/v2/ep~batch/job-take/w2?job_in_progress=0")
            assert again.status_code == 200


async def test_a_request_whose_time_is_over_counts_as_failed_and_results_stay() -> None:
    doors = open_doors(job_ttl=3_600_000)
    batch = await create(doors, ONE * 2)
    await doors.post(f"/batch/{batch}/finalize")
    await done(doors, await take(doors), {"output": 1})
    await doors.world.advance(3_600_000)
    requests = (await page(doors, batch))["requests"]
    assert [(one["status"], one.get("output")) for one in requests] == [("FAILED", None), ("COMPLETED", 1)]
    assert requests[0]["error"] == "the request was deleted before it ended: its time to live was over"


async def test_five_thousand_requests_finish_with_stubs() -> None:
    doors = open_doors()
    mock(doors)
    doors.world.emulator.stub(Stub("s", (Script(Ending.OUTPUT, output=lambda scene: b"7"),), endpoint="m"))
    batch = await create(doors, ONE * 5_000, endpoint="m")
    assert (await doors.http.post(f"/v2/m/batch/{batch}/finalize")).status_code == 200
    await doors.world.emulator.run_until_idle(3_600_000)
    body = (await doors.http.get(f"/v2/m/batch/{batch}")).json()
    assert (body["requestCompleted"], body["requestFailed"], body["requestTotal"]) == (5_000, 0, 5_000)
    assert (await page(doors, batch, "?limit=1", "m"))["requests"][0]["output"] == 7
    assert len(doors.world.emulator.endpoints.queues["m~batch"].fleet.workers) <= 3


async def test_a_reset_forgets_batches() -> None:
    doors = open_doors()
    for endpoint in (None, "ep"):
        batch = await create(doors, ONE)
        await doors.post(f"/batch/{batch}/finalize")
        await doors.world.emulator.reset(endpoint)
        assert (await doors.get("/batch")).json() == {"batches": []}
        assert list(doors.world.emulator.endpoints.queues) == ["ep"]


DRAFT, RUNS, ENDED = "draft", "runs", "ended"
REFUSED = {
    "not an array": (DRAFT, "POST", "", b'{"requests":[]}', 400, "bad request: body: the body must be a json array"),
    "no JSON": (DRAFT, "POST", "", b"[", 400, "bad request: body: invalid json"),
    "nothing": (DRAFT, "POST", "", b"", 400, "bad request: body: invalid json"),
    "null": (DRAFT, "POST", "", b"null", 400, "bad request: body: the body must be a json array"),
    "no input": (DRAFT, "POST", "", b'[{"input":{}},{}]', 400, "bad request: body: request 1: input is required"),
    "odd input": (DRAFT, "POST", "", b'[{"input":3}]', 400, "bad request: body: request 0: input must be an object"),
    "odd element": (DRAFT, "POST", "", b"[3]", 400, "bad request: body: request 0: must be a json object"),
    "too many": (
        DRAFT,
        "POST",
        "",
        b'[{"input":{}},{"input":{}},{"input":{}}]',
        400,
        "a batch holds 2 requests at most",
    ),
    "one too many": (DRAFT, "POST", "/requests", b'{"requests":[{"input":{}},{"input":{}}]}', 400, "a batch holds 2"),
    "too large": (DRAFT, "POST", "", b" " * 201, 400, "bad request: body: exceeded max body size of 200 bytes"),
    "no requests": (DRAFT, "POST", "/requests", b"{}", 400, "bad request: body: requests is required"),
    "an array of them": (DRAFT, "POST", "/requests", b"[]", 400, "bad request: body: must be a json object"),
    "odd requests": (DRAFT, "POST", "/requests", b'{"requests":{}}', 400, "bad request: body: requests must be a json"),
    "adding late": (RUNS, "POST", "/requests", b'{"requests":[]}', 400, "batch can be changed, and finalized, only"),
    "removing late": (RUNS, "DELETE", "/requests/r", b"", 400, "batch can be changed, and finalized, only"),
    "finalized twice": (RUNS, "POST", "/finalize", b"", 400, "batch can be changed, and finalized, only"),
    "unknown request": (DRAFT, "DELETE", "/requests/r", b"", 404, "batch request not found"),
    "unknown batch": (DRAFT, "GET", "x", b"", 404, "batch not found"),
    "no name": (DRAFT, "PUT", "", b"{}", 400, "bad request: body: name is required"),
    "odd name": (DRAFT, "PUT", "", b'{"name":7}', 400, "bad request: body: name is required, and must be a string"),
    "long name": (DRAFT, "PUT", "", b'{"name":"%s"}' % (b"x" * 257), 400, "bad request: body: "),
    "odd page": (DRAFT, "GET", "/requests?limit=0", b"", 400, "bad request: limit must be a whole number"),
    "cancelled twice": (ENDED, "POST", "/cancel", b"", 400, "batch is not in a cancellable state: CANCELLED"),
    "too many active": (RUNS, "POST", "", b"other", 400, "1 batches of this endpoint are active"),
}


async def refused(doors: Doors, state: str, method: str, path: str, body: bytes) -> httpx.Response:
    batch = await create(doors, ONE)
    if state != DRAFT:
        await doors.post(f"/batch/{batch}/{'finalize' if state == RUNS else 'cancel'}")
    if body == b"other":
        path, body = f"/{await create(doors, ONE)}/finalize", b""
    elif path or method == "PUT":
        path = f"/{batch}{path}"
    return await doors.http.request(method, f"/v2/ep/batch{path}", content=body)


@table("name", REFUSED)
async def test_each_wrong_call_says_what_is_wrong(name: str) -> None:
    state, method, path, body, status, detail = REFUSED[name]
    doors = open_doors(batch_requests_limit=2, batch_active_limit=1, batch_body_limit=300 if "long" in name else 200)
    answer = await refused(doors, state, method, path, body)
    assert (answer.status_code, answer.json()["status"]) == (status, status), answer.text
    assert answer.json()["detail"].startswith(detail), answer.text


async def test_no_more_may_wait_than_the_endpoint_admits() -> None:
    doors = open_doors(batch_queue_limit=3)
    first, second = await create(doors, ONE * 2), await create(doors, ONE * 2)
    assert (await doors.post(f"/batch/{first}/finalize")).status_code == 200
    full = await doors.post(f"/batch/{second}/finalize")
    assert (full.status_code, full.json()["detail"]) == (
        400, "2 requests of batches wait for this endpoint, and 3 may: 2 more are too many"
    )  # fmt: skip
    await take(doors)
    assert (await doors.post(f"/batch/{second}/finalize")).status_code == 200


@table(("workers", "status"), [(None, 200), (0, 409)])
async def test_batches_have_workers_of_their_own(workers: int | None, status: int) -> None:
    doors = open_doors()
    mock(doors, batch_workers_max=workers)
    batch = await create(doors, ONE, endpoint="m")
    assert (await doors.http.post(f"/v2/m/batch/{batch}/finalize")).status_code == status
    queue = doors.world.emulator.endpoints.queues["m~batch"]
    assert (queue.settings.workers_max, len(doors.world.emulator.endpoints.queues["m"].fleet.workers)) == (
        3 if workers is None else workers, 0
    )  # fmt: skip


async def test_a_snapshot_has_no_jobs_of_batches() -> None:
    doors = open_doors()
    await doors.submit()
    batch = await create(doors, ONE)
    await doors.post(f"/batch/{batch}/finalize")
    assert taken(doors.world.emulator).snapshot().jobs == 1
