"""The ramp rule: a new concurrency waits until nothing is in flight."""

from __future__ import annotations

from typing import Any

import pytest
from runpod_emulator.workers.runner.concurrency import MOST, Concurrency
from runpod_emulator.workers.runner.frames import Kind


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


# In a worker

LATER = """
    import runpod

    asked = []

    def modifier(current):
        asked.append(current)
        if len(asked) > GOOD:
            raise RuntimeError("no more")
        return 1

    runpod.serverless.start({"handler": lambda job: job["input"], "concurrency_modifier": modifier})
"""


def later(start: Any, good: int, rules: str) -> Any:
    child = start(LATER.replace("GOOD", str(good)), options=("--rules", rules))
    child.ready()
    return child


def test_a_modifier_that_fails_when_a_job_has_come_ends_the_worker_before_the_job_begins(start: Any) -> None:
    child = later(start, 1, "1.12")
    child.job()
    assert child.wait() == 1
    assert child.frames == []
    assert "RuntimeError: no more" in child.log


def test_by_the_rules_of_2_0_the_job_has_begun_by_then(start: Any) -> None:
    child = later(start, 1, "2.0")
    child.job("x")
    while (frame := child.next()).kind is not Kind.DONE:
        assert frame.kind is Kind.CAPACITY
    assert child.wait() == 1


@pytest.mark.parametrize("rules", ["1.12", "2.0"])
def test_one_that_fails_when_a_job_has_ended_wants_no_other_before_it_says_so(start: Any, rules: str) -> None:
    child = later(start, 2, rules)
    child.job("x")
    assert child.expect(Kind.CAPACITY, "") == b"0"
    assert child.done().output == b'"x"'
    assert child.wait() == 1


def test_one_that_wants_nothing_says_so_and_leaves_when_it_is_asked_to(start: Any) -> None:
    config = "{'handler': print, 'concurrency_modifier': lambda now: 0}"
    child = start(f"import runpod\nrunpod.serverless.start({config})\nprint('after')")
    child.logged("concurrency_modifier gives 0: this worker asks for no job")
    child.process.terminate()
    assert child.wait() == 0
    assert child.log.endswith("after\n")
    assert child.frames == []
