"""A world as one document: GET and POST /__emulator/state, over ASGI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.jobs.job import Completed
from runpod_emulator.doors.admin import bodies, listings
from runpod_emulator.doors.admin.app import admin_app
from runpod_emulator.doors.snapshots import replace_by

from tests.doors.admin.test_admin_api import Admin
from tests.doors.admin.test_feed import Reader
from tests.doors.doors import Doors, open_doors
from tests.world.servers import Servers

KEY = "rpa_ABCDEFGHIJKLMNOPQRSTUVWXYZ123456"


@pytest.fixture
async def admin() -> AsyncIterator[Admin]:
    it = Admin()
    yield it
    await it.worlds.stop()


async def state(http: httpx.AsyncClient, **headers: str) -> bytes:
    answer = await http.get("/__emulator/state", headers=headers)
    assert answer.status_code == 200
    return answer.content


async def mocked(admin: Admin) -> tuple[str, str]:
    """A world with stubs, a fault and jobs; the ids of one that waits and one that has ended."""
    stubs = [
        {"id": "slow", "priority": 1, "match": {"input": {"slow": True}}, "respond": {"queue_delay": "1h", "output": 1}
        },
        {"id": "fast", "times": 5, "respond": [{"output": "{{ input.n }}", "delay": "1s-3s"}, {"error": "no"}]},
        {"endpoint": "other", "match": {"input_regex": {"p": "^a"}}, "respond": {"stream": ["a", {"chunk": "b"}]}},
    ]  # fmt: skip
    await admin.ask("POST", "/stubs", 201, json=stubs)
    fault = {"id": "busy", "fault": "status", "status": 429, "operations": ["status"], "calls": [9], "ttl": "1h"}
    await admin.ask("POST", "/faults", 201, json=fault)
    waits, ended = await admin.run({"input": {"slow": True}}), await admin.run({"input": {"n": 1}})
    await admin.ask("POST", "/clock/advance", json={"by": "5s"})
    return waits, ended


async def everything(admin: Admin) -> dict[str, Any]:
    """All that the admin API tells of a world but for its requests."""
    paths = ("/jobs", "/stubs", "/faults", "/timeline", "/webhooks", "/clock", "/endpoints")
    return {path: await admin.ask("GET", path) for path in paths}


async def test_what_was_downloaded_brings_another_server_to_where_it_was(admin: Admin) -> None:
    waits, ended = await mocked(admin)
    document, before = await state(admin.http), await everything(admin)
    other = Admin()
    try:
        brought = await other.ask("POST", "/state", content=document)
        assert brought == {"jobs": 2, "lost": 0, "unserved": {}}
        assert await everything(other) == before
        for server in (admin, other):
            await server.ask("POST", "/clock/advance", json={"by": "1h"})
        assert (await other.ask("GET", f"/jobs/{waits}"))["output"] == 1
        assert (await other.ask("GET", f"/jobs/{ended}"))["status"] == "GONE"  # as its retention is over
        assert await other.ask("GET", "/faults") == []
    finally:
        await other.worlds.stop()


async def test_it_is_a_file_for_whoever_downloads_it(admin: Admin) -> None:
    answer = await admin.http.get("/__emulator/state")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-disposition"] == 'attachment; filename="runpod-emulator-state.json"'
    assert answer.json()["format"] == "runpod-emulator state"


async def test_a_world_goes_back_and_forgets_what_came_since(admin: Admin) -> None:
    waits, _ = await mocked(admin)
    document, before = await state(admin.http), await everything(admin)
    await admin.ask("POST", "/stubs", 201, json={"id": "new", "endpoint": "third", "respond": {"output": 1}})
    since = await admin.run({"input": {"n": 2}})
    await admin.ask("POST", "/clock/advance", json={"by": "2h"})
    await admin.ask("POST", "/state", content=document)
    assert await everything(admin) == before
    assert (await admin.ask("GET", f"/jobs/{waits}"))["status"] == "IN_QUEUE"
    assert since not in {await admin.run({"input": {"n": 3}}) for _ in range(3)}
    await admin.ask("GET", f"/jobs/{since}", 404)


async def test_secrets_are_not_in_it(admin: Admin) -> None:
    await admin.run({"input": {"api_key": KEY}, "webhook": f"http://h.test/?token={KEY}"}, key=KEY)
    await admin.ask("POST", "/stubs", 201, json={"respond": {"output": {"password": KEY}}})
    assert KEY.encode() not in await state(admin.http)


WRONG: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "it is no JSON"),
    "cut off": (b'{"format":"runpod-emulator state","version":2,"wor', "it is no JSON"),
    "something else": (b"{}", "it is no state of runpod-emulator"),
    "of the future": (b'{"format":"runpod-emulator state","version":3}', "reads version 2 only"),
    "not whole": (b'{"format":"runpod-emulator state","version":2,"worlds":[{}]}', "does not fit together"),
    "two of other names": (b"", "there are 2 worlds in it, and none is of this namespace"),
    "wrong counts": (b"", "what a has counted is no list of its counts"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_no_snapshot_is_refused_and_changes_nothing(admin: Admin, name: str) -> None:
    await mocked(admin)
    data, reason = WRONG[name]
    document = json.loads(await state(admin.http))
    if name == "two of other names":
        document["worlds"] = [{**document["worlds"][0], "namespace": one} for one in ("a", "b")]
        data = json.dumps(document).encode()
    elif name == "wrong counts":
        wrong = {"id": "a", "stub": {"respond": {"output": 1}}, "place": "", "counted": [1], "ofStart": False}
        document["worlds"][0]["stubs"].append(wrong)
        data = json.dumps(document).encode()
    before = await everything(admin)
    refusal = await admin.ask("POST", "/state", 400, content=data)
    assert reason in refusal["detail"]
    assert await everything(admin) == before


async def test_a_stub_that_cannot_be_read_any_more_is_left_out(admin: Admin, caplog: pytest.LogCaptureFixture) -> None:
    document = json.loads(await state(admin.http))
    stub = {"id": "a", "stub": {"respondd": 1}, "place": "", "counted": [0, 0, 0, 0, [], False, ""], "ofStart": False}
    fault = {"id": "b", "fault": {"fault": "nope"}, "expiresAt": None, "counted": [0, 0, False], "ofStart": False}
    document["worlds"][0].update(stubs=[stub], faults=[fault])
    await admin.ask("POST", "/state", json=document)
    assert await admin.ask("GET", "/stubs") == await admin.ask("GET", "/faults") == []
    texts = [record.getMessage() for record in caplog.records]
    assert any(text.startswith("stub a of the snapshot is left out: respondd: no such key") for text in texts)
    assert any(text.startswith("fault b of the snapshot is left out: ") for text in texts)


async def test_each_namespace_has_its_own_and_of_several_its_own_is_meant(admin: Admin) -> None:
    job = await admin.run({"input": {"n": 1}}, **{"x-emulator-namespace": "w2"})
    name = {"x-emulator-namespace": "w2"}
    both = json.loads(await state(admin.http))
    own = json.loads(await state(admin.http, **name))["worlds"][0]
    both["worlds"].append({**own, "namespace": "w2"})
    third = {"x-emulator-namespace": "w3"}
    assert (await admin.ask("POST", "/state", json=both))["jobs"] == 0
    assert (await admin.ask("POST", "/state", json=both, headers=name))["jobs"] == 1
    assert (await admin.ask("GET", f"/jobs/{job}", headers=name))["id"] == job
    await admin.ask("GET", f"/jobs/{job}", 404)
    await admin.ask("POST", "/state", 400, json=both, headers=third)


async def test_endpoints_that_nobody_serves_are_told_and_kept(admin: Admin) -> None:
    await admin.ask("POST", "/endpoints", 201, json={"id": "mine"})
    answer = await admin.http.post("/v2/mine/run", json={"input": {"a": 1}}, headers={"authorization": "k"})
    document = await state(admin.http)
    await admin.ask("DELETE", "/endpoints/mine", 204)
    told = await admin.ask("POST", "/state", content=document)
    assert told == {"jobs": 0, "lost": 0, "unserved": {"mine": 1}}
    assert answer.json()["id"].encode() in await state(admin.http)
    assert (await admin.ask("GET", "/timeline"))["jobs"] == []


# Who is told


@pytest.fixture
async def doors() -> AsyncIterator[Doors]:
    it = open_doors()
    yield it
    await it.world.emulator.stop()


async def test_who_waits_for_a_job_is_told_and_workers_are_stopped(doors: Doors) -> None:
    document = await state(doors.http)
    worker, job = await doors.world.running(Submission(b'{"a":1}'))
    waiting = await doors.hold(doors.get(f"/status-sync/{job.id}?wait=60000"))
    answer = await doors.http.post("/__emulator/state", content=document)
    assert answer.json() == {"jobs": 0, "lost": 0, "unserved": {}}
    assert (await waiting).status_code == 404
    assert doors.world.launcher.stopped_jobs == [(worker, job.id, job.lease)]
    assert not await doors.endpoint.work.report(job.id, Completed(job.lease, b"1"))


async def test_a_running_job_of_the_snapshot_waits_again_and_its_old_worker_cannot_end_it(doors: Doors) -> None:
    _, job = await doors.world.running(Submission(b'{"a":1}'))
    document = await state(doors.http)
    told = (await doors.http.post("/__emulator/state", content=document)).json()
    assert told == {"jobs": 1, "lost": 1, "unserved": {}}
    found = await doors.endpoint.status(job.id)
    assert (found.status.value, found.retries) == ("IN_QUEUE", 1)
    assert not await doors.endpoint.work.report(job.id, Completed(job.lease, b"1"))


async def test_a_reader_of_news_knows_that_it_has_missed_jobs(doors: Doors) -> None:
    await doors.submit()
    document = await state(doors.http)
    reader = Reader(doors.world.emulator, "transition", "reset")
    with reader.feed.reading():
        await doors.http.post("/__emulator/state", content=document)
        events = await reader.piece()
        while events[-1].kind != "left-out":
            events += await reader.piece()
    assert {one.kind for one in events} == {"reset", "left-out"}
    assert events[-1].data == {"count": 1, "kinds": {"transition": 1}}


async def test_the_page_finds_the_jobs_that_came_back(doors: Doors) -> None:
    job = await doors.completed()
    before = (await doors.http.get("/__emulator/timeline")).json()["jobs"]
    document = await state(doors.http)
    await doors.http.post("/__emulator/reset")
    assert (await doors.http.get("/__emulator/timeline")).json()["jobs"] == []
    await doors.http.post("/__emulator/state", content=document)
    told = (await doors.http.get("/__emulator/timeline")).json()["jobs"]
    assert (told, told[0]["id"]) == (before, job.id)
    assert (await doors.http.get(f"/__emulator/timeline/{job.id}")).json()["output"] == "done"


# Its size


async def test_a_large_one_is_taken_and_a_larger_one_is_not(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_LONGEST", 1_000)
    monkeypatch.setattr(bodies, "_MOST_VALUES", 10)
    for _ in range(20):
        await doors.submit()
    document = await state(doors.http)
    assert len(document) > 1_000
    assert (await doors.http.post("/__emulator/state", content=document)).json()["jobs"] == 20
    monkeypatch.setattr(bodies, "_LONGEST_SNAPSHOT", len(document) - 1)
    assert (await doors.http.post("/__emulator/state", content=document)).status_code == 400
    assert (await doors.http.post("/__emulator/stubs", content=document)).status_code == 400


async def test_others_are_answered_while_many_jobs_are_written(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "_LONGEST", 0)
    for _ in range(1_400):
        await doors.endpoint.submit(Submission(b'{"a":1}'))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(others())
    assert len(json.loads(await state(doors.http))["worlds"][0]["jobs"]) == 1_400
    beside.cancel()
    assert turns > 50


def test_both_are_described() -> None:
    nothing = SimpleNamespace(worlds=None, serve=None, worker_key=None, admin_access=None)
    described = admin_app(nothing).openapi()["paths"]["/state"]
    assert described["post"]["requestBody"]["content"]["application/json"]["schema"]["type"] == "object"
    assert list(described["get"]["responses"]["200"]["content"]) == ["application/json"]


async def test_only_the_snapshot_may_be_large(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_LONGEST", 10)
    for method, path in (("DELETE", "/stubs/state"), ("POST", "/faults/profiles/state"), ("POST", "/reset")):
        answer = await doors.http.request(method, f"/__emulator{path}", content=b'"' + b"x" * 20 + b'"')
        assert (answer.status_code, "max body size of 10 bytes" in answer.json()["detail"]) == (400, True), answer.text


async def test_a_store_that_others_share_is_not_emptied_for_a_snapshot_that_is_refused(admin: Admin) -> None:
    await mocked(admin)
    snapshot = await state(admin.http)
    servers = Servers(0)
    world = await servers.start("a")
    job = await world.endpoint.submit(Submission(b"{}"))
    with pytest.raises(ConfigurationError, match="a shared store keeps its jobs itself"):
        await replace_by(world.emulator, snapshot)
    assert (await world.endpoint.status(job.id)).id == job.id
    await world.emulator.stop()
