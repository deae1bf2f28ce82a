"""Tables of cases: every row is tried, and those that fail are named."""

from __future__ import annotations

import inspect
import os
from typing import Any

import pytest

from tests.tables import table


def test_every_row_is_tried_and_those_that_fail_are_named() -> None:
    tried = []

    @table(("number", "even"), [(1, True), (2, True), (3, True)])
    def rows(number: int, even: bool) -> None:
        tried.append(number)
        assert (number % 2 == 0) is even, "odd"

    with pytest.raises(
        AssertionError, match=r"(?s)^2 of 3 rows:\n\[number=1, even=True\].*odd.*\[number=3, even=True\]"
    ):
        rows()
    assert tried == [1, 2, 3]


def test_a_fault_of_all_rows_is_not_waited_for_again_and_again() -> None:
    tried = []

    @table("number", range(100))
    def rows(number: int) -> None:
        tried.append(number)
        raise TimeoutError(number)

    with pytest.raises(AssertionError, match="at least 5 of 100 rows"):
        rows()
    assert tried == [0, 1, 2, 3, 4]


async def test_stacked_and_asynchronous_each_row_meets_each() -> None:
    met = []

    @table("letter", "ab")
    @table("number", [1, 2])
    async def rows(letter: str, number: int, own: str) -> None:
        met.append(f"{letter}{number}{own}")

    assert list(inspect.signature(rows).parameters) == ["own"]
    await rows(own="!")
    assert met == ["a1!", "a2!", "b1!", "b2!"]


def test_what_a_row_patches_is_gone_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    @table("name", ["RUNPOD_FIRST", "RUNPOD_SECOND"])
    def rows(name: str, monkeypatch: Any) -> None:
        monkeypatch.setenv(name, "1")
        assert [one for one in ("RUNPOD_FIRST", "RUNPOD_SECOND") if one in os.environ] == [name]

    rows(monkeypatch=monkeypatch)
