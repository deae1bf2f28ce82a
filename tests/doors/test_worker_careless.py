"""The worker protocol as careless, foreign and broken workers speak it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runpod_emulator.core.jobs.job import JobStatus
from runpod_emulator.core.platform import Profile
from runpod_emulator.http.access import Access
from runpod_emulator.http.call import FIDELITY

from tests.doors.doors import JOB, PROFILES, body, expect_bad_request, expect_problem, live, open_doors
from tests.doors.worker_calls import PING, WORKER_CALLS, done_path, holding, is_ok, post, status, stream_path
from tests.tables import table

# What careless workers send


@table(
    "path",
    [
        "/job-take/w1&job_in_progress=0",
        "/job-take/w1&gpu=CPU&job_in_progress=0",
        "/job-take/w1",
        "/job-take/w1?",
        "/job-take/w1/",
        "//job-take//w1",
        "/job-take-batch/w1&batch_size=3&job_in_progress=0",
    ],
)
async def test_parameters_may_be_glued_to_the_path(path: str) -> None:
    doors = open_doors()
    job = await doors.submit()
    answer = await doors.get(path)
    assert job in answer.text
    assert set(doors.endpoint.fleet.workers) - set(doors.world.launcher.started) == {"w1"}


async def test_glued_parameters_count() -> None:
    doors = open_doors()
    for _ in range(3):
        await doors.submit()
    assert len((await doors.get("/job-take-batch/w1&batch_size=3&job_in_progress=0")).json()) == 3
    await doors.hold(doors.get("/job-take/w1&job_in_progress=0"))
    assert doors.endpoint.fleet.workers["w1"].jobs == set()


async def test_a_worker_may_be_called_like_an_unset_variable() -> None:
    doors = open_doors()
    await doors.submit()
    assert (await doors.get("/job-take/$RUNPOD_POD_ID&job_in_progress=0")).status_code == 200
    assert "$RUNPOD_POD_ID" in doors.endpoint.fleet.workers


@table("kind", ["job-done", "job-stream"])
@table("glued", ["", "&isStream=false", "?gpu=CPU"])
async def test_the_job_may_be_named_by_a_header(kind: str, glued: str) -> None:
    doors = open_doors()
    job = await holding(doors)
    assert is_ok(await post(doors, f"/{kind}/w1{glued}", b'{"output":"x"}', **{"x-request-id": job}))
    shown = (await doors.get(f"/stream/{job}")).json()
    assert shown == (
        {"status": "COMPLETED", "stream": []}
        if kind == "job-done"
        else {"status": "IN_PROGRESS", "stream": [{"output": "x"}]}
    )


async def test_the_path_counts_more_than_a_stale_header() -> None:
    doors = open_doors()
    stale = await holding(doors)
    job = await doors.submit()
    await doors.get("/job-take/w1?job_in_progress=1")
    assert is_ok(await post(doors, f"/job-done/w1/{job}&isStream=false", b'{"output":1}', **{"x-request-id": stale}))
    assert (await status(doors, job))["status"] == "COMPLETED"
    assert (await status(doors, stale))["status"] == "IN_PROGRESS"


@table("content_type", ["application/x-www-form-urlencoded", "application/json", "text/plain", ""])
async def test_a_report_is_json_whatever_its_content_type(content_type: str) -> None:
    doors = open_doors()
    job = await holding(doors)
    assert is_ok(await doors.post(done_path(job), content=b'{"output":1}', headers={"content-type": content_type}))
    assert (await status(doors, job))["output"] == 1


@table("path", ["/ping/w1", "/ping/w1&job_id=a", "/ping/w1/", "/ping/w1/rest/of/it?job_id="])
async def test_a_ping_may_be_careless(path: str) -> None:
    assert is_ok(await open_doors().get(path))


# Keys


@table("key", [None, "rpa_KEY", "Bearer rpa_KEY", "Basic eDp5", ""])
async def test_any_key_of_a_worker_will_do(key: str | None) -> None:
    doors = open_doors(key=None, access=Access(keys=frozenset({"client"})))
    assert is_ok(await doors.get(PING, headers={} if key is None else {"authorization": key}))


@table(("method", "path"), WORKER_CALLS)
async def test_with_worker_keys_another_is_refused(method: str, path: str) -> None:
    doors = open_doors(key=None)
    doors.app.state.worker_access = Access(True, frozenset({"secret", "second"}))
    await doors.post("/run", content=JOB, headers={"authorization": "client"})

    async def ask(key: str | None) -> httpx.Response:
        headers = {} if key is None else {"authorization": key}
        return await doors.http.request(method, f"/v2/ep{path}", content=b"{}", headers=headers)

    for wrong in (None, ""):
        answer = await ask(wrong)
        assert (answer.status_code, answer.json()["title"]) == (401, "Unauthorized")
        assert answer.headers[FIDELITY].endswith("row=error.no_token")
    answer = await ask("client")
    assert (answer.status_code, answer.headers[FIDELITY].partition("row=")[2]) == (401, "error.invalid_key")
    assert "w1" not in doors.endpoint.fleet.workers
    for right in ("secret", "Bearer second"):
        assert (await ask(right)).status_code in (200, 204)
        await doors.post("/run", content=JOB, headers={"authorization": "client"})


# Results that are refused


ENDS = {
    "observed": {"status": "COMPLETED"},
    "documented": {"status": "FAILED", "error": "result too large: more than 1048576 bytes"},
}
LIMIT = 1_048_576
TOO_LARGE = "body: exceeded max body size of 1MiB"


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT + 64 * 1024])
@pytest.mark.parametrize("profile", PROFILES)
async def test_a_result_above_the_limit_is_refused(
    profile: Profile, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    doors = open_doors(profile, run_result_limit=LIMIT)
    job = await holding(doors)
    answer = await post(doors, done_path(job), b'{"output": "' + b"x" * size + b'"}')
    assert expect_bad_request(answer, TOO_LARGE)
    shown = await status(doors, job)
    assert {name: shown[name] for name in ("status", "output", "error") if name in shown} == ENDS[profile]
    assert "upload it and return its URL" in caplog.text
    (line,) = doors.world.emulator.lines
    assert (line.job, line.worker, line.level) == (job, "w1", "warning")
    assert line.text.startswith(f"the result is above {LIMIT} bytes")


async def test_a_result_at_the_limit_is_accepted() -> None:
    doors = open_doors(run_result_limit=LIMIT)
    job = await holding(doors)
    assert is_ok(await post(doors, done_path(job), b'{"output": "' + b"x" * (LIMIT - 2) + b'"}'))
    assert len((await status(doors, job))["output"]) == LIMIT - 2


@table("profile", PROFILES)
async def test_a_failure_with_too_large_an_output_stays_a_failure(profile: Profile) -> None:
    doors = open_doors(profile, run_result_limit=100)
    job = await holding(doors)
    assert (await post(doors, done_path(job), b'{"error":"e","output":"' + b"x" * 100 + b'"}')).status_code == 400
    shown = await status(doors, job)
    assert (shown["status"], shown["error"], "output" in shown) == ("FAILED", "e", False)


async def test_a_refused_result_still_asks_for_a_fresh_worker() -> None:
    doors = open_doors(run_result_limit=100)
    job = await holding(doors)
    assert (await post(doors, done_path(job), b'{"stopPod":true,"output":"' + b"x" * 100 + b'"}')).status_code == 400
    assert doors.world.launcher.replaced == ["w1"]


async def test_progress_above_the_limit_is_refused_and_the_job_goes_on() -> None:
    doors = open_doors(run_result_limit=100)
    job = await holding(doors)
    answer = await post(doors, done_path(job), b'{"status":"IN_PROGRESS","output":"' + b"x" * 100 + b'"}')
    assert expect_bad_request(answer, "body: exceeded max body size of 100 bytes")
    shown = await status(doors, job)
    assert (shown["status"], "output" in shown) == ("IN_PROGRESS", False)


async def test_a_chunk_above_the_limit_is_refused_and_the_job_goes_on() -> None:
    doors = open_doors(run_result_limit=LIMIT)
    job = await holding(doors)
    assert expect_bad_request(await post(doors, stream_path(job), b'{"output":"' + b"x" * 2 * LIMIT + b'"}'), TOO_LARGE)
    assert (await status(doors, job))["status"] == "IN_PROGRESS"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"not json", "invalid json: "),
        (b"", "invalid json: "),
        (b"[]", "must be a json object"),
        (b'"x"', "must be a json object"),
        (b'{"output":"\xff"}', "invalid json: not UTF-8"),
        (b'{"output":' + b"[" * 100_000, "invalid json: "),
    ],
    ids=["text", "empty", "list", "string", "latin", "deep"],
)
@pytest.mark.parametrize("profile", PROFILES)
async def test_a_result_that_is_not_json_fails_the_job(
    profile: Profile, content: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    doors = open_doors(profile)
    job = await holding(doors)
    answer = await post(doors, done_path(job), content)
    assert (answer.status_code, answer.json()["title"]) == (400, "Bad Request")
    assert reason in answer.json()["detail"]
    shown = await status(doors, job)
    assert shown["status"] == "FAILED"
    assert shown["error"].startswith("the worker's result is not JSON: ") and reason in shown["error"]
    assert f"ep/{job}: the worker's result is not JSON" in caplog.text


@table("content", [b'{"output": NaN}', b'{"output": [Infinity]}', b'{"error": -Infinity}'])
async def test_a_result_with_a_number_that_json_does_not_have_says_so(content: bytes) -> None:
    doors = open_doors()
    job = await holding(doors)
    assert (await post(doors, done_path(job), content)).status_code == 400
    assert (await status(doors, job))["error"] == "the worker's result is not JSON: it holds NaN or Infinity"


async def test_such_a_number_in_a_progress_update_is_refused_and_ends_nothing() -> None:
    doors = open_doors()
    job = await holding(doors)
    progress = b'{"status": "IN_PROGRESS", "output": NaN}'
    assert (await post(doors, done_path(job), progress)).status_code == 400
    assert (await status(doors, job))["status"] == "IN_PROGRESS"


async def test_a_late_result_that_is_not_json_changes_nothing() -> None:
    doors = open_doors()
    job = await holding(doors)
    await doors.post(f"/cancel/{job}")
    assert (await post(doors, done_path(job), b"NaN")).status_code == 400
    assert (await status(doors, job))["status"] == "CANCELLED"


# Wrong ways


@table(("method", "path"), WORKER_CALLS)
async def test_an_unknown_endpoint_is_not_found(method: str, path: str) -> None:
    answer = await open_doors().http.request(method, f"/v2/nope{path}", content=b"{}")
    assert expect_problem(answer, 404, "Not Found", "endpoint not found")


@table(("method", "path"), WORKER_CALLS)
async def test_another_method_is_not_allowed(method: str, path: str) -> None:
    doors = open_doors()
    job = await doors.submit()
    for other in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} - {method}:
        answer = await doors.http.request(other, f"/v2/ep{path}")
        assert (answer.status_code, answer.headers["allow"]) == (405, method)
        if other != "HEAD":
            assert answer.content == body(405, "Method Not Allowed", answer.json()["detail"])
    assert (await status(doors, job))["status"] == "IN_QUEUE"


@table("path", ["/job-take", "/job-done", "/job-take/w1/x", "/job-stop", "/ping", "/job-done/w/j/x"])
async def test_another_path_is_not_found(path: str) -> None:
    answer = await open_doors().get(path)
    assert (answer.status_code, answer.headers[FIDELITY].partition("row=")[2]) == (404, "error.route_not_found")


async def test_a_fault_is_answered_in_the_shape_of_an_error(caplog: pytest.LogCaptureFixture) -> None:
    doors = open_doors()

    async def fault(*_: Any) -> None:
        raise ZeroDivisionError

    doors.endpoint.polling.ping = fault  # type: ignore[method-assign]
    answer = await doors.get(PING)
    assert answer.status_code == 500 and answer.json()["status"] == 500
    assert "ZeroDivisionError" in caplog.text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
REPORTS = st.one_of(
    st.binary(max_size=200),
    st.dictionaries(st.sampled_from(["output", "error", "status", "stopPod", "x"]), JSON).map(
        lambda report: json.dumps(report).encode()
    ),
    JSON.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=REPORTS, kind=st.sampled_from(["job-done", "job-stream"]))
def test_no_body_of_a_worker_is_a_fault_of_ours(content: bytes, kind: str) -> None:
    async def check() -> None:
        doors = open_doors()
        job = await holding(doors)
        answer = await post(doors, f"/{kind}/w1/{job}?isStream=false", content)
        assert answer.status_code in (200, 400)
        shown = await doors.get(f"/status/{job}")
        json.loads(shown.content)
        assert JobStatus(shown.json()["status"])
        if answer.status_code == 400 and kind == "job-done":
            assert shown.json()["status"] == "FAILED"
        assert (await doors.get(f"/stream/{job}") if doors.waiting else shown).status_code == 200

    live(check())


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(worker=NAMES, query=st.dictionaries(NAMES | st.sampled_from(["job_id", "status", "check"]), NAMES, max_size=3))
def test_no_path_of_a_worker_is_a_fault_of_ours(worker: str, query: dict[str, str]) -> None:
    async def check() -> None:
        doors = open_doors()
        for kind in ("ping", "job-stop", "job-take", "job-take-batch"):
            await doors.submit()
            answer = await doors.get(f"/{kind}/{quote(worker, safe='')}", params=query)
            assert answer.status_code in (200, 204, 404)

    live(check())
