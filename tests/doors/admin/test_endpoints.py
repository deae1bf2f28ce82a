"""Endpoints that are added, changed and removed while the server runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from runpod_emulator.testing import Emulator

from tests.plain import PLAIN

HANDLER = 'import runpod\nrunpod.serverless.start({"handler": lambda job: job["input"]["a"] + 1})\n'


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    with Emulator("first", workers_max=2) as emu:
        yield emu


@pytest.fixture
def emu(shared: Emulator) -> Iterator[Emulator]:
    yield shared
    for one in ask(shared, "GET", "")[1]:
        if one["id"] != "first":
            assert ask(shared, "DELETE", f"/{one['id']}")[0] == 204
    shared.reset()


def ask(emu: Emulator, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    url = emu.base_url.replace("/v2", "/__emulator/endpoints") + path
    answer = httpx.request(method, url, json=body, **PLAIN)
    return answer.status_code, answer.json() if answer.content else None


def run(emu: Emulator, endpoint: str, **policy: int) -> dict[str, Any]:
    body = {"input": {"a": 1}, "policy": policy}
    answer = httpx.post(f"{emu.base_url}/{endpoint}/runsync", json=body, headers={"authorization": emu.key}, **PLAIN)
    return dict(answer.json())


def test_a_mock_endpoint_has_the_servers_settings_but_for_its_own(emu: Emulator):
    status, added = ask(emu, "POST", "", {"id": "more", "idle_timeout": "7s"})
    assert (status, added["kind"], added["workers_max"], added["idle_timeout"]) == (201, "mock", 2, 7_000)
    assert "no stub matches" in run(emu, "more")["error"]


def test_a_handler(emu: Emulator, tmp_path: Path):
    (tmp_path / "adder.py").write_text(HANDLER)
    status, added = ask(emu, "POST", "", {"id": "adder", "handler": str(tmp_path / "adder.py")})
    assert (status, added["kind"]) == (201, "handler")
    assert run(emu, "adder")["output"] == 2


def test_a_handler_that_can_not_be_imported_is_told_and_not_served(emu: Emulator, tmp_path: Path):
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    status, problem = ask(emu, "POST", "", {"id": "broken", "handler": str(tmp_path / "broken.py")})
    assert (status, "No module named 'nothing_of_this_name'" in problem["detail"]) == (400, True)
    assert [one["id"] for one in ask(emu, "GET", "")[1]] == ["first"]


def test_workers_from_elsewhere(emu: Emulator):
    status, added = ask(emu, "POST", "", {"id": "far", "remote": True})
    assert (status, added["kind"]) == (201, "remote")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"id": "first"}, "endpoint first is served already"),
        ({"id": "x", "handler": "nowhere.py"}, "there is no file nowhere.py"),
        ({"id": "x", "handler": "a.py", "mock": True}, "write one of handler, command and mock"),
        ({"id": "x", "command": "python 'half"}, "command: No closing quotation"),
        ({"id": "x", "workers_min": 5}, "workers_min (5) is above workers_max (2)"),
        ({"id": "x", "job_ttl": "1ms"}, "job_ttl must be from"),
        ({"id": "x", "worker_max": 1}, "worker_max: no such key"),
        ({"handler": "a.py"}, "id: Field required"),
    ],
)
def test_what_can_not_be_served_is_refused(emu: Emulator, body: dict[str, Any], detail: str):
    status, problem = ask(emu, "POST", "", body)
    assert status == 400
    assert detail in problem["detail"]


def test_settings_of_jobs_change_for_jobs_to_come(emu: Emulator):
    emu.stub(endpoint="more", respond={"never": True})
    status, changed = ask(emu, "PATCH", "/more", {"execution_timeout": "5s"})
    assert (status, changed["execution_timeout"]) == (200, 5_000)


def test_workers_come_and_go_with_the_settings(emu: Emulator):
    ask(emu, "POST", "", {"id": "more"})
    assert ask(emu, "PATCH", "/more", {"workers_max": 4, "workers_min": 3})[1]["workers_min"] == 3
    health = f"{emu.base_url}/more/health"
    seen = httpx.get(health, headers={"authorization": emu.key}, **PLAIN).json()["workers"]
    assert seen["idle"] + seen["initializing"] == 3
    ask(emu, "PATCH", "/more", {"workers_max": 1, "workers_min": 0})
    assert httpx.get(health, headers={"authorization": emu.key}, **PLAIN).json()["workers"]["idle"] <= 1


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        ("/first", {"workers_min": 9}, 400, "workers_min (9) is above workers_max (2)"),
        ("/first", {"execution_timeout": "1ms"}, 400, "execution_timeout must be from"),
        ("/first", {"scaler_value": 1.5}, 400, "it is a whole number of jobs"),
        ("/first", {"handler": "a.py"}, 400, "handler: no such key"),
        ("/nobody", {"workers_min": 0}, 404, "endpoint not found"),
    ],
)
def test_a_change_that_can_not_be(emu: Emulator, path: str, body: dict[str, Any], status: int, detail: str):
    code, problem = ask(emu, "PATCH", path, body)
    assert (code, detail in problem["detail"]) == (status, True), problem


def test_one_that_is_taken_away_and_added_again_knows_nothing_of_its_first_life(emu: Emulator):
    emu.stub(endpoint="more", respond={"output": 1})
    assert run(emu, "more", ttl=10_000)["status"] == "COMPLETED"
    asked = {"headers": {"authorization": emu.key}, **PLAIN}
    assert ask(emu, "DELETE", "/more")[0] == 204
    ask(emu, "POST", "", {"id": "more"})
    assert httpx.get(f"{emu.base_url}/more/health", **asked).json()["jobs"]["completed"] == 0
    assert httpx.get(f"{emu.base_url}/more/requests", **asked).json()["requests"] == []
    assert run(emu, "more")["status"] == "COMPLETED"
