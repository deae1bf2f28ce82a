"""The ramp rule: a new concurrency waits until nothing is in flight."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.workers.runner.concurrency import Concurrency


def test_without_a_modifier_it_is_one() -> None:
    concurrency = Concurrency(None)
    assert not concurrency.review(0)
    assert concurrency.applied == 1


@pytest.mark.parametrize("fixed", [1, 4])
def test_without_a_modifier_it_is_what_the_worker_was_told(fixed: int) -> None:
    concurrency = Concurrency(None, fixed)
    assert concurrency.applied == fixed
    assert not concurrency.review(0) and not concurrency.review(fixed)
    assert concurrency.applied == fixed


def test_a_modifier_counts_for_more_than_what_the_worker_was_told_and_starts_from_one() -> None:
    asked: list[int] = []
    concurrency = Concurrency(lambda current: asked.append(current) or 2, 4)
    assert concurrency.review(0)
    assert (concurrency.applied, asked) == (2, [1])


def test_an_idle_worker_takes_the_new_value_at_once() -> None:
    concurrency = Concurrency(lambda current: 4)
    assert concurrency.review(0)
    assert concurrency.applied == 4
    assert not concurrency.review(0)


def test_a_busy_worker_takes_it_when_its_jobs_have_ended_and_asks_no_more_until_then() -> None:
    asked: list[int] = []

    def modifier(current: int) -> int:
        asked.append(current)
        return current + 1

    concurrency = Concurrency(modifier)
    concurrency.review(0)
    assert [concurrency.review(in_flight) for in_flight in (1, 2, 1, 0)] == [False, False, False, True]
    assert concurrency.applied == 3
    assert asked == [1, 2]


@pytest.mark.parametrize("answer", [0, -1, "4", 2.0, None])
def test_a_useless_answer_is_logged_and_changes_nothing(answer: Any, capsys: pytest.CaptureFixture[str]) -> None:
    concurrency = Concurrency(lambda current: answer)
    assert not concurrency.review(0)
    assert concurrency.applied == 1
    assert f"returned {answer!r}, the concurrency stays 1" in capsys.readouterr().err


def test_a_failing_modifier_is_logged_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def modifier(current: int) -> int:
        raise ZeroDivisionError("none")

    concurrency = Concurrency(modifier)
    assert not concurrency.review(0)
    logged = capsys.readouterr().err
    assert "the concurrency stays 1" in logged
    assert "ZeroDivisionError: none" in logged
    assert "concurrency.py" not in logged.replace(__file__, "")


def test_numbers_of_other_libraries_count() -> None:
    class Number:
        def __index__(self) -> int:
            return 3

    concurrency = Concurrency(lambda current: Number())
    assert concurrency.review(0)
    assert concurrency.applied == 3
