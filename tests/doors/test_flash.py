"""The Flash route: a name in headers finds an endpoint, and all the rest is that endpoint's own route."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterator

import httpx
import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.jobs.job import JobStatus
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.core.mocks.stubs import Stub
from runpod_emulator.core.settings import FlashAddress, Span, default_settings
from runpod_emulator.http.access import Access

from tests.doors.doors import JOB, KEY, PROFILES, Doors, expect_bad_request, expect_problem, open_doors
from tests.tables import table
from tests.worlds import RecordingLauncher

EP = {"x-flash-endpoint": "ep"}
MISSING = (
    "bad request: header X-Flash-Endpoint is required: the name of the function's endpoint, beside X-Flash-App and "
    "X-Flash-Environment"
)


@pytest.fixture(autouse=True)
def no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client sends, the log of the server has no traceback."""
    yield
    assert [record.message for record in caplog.get_records("call") if record.exc_info] == []


def flash(doors: Doors, method: str, path: str, headers: dict[str, str] = EP, **more: object) -> object:
    return doors.http.request(method, f"/v2/flash{path}", headers=headers, **more)


def called(app: str, name: str, environment: str = "production") -> dict[str, str]:
    return {"x-flash-app": app, "x-flash-environment": environment, "x-flash-endpoint": name}


def add(doors: Doors, endpoint: str, address: FlashAddress | None = None) -> None:
    emulator = doors.world.emulator
    settings = dataclasses.replace(default_settings(endpoint, emulator.platform), flash=address)
    emulator.endpoints.add(settings, RecordingLauncher().launch)


# Which endpoint


@pytest.mark.parametrize(
    "headers", [EP, called("any", "ep"), called("any", "ep", "default"), {"X-FLASH-ENDPOINT": "ep"}]
)
async def test_an_endpoint_of_this_id_answers_whatever_the_app(headers: dict[str, str]) -> None:
    doors = open_doors()
    answer = await flash(doors, "POST", "/run", headers, content=JOB)
    assert answer.status_code == 200
    assert (await doors.take()).id == answer.json()["id"]


async def test_two_apps_may_have_an_endpoint_of_one_name() -> None:
    doors = open_doors()
    add(doors, "adder", FlashAddress("shop", "production", "adder"))
    add(doors, "lab-adder", FlashAddress("lab", "production", "adder"))
    add(doors, "lab-adder-2", FlashAddress("lab", "staging", "adder"))
    found = [
        ("shop", "production", "adder"), ("lab", "production", "adder"), ("lab", "staging", "adder"),
        ("lab", "default", "lab-adder"), ("lab", "never heard of", "lab-adder"), ("other", "production", "adder"),
    ]  # fmt: skip
    names = ["adder", "lab-adder", "lab-adder-2", "lab-adder", "lab-adder", "adder"]
    for (app, environment, _), name in zip(found, names, strict=True):
        headers = called(app, "adder", environment)
        assert (await flash(doors, "POST", "/run", headers, content=JOB)).status_code == 200
        assert [entry.endpoint for entry in doors.world.emulator.journal][-1] == name


@pytest.mark.parametrize(
    ("headers", "endpoint"),
    [(called("lab", "adder"), "lab-adder"), (called("lab", "lab-adder", "default"), "lab-adder"),
     (called("another", "lab-adder"), "lab-adder"), ({"x-flash-endpoint": "lab-adder"}, "lab-adder"),
     (called("another", "adder"), "adder"), (called("lab", "ep"), "ep")],
)  # fmt: skip
async def test_the_header_holds_a_name_or_an_id(headers: dict[str, str], endpoint: str) -> None:
    doors = open_doors()
    add(doors, "adder", FlashAddress("shop", "production", "adder"))
    add(doors, "lab-adder", FlashAddress("lab", "production", "adder"))
    job = (await flash(doors, "POST", "/run", headers, content=JOB)).json()["id"]
    assert (await doors.http.get(f"/v2/{endpoint}/status/{job}")).status_code == 200
    assert (await flash(doors, "GET", f"/status/{job}", headers)).json()["id"] == job


async def test_an_unknown_name_is_404_and_tells_those_there_are(caplog: pytest.LogCaptureFixture) -> None:
    doors = open_doors()
    add(doors, "greeter")
    detail = "endpoint 'adder' of app 'shop', environment 'default' not found: the endpoints here are ep, greeter"
    with caplog.at_level(logging.WARNING, "runpod_emulator.api"):
        for method, path in (("POST", "/run"), ("POST", "/runsync"), ("GET", "/status/x"), ("POST", "/cancel/x")):
            answer = await flash(doors, method, path, called("shop", "adder", "default"), content=JOB)
            expect_problem(answer, 404, "Not Found", detail)
    assert {record.message for record in caplog.records} == {detail}, "the client hides the answer"


