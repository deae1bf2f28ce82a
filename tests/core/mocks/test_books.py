"""Books of stubs and faults grow in step: what is added last costs no more than what was added first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault, FaultBook
from runpod_emulator.core.mocks.script import Ending, Script
from runpod_emulator.core.mocks.stubs import Stub, StubBook
from runpod_emulator.core.time.clock import VirtualClock
from runpod_emulator.core.time.timeline import Timeline

from tests.tables import table
from tests.timing import expect_within, timed

MANY = 10_000
DONE = (Script(Ending.OUTPUT),)


def worked(act: Callable[[], object]) -> float:
    """Seconds of work."""
    began = time.thread_time()
    act()
    return time.thread_time() - began


@timed
def test_many_faults_are_added_soon():
    faults = FaultBook(1, Timeline(VirtualClock()))
    took = worked(lambda: [faults.add(Fault("", FaultKind.STATUS)) for _ in range(MANY)])
    assert [fault.id for fault in faults] == [f"fault-{number}" for number in range(1, MANY + 1)]
    expect_within(took, 0.8)


@timed
def test_many_stubs_are_added_soon():
    stubs = StubBook()
    took = worked(lambda: [stubs.add(Stub(f"{number}", DONE, priority=number % 2)) for number in range(MANY)])
    numbers = [int(stub.id) for stub in stubs]
    assert numbers == [*range(MANY - 1, 0, -2), *range(MANY - 2, -1, -2)]
    expect_within(took, 0.3)


def test_a_stub_that_is_replaced_is_the_youngest_of_its_new_priority():
    stubs = StubBook()
    for name, priority in [("a", 0), ("b", 1), ("c", 0), ("b", 0), ("a", 0)]:
        stubs.add(Stub(name, DONE, priority=priority))
    assert [stub.id for stub in stubs] == ["a", "b", "c"]
    assert stubs.remove("b")
    assert not stubs.remove("b")
    stubs.add(Stub("b", DONE))
    assert [stub.id for stub in stubs] == ["b", "a", "c"]
    stubs.keep()
    stubs.clear()
    stubs.add(Stub("a", DONE))
    stubs.reset()
    stubs.add(Stub("c", DONE))
    assert [stub.id for stub in stubs] == ["c", "b", "a"]


def test_a_stub_that_is_changed_keeps_its_place_unless_its_priority_is_another():
    stubs = StubBook()
    for name in ("c", "b", "a"):
        stubs.add(Stub(name, DONE))
    stubs.get("b").is_off = True  # type: ignore[union-attr]
    stubs.change(new := Stub("b", DONE, endpoint="llm"))
    assert [stub.id for stub in stubs] == ["a", "b", "c"]
    assert (stubs.get("b"), new.is_off) == (new, True)
    stubs.change(Stub("c", DONE, priority=1))
    stubs.change(Stub("b", DONE, priority=1))
    assert [(stub.id, stub.is_off) for stub in stubs] == [("b", True), ("c", False), ("a", False)]


def test_a_fault_that_has_ended_leaves_its_id_free():
    clock = VirtualClock()
    faults = FaultBook(1, Timeline(clock))
    faults.add(Fault("a", FaultKind.STATUS, expires_at=clock.now()))
    assert faults.get("a") is None
    assert not faults.remove("a")
    again = faults.add(Fault("a", FaultKind.LATENCY))
    assert list(faults) == [again]


def test_a_stub_counts_on_from_what_another_one_had_counted():
    one, other = Stub("a", DONE, times=9), Stub("a", DONE, times=9)
    for _ in range(3):
        one.draw()
    for number in (3, 1):
        one.give_back(number)
    one.asked, one.matched, one.played, one.is_off, one.problem = 4, 3, 2, True, "slow"
    other.count_on(one.counted())
    assert other == one
    assert [other.draw() for _ in range(3)] == [1, 3, 4]
    other.begin()
    assert other.counted() == Stub("a", DONE).counted()


def test_a_fault_counts_on_from_what_another_one_had_counted():
    one, other = Fault("a", FaultKind.STATUS), Fault("a", FaultKind.STATUS)
    one.asked, one.struck, one.is_off = 5, 2, True
    other.count_on(one.counted())
    assert other == one


@table("counted", [[], [1], None, 7, ["a"] * 7, [0, 0, 0, 0, 7, False, ""], [None] * 3])
def test_what_is_no_list_of_counts_is_refused(counted: Any):
    for mock in (Stub("a", DONE), Fault("a", FaultKind.STATUS)):
        with pytest.raises((TypeError, ValueError)):
            mock.count_on(counted)
