"""Timers come out in the order of their time, and cancelled ones do not pile up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runpod_emulator.core.time.timers import _FEW, Timers


def names(timers: Timers) -> list[object]:
    """What the callbacks of all that is left answer, first come first."""
    found = []
    while timers.first_due() is not None:
        found.append(timers.pop()())
    return found


def test_first_the_earliest_and_of_one_time_the_first_that_was_set():
    timers = Timers()
    for name, due in (("c", 3), ("a", 1), ("d", 3), ("b", 2)):
        timers.add(due, lambda name=name: name)
    assert timers.first_due() == 1
    assert names(timers) == ["a", "b", "c", "d"]
    assert timers.first_due() is None


def test_a_cancelled_one_never_comes_and_cancelling_twice_is_harmless():
    timers = Timers()
    gone = timers.add(1, lambda: "gone")
    timers.add(2, lambda: "there")
    gone.cancel()
    gone.cancel()
    assert timers.first_due() == 2
    assert names(timers) == ["there"]


def test_one_that_has_fired_can_be_cancelled():
    timers = Timers()
    fired = timers.add(1, lambda: "fired")
    timers.add(1, lambda: "next")
    assert timers.first_due() == 1 and timers.pop()() == "fired"
    fired.cancel()
    assert names(timers) == ["next"]


@pytest.mark.parametrize("kept", [0, 10])
def test_the_heap_does_not_grow_with_cancelled_ones(kept: int):
    timers = Timers()
    for number in range(kept):
        timers.add(number, lambda number=number: number)
    for _ in range(5_000):
        timers.add(10, lambda: None).cancel()
        assert len(timers._heap) <= 2 * (kept + _FEW + 1)
    assert names(timers) == list(range(kept))


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=300))
def test_any_history(doings):
    timers = Timers()
    expected = []
    for serial, (due, cancelled) in enumerate(doings):
        timer = timers.add(due, lambda serial=serial: serial)
        if cancelled:
            timer.cancel()
        else:
            expected.append((due, serial))
    assert names(timers) == [serial for _, serial in sorted(expected)]