async def test_a_very_long_name_is_told_in_part() -> None:
    answer = await flash(open_doors(), "POST", "/run", {"x-flash-endpoint": "n" * 5_000}, content=JOB)
    assert answer.status_code == 404 and len(answer.content) < 1_000


@pytest.mark.parametrize("path", ["/run", "/runsync"])
@pytest.mark.parametrize("headers", [{}, {"x-flash-app": "shop"}, {"x-flash-endpoint": ""}])
async def test_a_job_that_is_for_nobody_is_400(path: str, headers: dict[str, str]) -> None:
    expect_problem(await flash(open_doors(), "POST", path, headers, content=JOB), 400, "Bad Request", MISSING)


@pytest.mark.parametrize("headers", [{}, EP])
async def test_a_job_is_found_by_its_id(headers: dict[str, str]) -> None:
    doors = open_doors()
    add(doors, "before")
    job = await doors.failed()
    assert (await flash(doors, "GET", f"/status/{job.id}", headers)).json()["status"] == "FAILED"
    assert (await flash(doors, "POST", f"/retry/{job.id}", headers)).json() == {"id": job.id, "status": "IN_QUEUE"}
    assert (await flash(doors, "POST", f"/cancel/{job.id}", headers)).json() == {"id": job.id, "status": "CANCELLED"}
    answer = await flash(doors, "GET", f"/stream/{job.id}", headers)
    assert answer.json() == {"status": "CANCELLED", "stream": []}


@pytest.mark.parametrize("headers", [{}, EP])
async def test_an_unknown_job_is_404(headers: dict[str, str]) -> None:
    doors = open_doors()
    for method, path in (("GET", "/status/x"), ("GET", "/stream/x"), ("POST", "/cancel/x"), ("POST", "/retry/x")):
        expect_problem(await flash(doors, method, path, headers), 404, "Not Found", "job not found")


async def test_a_job_of_another_endpoint_is_not_that_of_the_named_one() -> None:
    doors = open_doors()
    add(doors, "other")
    job = await doors.submit()
    answer = await flash(doors, "GET", f"/status/{job}", {"x-flash-endpoint": "other"})
    expect_problem(answer, 404, "Not Found", "job not found")


async def test_a_job_whose_time_is_over_is_gone_here_too() -> None:
    doors = open_doors()
    job = await doors.completed()
    await doors.world.advance(30 * 60_000)
    expect_problem(await flash(doors, "GET", f"/status/{job.id}", {}), 404, "Not Found", "job not found")


# The endpoint's own route


async def held(doors: Doors, path: str) -> tuple[asyncio.Task[httpx.Response], int]:
    """A call that is held, and the time at which it came."""
    return await doors.hold(flash(doors, "POST", path, content=JOB)), doors.world.emulator.timeline.now()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(("path", "wait"), [("/runsync", 90_000), ("/runsync?wait=1000", 1_000)])
async def test_runsync_holds_as_long_as_the_client_waits(profile, path: str, wait: int) -> None:
    doors = open_doors(profile)
    task, _ = await held(doors, path)
    await doors.world.advance(wait - 1)
    assert not task.done()
    await doors.world.advance(1)
    assert (await task).json()["status"] == "IN_QUEUE"


async def test_runsync_answers_as_the_endpoint_does() -> None:
    doors = open_doors()
    task, _ = await held(doors, "/runsync")
    job = await doors.take()
    await doors.complete(job, b'{"sum":3}')
    answer = await task
    assert (answer.json()["output"], answer.headers["x-emulator-fidelity"]) == (
        {"sum": 3}, (await doors.get(f"/status/{job.id}")).headers["x-emulator-fidelity"].replace("status", "runsync"),
    )  # fmt: skip


async def test_a_body_may_carry_all_that_run_takes() -> None:
    doors = open_doors()
    body = b'{"input":{"a":1},"webhook":"http://h/","policy":{"ttl":20000,"lowPriority":true},"s3Config":{"bucketName":"b"}}'
    job_id = (await flash(doors, "POST", "/run", content=body)).json()["id"]
    job = await doors.world.emulator.store.get("ep", job_id)
    assert (job.webhook, job.low_priority, job.status) == ("http://h/", True, JobStatus.IN_QUEUE)


async def test_no_key_and_wrong_key() -> None:
    answer = await flash(open_doors(key=None), "POST", "/run", {}, content=JOB)
    expect_problem(answer, 401, "Unauthorized", "no token provided")
    doors = open_doors(access=Access(keys=frozenset({KEY})), key="another")
    expect_problem(await flash(doors, "POST", "/run", content=JOB), 401, "Unauthorized", "invalid api key")


