"""Small numbers of workers."""

from __future__ import annotations

import pytest
from runpod_emulator.core.fleet import numbers as module
from runpod_emulator.core.fleet.numbers import Numbers


def test_workers_are_numbered_as_they_come_and_come_again() -> None:
    numbers = Numbers("echo")
    assert [numbers.give(worker) for worker in ("a", "b", "a")] == [1, 2, 1]
    assert [numbers.of(worker) for worker in ("a", "b", "c")] == [1, 2, 0]
    assert [numbers.name(worker) for worker in ("b", "c")] == ["echo#2", "echo/c"]


def test_one_that_came_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KNOWN", 2)
    numbers = Numbers("echo")
    assert [numbers.give(worker) for worker in ("a", "b", "c", "a")] == [1, 2, 3, 4]
    assert numbers.of("b") == 0
