"""One line for each request, and one for polls that say nothing new."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from runpod_emulator.core.records.news import Entry
from runpod_emulator.effects import request_log as module
from runpod_emulator.effects.names import JobNames
from runpod_emulator.effects.request_log import LogOptions, RefusalLog, RequestLog, request_log

from tests.tables import table

JOB = "8881f0c2-aaaa-u1"


class Past:
    """A history whose jobs are as the test says."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[int, str]] = {}

    def last(self, endpoint: str, job: str) -> tuple[int, str]:
        return self.known.get(job, (0, ""))


@pytest.fixture
def past() -> Past:
    return Past()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.INFO, "runpod_emulator.requests")

    def look() -> list[str]:
        seen = list(caplog.messages)
        caplog.clear()
        return seen

    return look


def entry(operation: str = "run", status: int = 200, **given: Any) -> Entry:
    verb, job = operation.replace("_", "-"), given.get("job")
    own = f"/v2/echo/{verb}" + (f"/{job}" if job and operation not in ("run", "runsync") else "")
    usual = {"at": 0, "path": own, "query": "", "job": "", "fault": "", "took": 0, "stub": "", "why": "", **given}
    method = "POST" if operation in ("run", "runsync", "cancel") else "GET"
    return Entry(
        number=1, endpoint="echo", operation=operation, method=method, headers=(), body=b"", status=status,
        body_size=0, **usual,
    )  # fmt: skip


@table(
    ("asked", "line"),
    [
        (entry(job=JOB), f"POST echo/run 200 0 ms, job {JOB}"),
        (entry("runsync", job=JOB, took=1_250, stub="s"), f"POST echo/runsync 200 1250 ms, job {JOB}, stub s"),
        (entry("status", job=JOB, query="ttl=1"), "GET echo/status?ttl=1 200 0 ms, 8881 IN_PROGRESS"),
        (entry("cancel", job=JOB), "POST echo/cancel 200 0 ms, 8881 IN_PROGRESS"),
        (entry("health"), "GET echo/health 200 0 ms"),
        (entry("run", 429, why="run: 1000 in 10 s"), "POST echo/run 429 run: 1000 in 10 s"),
        (entry("status", 404, job="x", why="job x was never here"), "GET echo/status 404 job x was never here"),
        (entry("run", 503, fault="busy"), "POST echo/run 503 0 ms, fault busy"),
        (entry("run", 0, fault="cut", took=5), "POST echo/run reset 5 ms, fault cut"),
        (entry("runsync", 499, job=JOB, took=90, why="the client has left"),
         "POST echo/runsync 499 the client has left, 90 ms"),
        (entry("balanced", path="/lb/echo/predict", took=3), "GET /lb/echo/predict 200 3 ms"),
        (entry("openai", path="/v2/echo/openai/v1/models", job=JOB), f"GET echo/openai/v1/models 200 0 ms, job {JOB}"),
        (entry("health", path="/v2/" + "x" * 900), f"GET {'x' * 200}… 200 0 ms"),
    ],
)  # fmt: skip
def test_a_line_says_what_was_asked_and_answered(caplog: pytest.LogCaptureFixture, asked: Entry, line: str) -> None:
    past = Past()
    past.known[JOB] = 2, "IN_PROGRESS"
    caplog.clear()
    caplog.set_level(logging.INFO, "runpod_emulator.requests")
    RequestLog(JobNames(), past).answered(asked)  # type: ignore[arg-type]
    assert caplog.messages == [line]
    facts = caplog.records[0].facts
    assert (facts["event"], facts["status"], facts["path"], facts["why"]) == (
        "request", asked.status, asked.path + (f"?{asked.query}" if asked.query else ""), asked.why,
    )  # fmt: skip


def test_a_whole_id_is_told_once(lines: Callable[[], list[str]], past: Past) -> None:
    names = JobNames()
    log = RequestLog(names, past)  # type: ignore[arg-type]
    names.introduced(JOB)
    log.answered(entry("runsync", job=JOB))
    assert lines() == ["POST echo/runsync 200 0 ms, job 8881"]


