"""What workers print, as lines of the log."""

from __future__ import annotations

import logging

import pytest
from runpod_emulator.core.records.news import Line
from runpod_emulator.effects.names import JobNames
from runpod_emulator.effects.worker_log import WorkerLog

JOB = "8881f0c2-aaaa-u1"


def named() -> JobNames:
    """Names of which the job's whole one was told."""
    names = JobNames()
    names.introduced(JOB)
    return names


@pytest.fixture(autouse=True)
def _level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "runpod_emulator")


def test_a_line_has_the_short_names_of_worker_and_job(caplog: pytest.LogCaptureFixture) -> None:
    log = WorkerLog(named())
    log.printed(Line(0, "echo", "w1", JOB, "said", number=1))
    log.printed(Line(0, "echo", "w2", "", "nobody's", number=2, coloured="\x1b[31mnobody's\x1b[0m"))
    assert caplog.messages == ["echo#1 8881 │ said", "echo#2 │ nobody's"]
    first, second = caplog.records
    assert first.facts == {"event": "printed", "endpoint": "echo", "worker": "w1", "job": JOB}
    assert not hasattr(first, "coloured") and second.coloured == "\x1b[31mnobody's\x1b[0m"


def test_a_traceback_is_one_record_at_error(caplog: pytest.LogCaptureFixture) -> None:
    log = WorkerLog(named())
    lines = ["Traceback (most recent call last):", '  File "h.py", line 1', "ValueError: no"]
    for number, text in enumerate(lines):
        log.printed(Line(0, "echo", "w1", JOB, text, "error", 1, more=number < 2))
    log.printed(Line(0, "echo", "w1", JOB, "on", number=1))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", 'echo#1 8881 │ Traceback (most recent call last):\n    File "h.py", line 1\n  ValueError: no'),
        ("INFO", "echo#1 8881 │ on"),
    ]


def test_the_whole_id_comes_before_the_first_line_where_it_was_not_told(caplog: pytest.LogCaptureFixture) -> None:
    log = WorkerLog(JobNames())
    for text in ("one", "two"):
        log.printed(Line(0, "echo", "w1", JOB, text, number=1))
    assert caplog.messages == [f"echo#1 8881 is job {JOB}", "echo#1 8881 │ one", "echo#1 8881 │ two"]
    assert caplog.records[0].facts == {"event": "named", "endpoint": "echo", "worker": "w1", "job": JOB}


def test_what_nobody_reads_is_not_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "runpod_emulator")
    names = JobNames()
    log = WorkerLog(names)
    for level in ("info", "warning"):
        log.printed(Line(0, "echo", "w1", JOB, level, level, 1))
    assert caplog.messages == ["echo#1 8881 │ warning"]
    assert names.introduced(JOB) == JOB
