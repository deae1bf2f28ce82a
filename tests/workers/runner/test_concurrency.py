"""The ramp rule: a new concurrency waits until nothing is in flight."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.workers.runner.concurrency import MOST, Concurrency


def test_without_a_modifier_it_is_one() -> None:
    concurrency = Concurrency(None)
    assert not concurrency.review(0)
    assert concurrency.slots == 1


@pytest.mark.parametrize("fixed", [1, 4])
def test_without_a_modifier_it_is_what_the_worker_was_told(fixed: int) -> None:
    concurrency = Concurrency(None, fixed)
    assert concurrency.slots == fixed
    assert not concurrency.review(0) and not concurrency.review(fixed)
    assert concurrency.slots == fixed


def test_a_modifier_counts_for_more_than_what_the_worker_was_told_and_starts_from_one() -> None:
    asked: list[int] = []
    concurrency = Concurrency(lambda current: asked.append(current) or 2, 4)
    assert concurrency.review(0)
    assert (concurrency.slots, asked) == (2, [1])


def test_an_idle_worker_takes_the_new_value_at_once() -> None:
    concurrency = Concurrency(lambda current: 4)
    assert concurrency.review(0)
    assert concurrency.slots == 4
    assert not concurrency.review(0)


def test_a_busy_worker_takes_it_when_its_jobs_have_ended_and_asks_no_more_until_then() -> None:
    asked: list[int] = []

    def modifier(current: int) -> int:
        asked.append(current)
        return current + 1

    concurrency = Concurrency(modifier)
    concurrency.review(0)
    assert [concurrency.review(in_flight) for in_flight in (1, 2, 1, 0)] == [False, False, False, True]
    assert concurrency.slots == 3
    assert asked == [1, 2]


@pytest.mark.parametrize(
    ("answer", "slots"), [(0, 0), (-1, 0), (True, 1), (2.5, 3), (0.5, 1), (float("inf"), MOST)], ids=str
)
def test_any_number_counts_as_the_official_worker_counts_it(answer: Any, slots: int) -> None:
    concurrency = Concurrency(lambda current: answer)
    concurrency.review(0)
    assert concurrency.slots == slots


def test_the_modifier_gets_back_what_it_said() -> None:
    asked: list[Any] = []
    concurrency = Concurrency(lambda current: asked.append(current) or (2.5 if current == 1 else 0))
    for _ in range(3):
        concurrency.review(0)
    assert asked == [1, 2.5, 0]


@pytest.mark.parametrize("answer", ["4", None, [], {}], ids=str)
def test_what_is_no_number_ends_the_worker(answer: Any) -> None:
    concurrency = Concurrency(lambda current: answer)
    with pytest.raises(TypeError, match="unsupported operand"):
        concurrency.review(0)


def test_what_is_no_number_ends_a_busy_worker_after_its_jobs() -> None:
    answers = iter([4, None, None])
    concurrency = Concurrency(lambda current: next(answers))
    assert concurrency.review(0)
    assert not concurrency.review(2)
    with pytest.raises(TypeError):
        concurrency.review(0)


def test_what_a_modifier_raises_ends_the_worker() -> None:
    def modifier(current: int) -> int:
        raise ZeroDivisionError("none")

    with pytest.raises(ZeroDivisionError):
        Concurrency(modifier).review(3)