async def test_its_calls_count_in_the_endpoints_window() -> None:
    doors = open_doors(run_rate=2)
    assert (await doors.post("/run", content=JOB)).status_code == 200
    assert (await flash(doors, "POST", "/run", content=JOB)).status_code == 200
    assert (await flash(doors, "POST", "/run", content=JOB)).status_code == 429
    assert (await doors.post("/run", content=JOB)).status_code == 429


async def test_the_endpoints_faults_strike_it() -> None:
    doors = open_doors()
    doors.world.emulator.faults.add(Fault("", FaultKind.STATUS, endpoint="ep", status=502))
    assert (await flash(doors, "POST", "/run", content=JOB)).status_code == 502


async def test_a_job_that_is_not_there_yet_by_a_fault() -> None:
    doors = open_doors()
    job = await doors.submit()
    doors.world.emulator.faults.add(Fault("", FaultKind.NOT_FOUND_AFTER_RUN, times=1, delay=Span(1_000, 1_000)))
    statuses = [(await flash(doors, "GET", f"/status/{job}", {})).status_code for _ in range(2)]
    assert statuses == [404, 200]


async def test_the_journal_has_it_as_the_endpoints_own() -> None:
    doors = open_doors()
    job = (await flash(doors, "POST", "/run", content=JOB)).json()["id"]
    await flash(doors, "GET", f"/status/{job}", {})
    await flash(doors, "POST", "/run", {}, content=JOB)
    entries = [(one.endpoint, one.operation, one.path, one.status, one.job) for one in doors.world.emulator.journal]
    assert entries == [
        ("ep", "run", "/v2/flash/run", 200, job),
        ("ep", "status", f"/v2/flash/status/{job}", 200, job),
        ("flash", "run", "/v2/flash/run", 400, ""),
    ]
    assert doors.world.emulator.journal.find(lambda one: one.endpoint == "ep")[0].json == {"input": {"a": 1}}


# No endpoint is called flash


def test_the_id_flash_is_taken() -> None:
    emulator = open_doors().world.emulator
    with pytest.raises(ConfigurationError, match="no endpoint may be called flash"):
        emulator.endpoints.add_mock_now("flash")
    with pytest.raises(ConfigurationError, match="no endpoint may be called flash"):
        emulator.stub(Stub("", (), endpoint="flash"))
    assert not list(emulator.stubs) and "flash" not in emulator.endpoints


async def test_ids_that_begin_like_it_are_free() -> None:
    doors = open_doors()
    for endpoint in ("flash-adder", "flashy", "Flash"):
        add(doors, endpoint)
        assert (await doors.http.post(f"/v2/{endpoint}/run", content=JOB)).status_code == 200


# Bad input


@table(
    ("method", "path", "allowed"),
    [
        ("GET", "/run", "POST"), ("PUT", "/runsync", "POST"), ("PUT", "/status/x", "GET, POST"),
        ("DELETE", "/stream/x", "GET, POST"), ("GET", "/cancel/x", "POST"), ("PATCH", "/retry/x", "POST"),
    ],
)  # fmt: skip
@table("headers", [{}, EP])
async def test_a_wrong_method_is_405(method: str, path: str, allowed: str, headers: dict[str, str]) -> None:
    answer = await flash(open_doors(), method, path, headers)
    expect_problem(answer, 405, "Method Not Allowed", "method not allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(("path", "limit"), [("/run", "run_body_limit"), ("/runsync", "runsync_body_limit")])
async def test_a_body_that_is_too_large_is_400(path: str, limit: str) -> None:
    doors = open_doors(**{limit: 1_000})
    answer = await flash(doors, "POST", path, content=b'{"input":{"a":"' + b"x" * 1_000 + b'"}}')
    expect_bad_request(answer, "body: exceeded max body size of 1000 bytes")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "invalid json: Input data was truncated"), (b"{", "invalid json: Input data was truncated"),
        (b"[]", "must be a json object"), (b"\xff", "invalid json: not UTF-8"), (b"{}", "input is required"),
        (b'{"input":[1]}', "input must be an object"),
    ],
)  # fmt: skip
async def test_a_body_that_is_no_job_is_400(content: bytes, reason: str) -> None:
    for path in ("/run", "/runsync"):
        expect_bad_request(await flash(open_doors(), "POST", path, content=content), f"body: {reason}")


async def test_headers_that_are_no_text() -> None:
    headers = {"x-flash-endpoint": b"\xff\xfe", "x-flash-app": b"\xe9"}
    answer = await flash(open_doors(), "POST", "/run", headers, content=JOB)
    assert (answer.status_code, answer.json()["title"]) == (404, "Not Found")
