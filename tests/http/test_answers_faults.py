"""A fault of the emulator itself: told as a 500 in the service's shape, its traceback goes to the log."""

import logging

import pytest
from runpod_emulator.core.errors import EmulatorError

from tests.doors.doors import JOB, expect_problem, open_doors

DETAIL = "internal error of the emulator: its log has the traceback"

VERBS = {
    "submit": [("POST", "/run"), ("POST", "/runsync")],
    "status": [("GET", "/status/x"), ("POST", "/status/x")],
    "wait": [("GET", "/status-sync/x"), ("POST", "/status-sync/x")],
    "next_chunks": [("GET", "/stream/x"), ("POST", "/stream/x")],
    "cancel": [("POST", "/cancel/x")],
    "retry": [("POST", "/retry/x")],
    "purge": [("POST", "/purge-queue")],
    "health": [("GET", "/health")],
    "requests": [("GET", "/requests")],
}


@pytest.mark.parametrize("error", [ZeroDivisionError, EmulatorError])
@pytest.mark.parametrize(
    ("verb", "method", "path"), [(verb, method, path) for verb, routes in VERBS.items() for method, path in routes]
)
async def test_a_fault_is_told_and_logged(verb, method, path, error, monkeypatch, caplog):
    caplog.set_level(logging.ERROR)
    doors = open_doors()
    job = await doors.completed()

    async def fault(*arguments):
        raise error("the secret of the fault")

    monkeypatch.setattr(doors.endpoint, verb, fault)
    path = "/v2/ep" + path.replace("x", job.id)
    answer = await doors.http.request(method, path, content=JOB)
    expect_problem(answer, 500, "Internal Server Error", DETAIL)
    assert answer.headers["x-emulator-fidelity"] == "guess; row=error.internal"
    (record,) = caplog.records
    assert record.getMessage() == f"{method} {path} failed"
    assert record.exc_info[0] is error
    assert "the secret of the fault" in caplog.text and "Traceback" in caplog.text


async def test_a_fault_gives_its_place_in_the_limit_back(monkeypatch):
    doors = open_doors(requests_concurrency=1)

    async def fault(*arguments):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(doors.endpoint, "requests", fault)
        assert (await doors.get("/requests")).status_code == 500
    assert (await doors.get("/requests")).status_code == 200


async def test_a_fault_in_the_events_does_not_reach_the_client_as_text(monkeypatch, caplog):
    doors = open_doors()
    job = await doors.completed()

    async def fault(*arguments):
        raise ZeroDivisionError("the secret of the fault")

    monkeypatch.setattr(doors.endpoint, "status", fault)
    answer = await doors.get(f"/stream/{job.id}", headers={"accept": "text/event-stream"})
    expect_problem(answer, 500, "Internal Server Error", DETAIL)