def test_polls_that_say_nothing_new_are_counted(lines: Callable[[], list[str]], past: Past) -> None:
    log = RequestLog(JobNames(), past)  # type: ignore[arg-type]
    past.known[JOB] = 1, "IN_QUEUE"
    for at in range(0, 4_000, 1_000):
        log.answered(entry("status", job=JOB, at=at))
    assert lines() == ["GET echo/status 200 0 ms, 8881 IN_QUEUE"]
    past.known[JOB] = 2, "IN_PROGRESS"
    log.answered(entry("status", job=JOB, at=4_000))
    assert lines() == ["GET echo/status 200 0 ms, 8881 IN_PROGRESS, before that 3 polls IN_QUEUE in 4 s"]
    past.known[JOB] = 3, "COMPLETED"
    log.answered(entry("status", job=JOB, at=5_000))
    log.answered(entry("status", 503, job=JOB, at=5_100, fault="busy"))
    assert lines() == ["GET echo/status 200 0 ms, 8881 COMPLETED", "GET echo/status 503 0 ms, fault busy"]


def test_polls_that_go_on_are_told_of_once_a_minute(lines: Callable[[], list[str]], past: Past) -> None:
    log = RequestLog(JobNames(), past)  # type: ignore[arg-type]
    past.known[JOB] = 1, "IN_QUEUE"
    for at in range(0, 181_000, 1_000):
        log.answered(entry("status", job=JOB, at=at))
    assert (
        lines()
        == ["GET echo/status 200 0 ms, 8881 IN_QUEUE"]
        + ["GET echo/status 200 0 ms, 8881 IN_QUEUE, before that 59 polls IN_QUEUE in 1 min"] * 3
    )


def forgotten(job: str) -> Any:
    """What the store tells of a job that is gone."""
    return SimpleNamespace(job=SimpleNamespace(endpoint="echo", id=job))


@table("goes_on", [
    lambda log: (log.answered(entry("health", at=62_999)), log.answered(entry("health", at=63_000))),
    lambda log: log.answered(entry("status", job="other", at=4_000)),
    lambda log: (log.heard(forgotten("other")), log.heard(forgotten(JOB))),
])  # fmt: skip
def test_polls_of_a_client_that_stops_are_told_of(
    lines: Callable[[], list[str]], past: Past, monkeypatch: pytest.MonkeyPatch, goes_on: Callable[[RequestLog], None]
) -> None:
    monkeypatch.setattr(module, "_FOLLOWED", 1)
    log = RequestLog(JobNames(), past)  # type: ignore[arg-type]
    past.known[JOB] = 1, "IN_QUEUE"
    for at in (0, 1_000, 2_000, 3_000):
        log.answered(entry("status", job=JOB, at=at))
    past.known[JOB] = 3, "COMPLETED"
    lines()
    goes_on(log)
    told = [line for line in lines() if "8881" in line]
    assert told == ["GET echo/status 200 0 ms, 8881 IN_QUEUE, before that 2 polls IN_QUEUE in 3 s, the last of them"]
    goes_on(log)
    assert not any("8881" in line for line in lines())


def test_polls_of_other_jobs_and_ways_are_counted_apart(lines: Callable[[], list[str]], past: Past) -> None:
    log = RequestLog(JobNames(), past)  # type: ignore[arg-type]
    for _ in range(2):
        for operation, job in (("status", "aaaa"), ("stream", "aaaa"), ("status", "bbbb"), ("health", "")):
            log.answered(entry(operation, job=job))
    assert lines() == [
        "GET echo/status 200 0 ms, aaaa", "GET echo/stream 200 0 ms, aaaa", "GET echo/status 200 0 ms, bbbb",
        "GET echo/health 200 0 ms", "GET echo/health 200 0 ms",
    ]  # fmt: skip


def test_a_reset_and_too_many_jobs_end_the_counting(
    lines: Callable[[], list[str]], past: Past, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FOLLOWED", 2)
    log = RequestLog(JobNames(), past)  # type: ignore[arg-type]
    for job in ("a", "b", "c", "a", "a"):
        log.answered(entry("status", job=job))
    assert len(lines()) == 4 and len(log._folds) == 2
    log.cleared("other")
    log.answered(entry("status", job="a"))
    assert lines() == []
    log.cleared("echo")
    log.answered(entry("status", job="a"))
    assert len(lines()) == 1
    log.cleared(None)
    assert not log._folds


def test_each_mode_has_its_lines(lines: Callable[[], list[str]], past: Past) -> None:
    for mode, kind, count in (("all", RequestLog, 3), ("errors", RefusalLog, 2)):
        (log,) = request_log(LogOptions(mode), past)  # type: ignore[arg-type]
        assert type(log) is kind
        for status in (200, 404, 0):
            log.answered(entry("health", status))
            if status != 200:
                log.refused(entry("health", status))
        assert len(lines()) == count
    assert request_log(LogOptions("none"), past) == []  # type: ignore[arg-type]
