"""What there is at this moment, and the whole life of one job, as the page asks for them."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed
from runpod_emulator.core.records.news import Line
from runpod_emulator.core.settings import Span, default_settings
from runpod_emulator.http.access import Access
from runpod_emulator.workers.program import Program

from tests.core.steps import turns, world_with
from tests.doors.doors import Doors, open_doors
from tests.tables import table
from tests.worlds import TestWorld

HOOK = "http://127.0.0.1:9/hook"


class Admin(Doors):
    """The admin API of one world."""

    async def ask(self, path: str, **query: Any) -> Any:
        answer = await self.http.get(f"/__emulator{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
async def it() -> AsyncIterator[Admin]:
    admin = Admin(world_with(cold_start=Span(3_000, 3_000)), Access())
    yield admin
    await admin.world.emulator.stop()


async def begun(world: TestWorld, submission: Submission) -> tuple[str, Any]:
    """A job for which a worker came up, in its hands."""
    await world.endpoint.submit(submission)
    await world.advance(3_000)
    worker = world.launcher.started[-1]
    await world.advance(500)
    await world.endpoint.work.worker_ready(worker, 1)
    (job,) = await world.take(worker)
    return worker, job


async def test_the_overview(it: Admin):
    it.world.emulator.endpoints.add_mock(default_settings("llm", it.world.emulator.platform))
    worker, job = await begun(it.world, Submission(b'{"a":1}'))
    second = await it.world.endpoint.submit(Submission(b"{}"))
    now = it.world.emulator.timeline.now()
    told = await it.ask("/overview")
    assert (told["namespace"], told["adminKeyNeeded"]) == ("", False)
    assert told["counts"] == {"jobs": 2, "requests": 0, "webhooks": 0, "stubs": 0, "faults": 0}
    ep, llm = told["endpoints"]
    assert (ep["id"], ep["kind"], ep["queue"]) == ("ep", "remote", {"jobs": 1, "oldestAt": second.submitted_at})
    assert ep["jobs"] == {
        "IN_QUEUE": 1, "IN_PROGRESS": 1, "COMPLETED": 0, "FAILED": 0, "CANCELLED": 0, "TIMED_OUT": 0,
    }  # fmt: skip
    busy, coming = ep["workers"]
    assert busy == {
        "id": worker, "number": 1, "state": "running", "reason": "1 of 1 slots in use", "jobs": [job.id], "since": now,
        "outdated": False, "version": 0,
    }  # fmt: skip
    assert (coming["state"], coming["since"]) == ("initializing", now)
    assert ep["scaler"] == {
        "type": "REQUEST_COUNT", "value": 1, "min": 0, "max": 3, "idleTimeout": 5_000,
        "words": "2 wanted: 1 job waits, 1 runs, 1 per worker; max 3",
    }  # fmt: skip
    assert (llm["kind"], llm["queue"], llm["workers"]) == ("mock", {"jobs": 0, "oldestAt": None}, [])


async def test_the_next_deadlines_come_in_order_and_say_what_they_are(it: Admin):
    worker, job = await begun(it.world, Submission(b"{}"))
    await it.world.endpoint.submit(Submission(b"{}"))
    now = it.world.emulator.timeline.now()
    dues = (await it.ask("/overview"))["clock"]["next"]
    assert [(one["at"] - now, one["what"].split(" of job ")[0]) for one in dues] == [
        (3_000, f"worker {list(it.world.endpoint.fleet.workers)[1]} of endpoint ep comes up"),
        (600_000, "the execution timeout"),
        (86_400_000, "the end of the life (TTL)"),
    ]
    await it.world.endpoint.work.report(job.id, Completed(job.lease, b"1"))
    (second,) = await it.world.take(worker)
    await it.world.endpoint.work.report(second.id, Completed(second.lease, b"1"))
    told = [one["what"] for one in (await it.ask("/overview"))["clock"]["next"]]
    assert f"the end of the idle timeout of worker {worker} of endpoint ep" in told
    assert f"the result of job {job.id} is forgotten" in told


async def test_the_example_of_a_handler_is_there(it: Admin, tmp_path: Path):
    (tmp_path / "test_input.json").write_text('{"input": {"prompt": "hi", "api_key": "abcdefghijklmnop"}}')
    handler = tmp_path / "own.py"
    handler.write_text("def handler(job): return 1\n")
    settings = default_settings("own", it.world.emulator.platform)
    it.world.emulator.endpoints.add_program(settings, Program(str(handler), sys.executable))
    own = (await it.ask("/overview"))["endpoints"][1]
    assert (own["kind"], own["handler"]) == ("handler", str(handler))
    assert own["example"] == {"prompt": "hi", "api_key": "****mnop"}


@table("status, needed", [(True, True), (False, False)])
async def test_it_says_whether_a_key_is_needed(status: bool, needed: bool):
    doors = open_doors(key="adm")
    doors.app.state.admin_access = Access(keys=frozenset({"adm"})) if status else None
    told = (await doors.http.get("/__emulator/overview")).json()
    assert told["adminKeyNeeded"] is needed


# What workers print


@table("query, expected", [
    ({}, ["a", "b", "c", "d"]),
    ({"endpoint": "e*"}, ["a", "b", "c"]),
    ({"worker": "w1"}, ["a", "c"]),
    ({"worker": "2"}, ["b", "d"]),
    ({"job": "j1"}, ["a"]),
    ({"limit": 2}, ["c", "d"]),
    ({"limit": 2, "offset": 1}, ["b", "c"]),
])  # fmt: skip
async def test_lines_by_what_they_are_of(query: dict[str, Any], expected: list[str]):
    admin = Admin(world_with(), Access())
    for line in (
        Line(1, "ep", "w1", "j1", "a", "info", 1), Line(2, "ep", "w2", "j2", "b", "error", 2),
        Line(3, "ep", "w1", "", "c", "info", 1), Line(4, "llm", "w2", "", "d", "info", 2),
    ):  # fmt: skip
        for printed in admin.world.emulator.news.printed:
            printed(line)
    told = await admin.ask("/logs", **query)
    assert [one["text"] for one in told["lines"]] == expected
    assert told["total"] == (4 if query.keys() <= {"limit", "offset"} else len(expected))
    await admin.world.emulator.stop()


# Jobs and requests


async def test_jobs_and_requests_by_what_they_are_about(it: Admin):
    first, second = (
        await it.submit(b'{"input":{"prompt":"caf\\u00e9"}}'),
        await it.submit('{"input":{"p":"café"}}'.encode()),
    )
    await it.world.advance(1_000)
    third = await it.submit(b'{"input":{"p":"tea"}}')

    async def ids(**query: Any) -> list[str]:
        told = await it.ask("/jobs", **query)
        assert told["total"] == len(told["jobs"])
        return [one["id"] for one in told["jobs"]]

    now = it.world.emulator.timeline.now()
    assert await ids(q="café") == [second, first]
    assert await ids(q=third[:8]) == [third]
    assert await ids(q="ep") == [third, second, first]
    assert await ids(q="coffee") == []
    assert await ids(since=now) == [third]
    assert await ids(q="café", since=now) == []
    assert await ids(q="tea", status="COMPLETED") == []
    page = await it.ask("/jobs", q="café", limit=1, offset=1)
    assert ([one["id"] for one in page["jobs"]], page["total"]) == ([first], 2)
    await it.get(f"/status/{second}")
    told = (await it.ask("/requests", job=second))["requests"]
    assert [one["operation"] for one in told] == ["run", "status"]


# A whole life


async def whole(it: Admin) -> str:
    worker, job = await begun(it.world, Submission(b'{"a":1}', webhook=HOOK))
    for printed in it.world.emulator.news.printed:
        printed(Line(it.world.emulator.timeline.now(), "ep", worker, job.id, "key=abcdefghijklmnop", "error", 1))
    await it.world.advance(1_000)
    await it.emit(job, b"1")
    await it.complete(job)
    await turns()
    await it.get(f"/status/{job.id}")
    return str(job.id)


async def test_a_life_as_json(it: Admin):
    job = await whole(it)
    told = await it.ask(f"/jobs/{job}/trace")
    begin = told["job"]["submittedAt"]
    assert [(one["name"], one["began"] - begin, one["ended"] - begin) for one in told["phases"]] == [
        ("queued", 0, 3_500), ("cold start", 0, 3_500), ("running", 3_500, 4_500),
    ]  # fmt: skip
    assert [one["text"] for one in told["lines"]] == ["key=****mnop"]
    assert [one["url"] for one in told["webhooks"]] == [HOOK]
    assert [one["operation"] for one in told["requests"]] == ["status"]
    assert [one["event"] for one in told["job"]["transitions"]] == ["Submitted", "Taken", "Emitted", "Completed"]
    answer = await it.http.get("/__emulator/jobs/nobody/trace")
    assert answer.status_code == 404


async def test_a_look_at_a_job_says_how_its_workers_went_and_what_it_lacks(it: Admin):
    worker, job = await begun(it.world, Submission(b"{}"))
    assert (await it.ask(f"/timeline/{job.id}"))["workers"] == {worker: {"number": 1, "gone": None}}
    await it.world.endpoint.work.worker_gone(worker, reason="it was killed by SIGKILL")
    await it.world.advance(3_500)
    second = it.world.launcher.started[-1]
    await it.world.endpoint.work.worker_ready(second, 1)
    (job,) = await it.world.take(second)
    error = json.dumps({"error_message": "x", "error_traceback": "…\nModuleNotFoundError: No module named 'cv2.aruco'"})
    await it.fail(job, error)
    told = await it.ask(f"/timeline/{job.id}")
    assert told["workers"] == {
        worker: {"number": 1, "gone": "it was killed by SIGKILL"},
        second: {"number": 2, "gone": None},
    }
    assert told["missing"].endswith("has no module cv2.aruco: if it is of a package, pip install opencv-python")


async def test_a_job_that_expired_is_gone_for_clients_and_its_last_record_is_told(it: Admin):
    _, job = await begun(it.world, Submission(b'{"a":1}'))
    await it.fail(job, "why")
    await it.world.advance(2 * 86_400_000)
    found = await it.submit(b'{"input":{"a":1}}')
    assert (await it.ask("/timeline/search", q='"a":1'))["jobs"] == [["ep", found], ["ep", job.id]]
    assert (await it.ask("/timeline/search", q='"a":2'))["jobs"] == []
    assert (await it.http.get(f"/v2/{job.endpoint}/status/{job.id}", headers={"authorization": "k"})).status_code == 404
    for told in (
        await it.ask(f"/timeline/{job.id}"),
        await it.ask(f"/jobs/{job.id}"),
        (await it.ask(f"/jobs/{job.id}/trace"))["job"],
    ):
        assert (told["status"], told["input"], told["error"]) == ("GONE", {"a": 1}, "why")
    again = await it.http.post(f"/__emulator/timeline/{job.id}/again")
    assert again.status_code == 201, again.text
    assert (await it.ask(f"/jobs/{again.json()['id']}"))["input"] == {"a": 1}
    await it.http.post("/__emulator/reset")
    assert (await it.http.get(f"/__emulator/jobs/{job.id}")).status_code == 404


async def test_a_purged_job_leaves_no_record(it: Admin):
    job = await it.world.endpoint.submit(Submission(b'{"a":1}'))
    assert await it.world.endpoint.purge() == 1
    assert "input" not in await it.ask(f"/jobs/{job.id}")


async def test_a_life_as_a_trace_that_perfetto_opens(it: Admin):
    job = await whole(it)
    told = await it.ask(f"/jobs/{job}/trace", format="chrome")
    events = told["traceEvents"]
    named = {(one["name"], one["tid"]): one["args"]["name"] for one in events if one["ph"] == "M"}
    assert named["process_name", 0] == f"job {job} of ep"
    for one in events:
        assert one["pid"] == 1 and isinstance(one["tid"], int) and isinstance(one["args"], dict)
        assert ("thread_name", one["tid"]) in named or one["name"] == "process_name"
        if one["ph"] == "X":
            assert one["ts"] >= 0 and one["dur"] >= 0
        elif one["ph"] == "i":
            assert one["s"] == "t" and one["ts"] >= 0
        else:
            assert one["ph"] == "M"
    spans = [(one["name"], one["ts"], one["dur"]) for one in events if one["ph"] == "X" and one["cat"] == "phase"]
    assert spans == [("queued", 0, 3_500_000), ("cold start", 0, 3_500_000), ("running", 3_500_000, 1_000_000)]
    ticks = [(one["name"], one["cat"]) for one in events if one["ph"] == "i"]
    assert ticks == [
        ("chunks", "transition"), ("Completed", "transition"), ("key=****mnop", "log"), ("attempt 1", "webhook"),
    ]  # fmt: skip
    answer = await it.http.get(f"/__emulator/jobs/{job}/trace", params={"format": "chrome"})
    assert answer.headers["content-disposition"] == f'attachment; filename="{job}.trace.json"'


async def test_requests_that_overlap_are_in_threads_of_their_own():
    from runpod_emulator.doors.admin.chrome import chrome_trace

    def request(number: int, at: int, took: int) -> dict[str, Any]:
        return {"number": number, "at": at, "took": took, "method": "GET", "operation": "status", "status": 200}

    job = {"id": "j", "endpoint": "ep", "transitions": [{"at": 5, "event": "Submitted"}]}
    requests = [request(1, 10, 10), request(2, 12, 8), request(3, 14, 4)]
    told = chrome_trace({"job": job, "phases": [], "lines": [], "webhooks": [], "requests": requests}, 20)
    spans = [(one["tid"], one["ts"], one["dur"]) for one in told["traceEvents"] if one["ph"] == "X"]
    assert spans == [(4, 0, 10_000), (5, 4_000, 8_000), (4, 10_000, 4_000)]
    assert [one["tid"] for one in told["traceEvents"] if one["args"].get("name") == "requests"] == [4, 5]
