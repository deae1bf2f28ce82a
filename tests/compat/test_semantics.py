"""The same handler and input in our worker and in the official one: chunks, output, error and end must agree."""

from __future__ import annotations

import asyncio
import copy
import importlib
import json
import runpy
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.compat.servers import HANDLERS, Command, commands

pytestmark = pytest.mark.compat

MOCK = str(HANDLERS / "mock_worker.py")
FLAGS = {
    "plain": [],
    "generator": ["--generator", "--return_aggregate_stream"],
    "generator_without_aggregate": ["--generator"],
    "async_generator": ["--async_generator", "--return_aggregate_stream"],
    "async_generator_without_aggregate": ["--async_generator"],
}

PLAIN = [
    {"mock_return": "x"},
    {"mock_return": ""},
    {"mock_return": 1.5},
    {"mock_return": True},
    {"mock_return": None},
    {"mock_return": []},
    {"mock_return": [{"error": "in a list"}]},
    {"mock_return": {}},
    {"mock_return": {"a": {"error": "deeper"}}},
    {"mock_return": {"error": "e"}},
    {"mock_return": {"error": "e", "extra": 1}},
    {"mock_return": {"error": ""}},
    {"mock_return": {"error": None, "extra": 1}},
    {"mock_return": {"error": {"code": 7}}},
    {"mock_return": {"refresh_worker": False, "extra": 1}},
    {"mock_return": "ünï ☃ \u2028 \x00"},
    {"mock_return": "p", "mock_progress": {"updates": ["10%", {"pct": 50}]}},
    {"mock_return": "r", "mock_refresh": True},
    {"mock_error": True},
    {"a": 1},
]
STREAMED = [
    {"mock_return": ["value1", "value2", "value3"]},
    {"mock_return": [1, None, {"a": 1}, [2]]},
    {"mock_return": []},
    {"mock_return": [{"error": ""}, {"error": "stops it"}, "never"]},
    {"mock_return": ["first", {"error": {"code": 7}}]},
    {"mock_return": ["never"], "mock_error": True},
    {"a": 1},
]
CASES = [
    pytest.param(kind, asked, id=f"{kind}-{json.dumps(asked)}")
    for kind in FLAGS
    for asked in (PLAIN if kind == "plain" else STREAMED)
]


class Ended(NamedTuple):
    """What a job left behind."""

    status: str
    chunks: list[Any]
    output: Any
    error: Any


@pytest.fixture(scope="module")
def handlers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The mock worker once for each set of its flags, by kind."""
    folder = tmp_path_factory.mktemp("kinds")
    for kind, flags in FLAGS.items():
        source = f"""
            import runpy, sys
            sys.argv += {flags}
            runpy.run_path({MOCK!r}, run_name="__main__")
            """
        (folder / f"{kind}.py").write_text(textwrap.dedent(source))
    return {kind: str(folder / f"{kind}.py") for kind in FLAGS}


@pytest.fixture(scope="module")
def ours(handlers: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    with commands(tmp_path_factory.mktemp("ours")) as start:
        yield start("serve", *handlers.values(), "--port", 0).ready()


def in_ours(server: Command, kind: str, asked: dict[str, Any]) -> tuple[Ended, dict[str, Any]]:
    job = server.http.post(f"/{kind}/runsync", json={"input": asked}).json()
    stream = server.http.get(f"/{kind}/stream/{job['id']}").json()
    assert stream["status"] == job["status"]
    chunks = [chunk["output"] for chunk in stream["stream"]]
    return Ended(job["status"], chunks, job.get("output", "absent"), job.get("error")), job


def in_theirs(handler: str, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[Ended, dict[str, Any]]:
    """What the official worker posts for the same job."""
    serverless = importlib.import_module("runpod.serverless")
    rp_job = importlib.import_module("runpod.serverless.modules.rp_job")
    configs: list[dict[str, Any]] = []
    chunks: list[Any] = []
    results: list[dict[str, Any]] = []

    async def stream_result(session: Any, chunk: dict[str, Any], job: Any) -> None:
        chunks.append(json.loads(json.dumps(chunk))["output"])

    async def send_result(session: Any, result: dict[str, Any], job: Any, is_stream: bool = False) -> None:
        results.append(json.loads(json.dumps(result)))

    monkeypatch.setattr(serverless, "start", configs.append)
    monkeypatch.setattr(serverless, "progress_update", lambda job, value: None)
    monkeypatch.setattr(rp_job, "stream_result", stream_result)
    monkeypatch.setattr(rp_job, "send_result", send_result)
    monkeypatch.setattr("sys.argv", ["handler.py"])
    runpy.run_path(handler, run_name="__main__")
    asyncio.run(rp_job.handle_job(None, configs[0], {"id": "job", "input": copy.deepcopy(asked)}))
    (result,) = results
    status = "FAILED" if result.get("error") else "COMPLETED"
    return Ended(status, chunks, result.get("output", "absent"), result.get("error")), result


@pytest.mark.parametrize(("kind", "asked"), CASES)
def test_both_end_alike(
    ours: Command, handlers: dict[str, str], monkeypatch: pytest.MonkeyPatch, kind: str, asked: dict[str, Any]
) -> None:
    mine, job = in_ours(ours, kind, asked)
    theirs, posted = in_theirs(handlers[kind], asked, monkeypatch)
    assert mine._replace(error=comparable(mine.error)) == theirs._replace(error=comparable(theirs.error))
    if posted.get("stopPod"):
        following = ours.http.post(f"/{kind}/runsync", json={"input": {"a": 1}}).json()
        assert following["workerId"] != job["workerId"]


def comparable(error: Any) -> Any:
    """An error without what differs from process to process."""
    if not isinstance(error, str):
        return error and json.dumps(error)  # the wire's error is always a string
    if error.startswith("handler: "):
        lines = error.splitlines()
        return lines[0], lines[1], lines[-1]
    if not error.startswith('{"error_type"'):
        return error
    report = json.loads(error)
    keys = list(report)
    lines = report["error_traceback"].splitlines()
    return keys, lines[0], lines[-1], report["error_type"], report["error_message"], report["runpod_version"]


def test_a_crash_has_no_equal_there_and_is_a_lost_worker_here(ours: Command) -> None:
    for kind in ("plain", "generator"):
        ended, job = in_ours(ours, kind, {"mock_return": ["never"], "mock_crash": True})
        assert ended == Ended("FAILED", [], "absent", "job timed out after 1 retries")
        assert job["retries"] == 1
