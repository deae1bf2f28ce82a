"""What an emulator has seen, and what comes while somebody follows it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from runpod_emulator import Emulator
from runpod_emulator.cli.client.calls import Calls, Event

from tests.cli.client.commands import run
from tests.cli.client.conftest import Asked
from tests.tables import table

EVENT = {"at": 1, "endpoint": "llm", "id": "8881c1a2-x", "event": "Completed", "status": "COMPLETED", "worker": "w"}


@pytest.fixture
def jobs(emu: Emulator, asked: Asked) -> Emulator:
    """One that failed, and then one that did not."""
    emu.stub(endpoint="llm", respond=[{"error": "no\nmemory"}, {"output": 1}])
    asked("submit", "llm", "a=1", "--sync")
    asked("submit", "llm", "a=2", "--sync")
    return emu


def test_jobs_are_listed_the_newest_last(jobs: Emulator, asked: Asked) -> None:
    heading, first, second = asked("jobs").out.splitlines()
    assert heading.split() == ["submitted", "job", "status", "waited", "ran", "worker", "retries", "error"]
    assert re.fullmatch(r"\d\d:\d\d:\d\d +llm/\w{8} +FAILED +\d+ ms +\d+ ms +\w+ +no", first)
    assert "COMPLETED" in second
    assert [job["status"] for job in asked("jobs", "--json").json["jobs"]] == ["COMPLETED", "FAILED"]


def test_jobs_are_chosen(jobs: Emulator, asked: Asked) -> None:
    assert len(asked("jobs", "--status", "failed").out.splitlines()) == 2
    assert len(asked("jobs", "-e", "oth*").out.splitlines()) == 1
    assert len(asked("jobs", "-n", "1").out.splitlines()) == 2
    assert asked("jobs", "-e", "nowhere").code == 1


def test_a_job_of_the_list_is_named_as_the_other_commands_take_it(jobs: Emulator, asked: Asked) -> None:
    name = asked("jobs", "--status", "COMPLETED").out.splitlines()[1].split()[1]
    assert asked("status", name).out == "1\n"


def test_requests_are_listed(jobs: Emulator, asked: Asked) -> None:
    asked("submit", "nowhere", "a=1")
    lines = asked("requests").out.splitlines()
    assert re.match(r"\d\d:\d\d:\d\d POST /v2/llm/runsync 200 .*job \w{8}", lines[0])
    assert re.match(r"\d\d:\d\d:\d\d POST /v2/nowhere/run 404", lines[-1])
    assert len(asked("requests", "--json").json["requests"]) == 3


def events(monkeypatch: pytest.MonkeyPatch, *several: Event) -> None:
    """What an emulator sends before it stops."""
    monkeypatch.setattr(Calls, "events", lambda *_: iter(several))


def test_jobs_are_followed_until_the_server_stops(
    jobs: Emulator, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    events(monkeypatch, Event("left-out", {"count": 7}), Event("transition", EVENT), Event("unheard-of", 5))
    ran = asked("jobs", "--follow")
    assert ran.code == 3
    assert ran.out.splitlines()[-1].endswith("llm/8881c1a2 COMPLETED  worker w")
    assert "7 or more left out" in ran.err
    assert "The server has stopped." in ran.err
    assert json.loads(asked("jobs", "--follow", "--json", "-n", "0").out) == EVENT


@table(
    "event, status, told, line",
    [
        ("Progressed", "IN_PROGRESS", {"output": {"step": 2}}, 'IN_PROGRESS  {"step": 2}  worker w'),
        ("Progressed", "IN_PROGRESS", {"output": None}, "IN_PROGRESS  Progressed  worker w"),
        ("Failed", "FAILED", {"error": "no memory\nat all"}, "FAILED  no memory  worker w"),
        ("TimedOut", "TIMED_OUT", {"error": "job timed out"}, "TIMED_OUT  job timed out  worker w"),
        ("Taken", "IN_PROGRESS", {}, "IN_PROGRESS  Taken  worker w"),
    ],
)
def test_a_followed_change_says_its_progress_or_its_error(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, event: str, status: str, told: dict[str, object], line: str
) -> None:
    events(monkeypatch, Event("transition", {**EVENT, "event": event, "status": status}))
    answers = {"jobs": {"jobs": []}, f"timeline/{EVENT['id']}": {"status": status, **told}}
    monkeypatch.setattr(Calls, "admin", lambda calls, method, path, **_: answers[path])
    assert asked("jobs", "--follow").out.splitlines()[-1].endswith(f"llm/8881c1a2 {line}")


def test_ctrl_c_ends_following(jobs: Emulator, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> object:
        yield Event("transition", EVENT)
        raise KeyboardInterrupt

    monkeypatch.setattr(Calls, "events", interrupted)
    assert asked("jobs", "--follow").code == 0


def line(text: str, job: str = "8881c1a2-x", **more: object) -> dict[str, object]:
    return {"at": 1, "endpoint": "llm", "worker": "w", "number": 1, "job": job, "level": "info", "text": text, **more}


def test_lines_of_workers_are_told_once(jobs: Emulator, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"lines": [line("one"), line("two")], "total": 2}
    monkeypatch.setattr(Calls, "admin", lambda *_, **__: told)
    events(monkeypatch, Event("log", line("two")), Event("log", line("two")), Event("log", line("three")))
    printed = asked("logs", "-f").out.splitlines()
    assert [one.partition(" ")[2] for one in printed] == [
        f"llm#1 8881c1a2 │ {text}" for text in ("one", "two", "two", "three")
    ]


def test_lines_of_one_job(jobs: Emulator, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    asks: list[object] = []

    def admin(self: Calls, method: str, path: str, body: object = None, query: object = None) -> object:
        asks.append(query)
        return {"lines": []} if path == "logs" else [{"id": "llm"}]

    monkeypatch.setattr(Calls, "admin", admin)
    events(monkeypatch, Event("log", line("other", "x")), Event("log", line("own", "8881c1a2-0000")))
    ran = asked("logs", "llm/8881c1a2-0000", "--follow")
    assert ran.out.count("│") == 1
    assert asks == [{"endpoint": "llm", "job": "8881c1a2-0000", "limit": 20}]


@table("words, limit", [
    (["logs"], 50), (["logs", "-f"], 20), (["logs", "--tail", "7"], 7), (["logs", "-f", "--tail", "0"], 0),
    (["logs", "-f", "-n", "7"], 7), (["logs", "--limit", "7"], 7), (["logs", "llm"], 50),
])  # fmt: skip
def test_the_last_lines_come_first(
    jobs: Emulator, asked: Asked, monkeypatch: pytest.MonkeyPatch, words: list[str], limit: int
) -> None:
    asks: list[Any] = []

    def admin(self: Calls, method: str, path: str, body: object = None, query: object = None) -> object:
        asks.append(query)
        return {"lines": [line("old")]} if path == "logs" else [{"id": "llm"}]

    monkeypatch.setattr(Calls, "admin", admin)
    events(monkeypatch, Event("log", line("new")))
    ran = asked(*words)
    assert (asks[-1]["limit"], ran.out.count("new")) == (limit, "-f" in words)


def test_an_endpoint_that_nobody_serves(asked: Asked) -> None:
    ran = asked("logs", "nowhere")
    assert (ran.code, "there is no job nowhere" in ran.err) == (1, True)


def test_of_a_server_that_is_no_emulator_nothing_is_asked_but_whether_it_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import http.server
    import threading

    asked_for: list[tuple[str, str | None]] = []

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked_for.append((self.path, self.headers.get("Authorization")))
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b"<h1>not here</h1>")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            ran = run("jobs", "--url", f"http://127.0.0.1:{server.server_port}", "--admin-key", "SECRET_KEY_1")
            refused = run("status", "a/b1234567890", "--url", f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()
    assert ran.code == 3
    assert "only an emulator can be asked that, and there is none at" in ran.err
    assert asked_for[0] == ("/__emulator/health", None)
    assert (refused.code, "answered 404: <h1>not here</h1>" in refused.err) == (1, True)
