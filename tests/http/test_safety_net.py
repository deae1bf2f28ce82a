"""A fault inside a route that has no net of its own: the emulator's error shape, and a connection that goes on."""

from __future__ import annotations

import http.client
import json
import logging
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from runpod_emulator.core.mocks.stubs import StubBook
from runpod_emulator.core.records.receiver import Receiver
from runpod_emulator.doors import page
from runpod_emulator.doors.admin import listings, questions
from runpod_emulator.testing import Emulator

SHAPE = {
    "status": 500,
    "title": "Internal Server Error",
    "detail": "internal error of the emulator: its log has the traceback",
}


@pytest.fixture(scope="module")
def emu() -> Iterator[Emulator]:
    with Emulator("llm") as emu:
        yield emu


def fail(*args: object, **more: object) -> None:
    raise ArithmeticError("a fault of ours")


@pytest.mark.parametrize(
    ("method", "path", "owner", "name"),
    [
        ("GET", "/__emulator/jobs", listings, "jobs_of"),
        ("DELETE", "/__emulator/stubs", StubBook, "clear"),
        ("POST", "/__emulator/wait", questions, "missing"),
        ("POST", "/__emulator/hooks/-/x", Receiver, "take"),
        ("GET", "/docs", page, "page_app"),
    ],
)
def test_it_is_answered_in_our_shape(
    emu: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    owner: object,
    name: str,
):
    monkeypatch.setattr(owner, name, fail)
    host = urlsplit(emu.base_url).netloc
    connection = http.client.HTTPConnection(host, timeout=10)
    body = json.dumps({"idle": True}) if method == "POST" else None
    for _ in range(2):
        connection.request(method, path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        assert (answer.status, json.loads(answer.read())) == (500, SHAPE)
    socket = connection.sock
    assert socket is not None, "the connection was closed"
    connection.request("GET", "/__emulator/health")
    assert connection.getresponse().status == 200
    assert connection.sock is socket
    connection.close()
    logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in logged] == [f"{method} {path} failed"] * 2
    assert all(record.exc_info and record.exc_info[0] is ArithmeticError for record in logged)
