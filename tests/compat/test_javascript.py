"""The official JavaScript client, `runpod-sdk`, unmodified: only its `baseUrl` is set."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.compat.conftest import PROJECT, Queue
from tests.compat.servers import Command

pytestmark = pytest.mark.compat


@pytest.fixture(scope="module")
def seen(live: Command, project: Path) -> dict[str, Any]:
    """What each case of cases.mjs saw."""
    queue = Queue(live, "own_js")
    environment = {**os.environ, "BASE_URL": live.base_url, "FULL_ENDPOINT": queue.endpoint}
    done = subprocess.run(
        ["node", "cases.mjs"], cwd=project, env=environment, capture_output=True, text=True, timeout=60
    )
    queue.end()
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def case(seen: dict[str, Any], request: pytest.FixtureRequest) -> Any:
    """What the case of the test's own name saw: test_run_sync shows runSync."""
    first, *rest = request.function.__name__.removeprefix("test_").split("_")
    outcome = seen[first + "".join(word.capitalize() for word in rest)]
    assert "answered" in outcome, outcome
    return outcome["answered"]


ENDED = {"started": True, "completed": True}


def test_run(case: Any) -> None:
    assert case["accepted"] == {"id": case["ended"]["id"], "status": "IN_QUEUE"}
    assert case["ended"].items() >= {"output": {"a": 1}, "status": "COMPLETED", "succeeded": True, **ENDED}.items()
    assert all(type(case["ended"][name]) is int for name in ("delayTime", "executionTime"))


def test_run_sync(case: Any) -> None:
    assert case.items() >= {"output": {"a": 1}, "status": "COMPLETED", "succeeded": True, **ENDED}.items()
    assert case["id"].startswith("sync-")


def test_run_sync_past_its_wait(case: Any) -> None:
    assert case["job"].items() >= {"output": "late", "status": "COMPLETED", "succeeded": True, **ENDED}.items()
    assert case["log"][-1] == f"{case['job']['id']}: COMPLETED", "it went on with /status-sync"


def test_run_sync_gives_up(case: Any) -> None:
    assert case.items() >= {"status": "IN_PROGRESS", "started": True, "completed": False}.items()
    assert "output" not in case


def test_run_sync_of_a_failed_job(case: Any) -> None:
    assert case.items() >= {"status": "FAILED", "error": "no", "succeeded": False, **ENDED}.items()
    assert case["output"] == {"hint": "a dict with an error key"}


def test_stream(case: Any) -> None:
    assert case["chunks"] == [{"output": "one "}, {"output": "two "}, {"output": "three"}]
    assert case["ended"]["output"] == ["one ", "two ", "three"]


def test_stream_of_nothing(case: Any) -> None:
    assert case == []


def test_status_sync(case: Any) -> None:
    assert case.items() >= {"output": "held", "status": "COMPLETED", "succeeded": True, **ENDED}.items()


def test_cancel(case: Any) -> None:
    assert case["before"].items() >= {"status": "IN_PROGRESS", "completed": False}.items()
    assert case["cancelled"] == {"id": case["after"]["id"], "status": "CANCELLED"}
    assert case["after"].items() >= {"status": "CANCELLED", "succeeded": False, **ENDED}.items()


def test_health(case: Any) -> None:
    assert {part: set(counts) for part, counts in case.items()} == {
        "jobs": {"completed", "failed", "inProgress", "inQueue", "retried"},
        "workers": {"idle", "initializing", "ready", "running", "throttled", "unhealthy"},
    }


def test_purge_queue(case: Any) -> None:
    assert case == {"removed": 2, "status": "completed"}


def test_unknown_endpoint(case: Any) -> None:
    assert case["status"] == 404
    assert case["data"] == {"status": 404, "title": "Not Found", "detail": "endpoint not found"}


def test_missing_input(case: Any) -> None:
    assert case["status"] == 400
    assert case["data"]["detail"] == "bad request: body: input is required"


def test_the_lock_names_no_address() -> None:
    lock = json.loads((PROJECT / "package-lock.json").read_text())
    assert not any("resolved" in package for package in lock["packages"].values())
