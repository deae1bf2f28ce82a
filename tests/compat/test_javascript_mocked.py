"""The official JavaScript client, `runpod-sdk`, unmodified, against the stubs and faults of mocked.yaml."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.testing import Emulator

from tests.compat.servers import commands

pytestmark = pytest.mark.compat

STUBS = Path(__file__).with_name("mocked.yaml")


@pytest.fixture(scope="module")
def seen(project: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each case of mocked.mjs saw."""
    flaky = [Emulator("llm", clock="auto", seed=4) for _ in range(2)]
    with commands(tmp_path_factory.mktemp("mocked")) as start, flaky[0], flaky[1]:
        server = start("serve", "--mock", "llm", "--stubs", STUBS, "--clock", "virtual", "--seed", 7, "--port", 0)
        for emulator in flaky:
            emulator.stub(respond={"output": "{{ input.number }}"})
            emulator.profile("flaky-network")
        urls = {
            "BASE_URL": server.ready().base_url,
            "FLAKY_URL": flaky[0].base_url,
            "FLAKY_AGAIN_URL": flaky[1].base_url,
        }
        done = subprocess.run(
            ["node", "mocked.mjs"], cwd=project, env={**os.environ, **urls}, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def answered(seen: dict[str, Any], case: str) -> Any:
    assert "answered" in seen[case], seen[case]
    return seen[case]["answered"]


def statuses(jobs: list[dict[str, Any]]) -> list[str]:
    return [job["status"] for job in jobs]


def has(job: dict[str, Any], **members: Any) -> bool:
    """Whether an ended job has these members, and no other end than them."""
    ends = {name: job[name] for name in ("output", "error", "retries") if name in job}
    succeeded = members.pop("succeeded")
    assert ends == members, job
    return bool(job["started"] and job["completed"] and job["succeeded"] is succeeded)


def test_an_output_is_made_of_the_request(seen: dict[str, Any]) -> None:
    assert has(answered(seen, "output"), output={"text": "You said hello", "call": 1}, succeeded=True)


@pytest.mark.parametrize(
    ("case", "states"),
    [
        ("delayed", ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]),
        ("polls", ["IN_QUEUE", "IN_QUEUE", "IN_PROGRESS", "COMPLETED"]),
        ("timeout", ["IN_PROGRESS", "FAILED"]),
        ("never", ["IN_PROGRESS", "CANCELLED", "CANCELLED"]),
        ("workerCrash", ["IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]),
    ],
)
def test_a_job_is_seen_in_each_state(seen: dict[str, Any], case: str, states: list[str]) -> None:
    assert statuses(answered(seen, case)) == states


def test_times_are_those_of_the_script(seen: dict[str, Any]) -> None:
    last = answered(seen, "delayed")[-1]
    assert (last["delayTime"], last["executionTime"], last["output"]) == (10_000, 30_000, "late")


def test_progress_is_the_output_so_far(seen: dict[str, Any]) -> None:
    jobs = answered(seen, "progress")
    assert [job["output"] for job in jobs] == ["10%", {"pct": 50}, "done"]
    assert statuses(jobs) == ["IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]


def test_each_chunk_of_a_stream_comes_once(seen: dict[str, Any]) -> None:
    assert answered(seen, "stream") == [{"output": "Hel"}, {"output": {"n": 2}}, {"output": "hello"}]


def test_a_failed_job_has_an_error_and_no_output(seen: dict[str, Any]) -> None:
    assert has(answered(seen, "error"), error="out of hello", succeeded=False)
    assert has(answered(seen, "crash"), error="job timed out after 1 retries", retries=1, succeeded=False)
    assert has(answered(seen, "timeout")[-1], error="executionTimeout exceeded", succeeded=False)


def test_a_failed_job_then_a_good_one(seen: dict[str, Any]) -> None:
    failed, good = answered(seen, "sequence")
    assert has(failed, error="no luck", succeeded=False)
    assert has(good, output="ok", succeeded=True)


def test_a_crash_is_made_good_by_the_second_run(seen: dict[str, Any]) -> None:
    assert has(answered(seen, "crashThenOutput"), output="ok", retries=1, succeeded=True)
    assert has(answered(seen, "workerCrash")[-1], output="ok", retries=1, succeeded=True)


def test_what_no_stub_matches_fails_and_says_so(seen: dict[str, Any]) -> None:
    job = answered(seen, "unmatched")
    assert job["status"] == "FAILED"
    assert job["error"].startswith("no stub matches this job; the nearest is ")


def test_the_nearest_stub_is_one_of_the_same_endpoint(seen: dict[str, Any]) -> None:
    line = STUBS.read_text().splitlines().index(next(one for one in STUBS.read_text().splitlines() if "near" in one))
    why = f'the nearest is near ({STUBS}:{line + 1}): input.prompt: expected "bye", got "hello"'
    assert answered(seen, "unmatched")["error"] == f"no stub matches this job; {why}"


def test_a_cancelled_job_has_ended(seen: dict[str, Any]) -> None:
    _, cancelled, after = answered(seen, "never")
    assert cancelled == {"id": after["id"], "status": "CANCELLED"}
    assert has(after, succeeded=False)


@pytest.mark.parametrize(
    ("case", "status", "data", "more"),
    [
        ("busy", 429, {"title": "Too Many Requests", "detail": "rate limit exceeded"}, {"retryAfter": "2"}),
        ("unauthorized", 401, {"title": "Unauthorized", "detail": "invalid api key"}, {}),
        ("broken", 500, {"title": "Internal Server Error", "detail": "internal server error"}, {}),
        ("gateway", 502, "<h1>Bad Gateway</h1>", {}),
    ],
)
def test_a_status_is_an_error_with_its_body(
    seen: dict[str, Any], case: str, status: int, data: Any, more: dict[str, str]
) -> None:
    body = data if isinstance(data, str) else {"status": status, **data}
    error = {"message": f"Request failed with status code {status}", "status": status, "data": body, "retryAfter": None}
    told = answered(seen, case)
    of_job = body if isinstance(body, str) else {name: body[name] for name in body if (status, name) != (500, "detail")}
    assert told["run"] == {**error, **more}
    assert told["status"] == {**error, **more, "data": of_job}, "a 500 on a job was recorded without a detail"
    assert has(told["after"], output="ok", succeeded=True)


def test_a_reset_connection_is_a_failed_fetch(seen: dict[str, Any]) -> None:
    told = answered(seen, "reset")
    assert told["run"] == told["status"] == {"message": "fetch failed"}
    assert has(told["after"], output="ok", succeeded=True)


def test_half_an_answer_is_none_to_run_and_breaks_status(seen: dict[str, Any]) -> None:
    told = answered(seen, "half")
    assert told["run"] == {}, "run answers undefined"
    assert told["status"] == {"message": "Cannot read properties of undefined (reading 'status')"}
    assert has(told["after"], output="ok", succeeded=True)


def test_a_job_that_is_not_known_yet_or_no_more_is_a_404(seen: dict[str, Any]) -> None:
    early, gone = answered(seen, "unknownYet"), answered(seen, "goneEarly")
    body = {"status": 404, "title": "Not Found", "detail": "job not found"}
    error = {"message": "Request failed with status code 404", "status": 404, "data": body, "retryAfter": None}
    assert early["early"] == gone["gone"] == error
    assert has(early["late"], output="ok", succeeded=True)
    assert has(gone["there"], output="ok", succeeded=True)


def test_a_late_answer_is_a_timeout_though_the_job_was_cancelled(seen: dict[str, Any]) -> None:
    told = answered(seen, "slow")
    assert told["cancel"] == {"message": "timeout of 100ms exceeded"}
    assert told["after"]["status"] == "CANCELLED"


def test_a_flaky_network_is_as_flaky_for_the_same_seed(seen: dict[str, Any]) -> None:
    told = answered(seen, "flaky")
    assert told == answered(seen, "flakyAgain")
    bad = {number: outcome for number, outcome in enumerate(told, 1) if outcome != number}
    half, reset = "Cannot read properties of undefined (reading 'status')", "fetch failed"
    assert set(bad.values()) == {half, reset, "Request failed with status code 502"}
