"""The book of faults: what a rule fits, when it strikes, and how it ends."""

from __future__ import annotations

import pytest
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault, FaultBook, MadeByFault
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import Span
from runpod_emulator.core.time.clock import VirtualClock
from runpod_emulator.core.time.timeline import Timeline

RESET, LATENCY = FaultKind.CONNECTION_RESET, FaultKind.LATENCY


def book(seed: int | None = 1, clock: VirtualClock | None = None) -> FaultBook:
    return FaultBook(seed, Timeline(clock or VirtualClock()))


def pattern(faults: FaultBook, draws: int, kind: FaultKind = RESET, endpoint: str = "ep") -> str:
    """One letter a draw: x where a rule struck."""
    return "".join("x" if faults.draw(kind, endpoint) else "." for _ in range(draws))


def test_an_empty_book_is_false_and_strikes_never():
    faults = book()
    assert not faults
    assert faults.draw(RESET, "ep") is None


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({}, "xxxxxx"),
        ({"times": 2}, "xx...."),
        ({"calls": frozenset({1, 3})}, "x.x..."),
        ({"calls": frozenset({2, 3, 4}), "times": 2}, ".xx..."),
        ({"probability": 0.0}, "......"),
        ({"probability": 1.0, "times": 1}, "x....."),
    ],
)
def test_counts_and_calls_say_when_a_rule_strikes(rule, expected: str):
    faults = book()
    fault = faults.add(Fault("", RESET, **rule))
    assert pattern(faults, 6) == expected
    assert (fault.asked, fault.struck) == (6, expected.count("x"))


@pytest.mark.parametrize(
    ("rule", "endpoint", "operation", "fits"),
    [
        ({"endpoint": "llm*"}, "llm-7b", Operation.RUN, True),
        ({"endpoint": "llm*"}, "echo", Operation.RUN, False),
        ({"endpoint": "LLM*"}, "llm-7b", Operation.RUN, False),
        ({"operations": frozenset({Operation.RUN})}, "ep", Operation.RUN, True),
        ({"operations": frozenset({Operation.RUN})}, "ep", Operation.STATUS, False),
        ({"operations": frozenset({Operation.RUN})}, "ep", None, False),
        ({}, "ep", None, True),
    ],
)
def test_a_rule_fits_endpoints_and_operations(rule, endpoint: str, operation: Operation | None, fits: bool):
    faults = book()
    fault = faults.add(Fault("", RESET, **rule))
    assert (faults.draw(RESET, endpoint, operation) is fault) is fits
    assert fault.asked == fits


def test_what_a_rule_does_not_fit_it_does_not_count():
    faults = book()
    fault = faults.add(Fault("", RESET, endpoint="a", calls=frozenset({2})))
    assert not faults.draw(RESET, "a")
    assert not faults.draw(RESET, "b")
    assert not faults.draw(LATENCY, "a")
    assert not faults.draw(RESET, "a", fits=lambda fault: False)
    assert faults.draw(RESET, "a") is fault


def test_a_rule_ends_by_itself():
    clock = VirtualClock()
    faults = book(clock=clock)
    faults.add(Fault("short", RESET, expires_at=clock.now() + 1_000))
    faults.add(Fault("long", RESET))
    clock.move_to(clock.now() + 999)
    assert [fault.id for fault in faults] == ["short", "long"]
    clock.move_to(clock.now() + 1)
    assert [fault.id for fault in faults] == ["long"]
    assert faults.get("short") is None
    assert faults.remove("long")
    assert not faults


def test_the_last_rule_to_expire_leaves_an_empty_book():
    clock = VirtualClock()
    faults = book(clock=clock)
    faults.add(Fault("", RESET, expires_at=clock.now()))
    assert faults
    assert faults.draw(RESET, "ep") is None
    assert not faults


def test_the_first_rule_strikes_and_all_have_been_asked():
    faults = book()
    first = faults.add(Fault("a", RESET, times=1))
    second = faults.add(Fault("b", RESET, calls=frozenset({1, 3})))
    assert [faults.draw(RESET, "ep") for _ in range(4)] == [first, None, second, None]
    assert (first.asked, first.struck, second.asked, second.struck) == (4, 1, 4, 1)


def test_several_kinds_are_drawn_at_once():
    faults = book()
    late = faults.add(Fault("", LATENCY))
    assert faults.draw((RESET, LATENCY), "ep") is late


def test_ids_are_chosen_and_a_second_rule_of_one_id_takes_its_place():
    faults = book()
    assert [faults.add(Fault("", RESET)).id for _ in range(2)] == ["fault-1", "fault-2"]
    again = faults.add(Fault("fault-1", LATENCY))
    assert [fault.id for fault in faults] == ["fault-2", "fault-1"]
    assert faults.get("fault-1") is again
    assert not faults.remove("fault-3")
    faults.clear()
    assert not faults


def test_the_same_seed_strikes_the_same_calls():
    def run(seed: int | None) -> str:
        faults = book(seed)
        faults.add(Fault("", RESET, probability=0.5))
        return pattern(faults, 64)

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert run(None) != run(None)
    assert 16 < run(1).count("x") < 48


def test_neither_another_rule_nor_another_endpoint_changes_when_a_rule_strikes():
    alone = book()
    alone.add(Fault("one", RESET, endpoint="ep", probability=0.5))
    expected = pattern(alone, 32)
    among = book()
    among.add(Fault("other", LATENCY, probability=0.5, delay=Span(1, 100)))
    one = among.add(Fault("one", RESET, endpoint="ep", probability=0.5))
    found = ""
    for _ in range(32):
        late = among.draw(LATENCY, "ep")
        assert late is None or 1 <= late.draw_delay() <= 100
        among.draw(RESET, "elsewhere")
        found += "x" if among.draw(RESET, "ep") is one else "."
    assert found == expected


def test_a_rule_with_a_seed_of_its_own_does_not_mind_the_books():
    def run(seed: int) -> str:
        faults = book(seed)
        faults.add(Fault("", RESET, probability=0.5, seed=7))
        return pattern(faults, 32)

    assert run(1) == run(2)


def test_the_dice_are_thrown_only_for_calls_that_fit():
    faults = book()
    fault = faults.add(Fault("", RESET, probability=0.5, calls=frozenset(range(1, 33))))
    other = book()
    other.add(Fault("", RESET, probability=0.5, calls=frozenset(range(11, 43))))
    assert pattern(faults, 32) == pattern(other, 42)[10:]
    assert fault.asked == 32


def test_delays_lie_in_their_range_and_follow_the_seed():
    def delays(seed: int, span: Span) -> list[int]:
        fault = book(seed).add(Fault("", LATENCY, delay=span))
        return [fault.draw_delay() for _ in range(20)]

    assert delays(1, Span(5, 5)) == [5] * 20
    assert set(delays(1, Span(1, 3))) <= {1, 2, 3}
    assert delays(1, Span(0, 10_000)) == delays(1, Span(0, 10_000)) != delays(2, Span(0, 10_000))
    assert delays(1, Span(0, 10_000, 9)) == delays(2, Span(0, 10_000, 9))


def test_a_delay_of_a_key_is_always_the_same():
    fault = book().add(Fault("", LATENCY, delay=Span(0, 10_000)))
    assert fault.delay_of("a") == fault.delay_of("a") != fault.delay_of("b")


def test_a_reset_brings_back_what_was_kept_with_its_counts_and_dice_as_at_first():
    faults = book()
    kept = faults.add(Fault("kept", RESET, probability=0.5))
    faults.keep()
    before = pattern(faults, 20)
    faults.add(Fault("", RESET))
    faults.reset()
    assert list(faults) == [kept]
    assert (kept.asked, kept.struck) == (0, 0)
    assert pattern(faults, 20) == before


@pytest.mark.parametrize(
    ("status", "about_job", "title", "detail"),
    [
        (401, False, "Unauthorized", "invalid api key"),
        (404, False, "Not Found", "endpoint not found"),
        (404, True, "Not Found", "job not found"),
        (429, False, "Too Many Requests", "rate limit exceeded"),
        (500, False, "Internal Server Error", "internal server error"),
        (500, True, "Internal Server Error", ""),
        (524, True, "A Timeout Occurred", "a timeout occurred"),
        (599, False, "Unknown Error", "unknown error"),
    ],
)
def test_an_error_has_the_services_words(status: int, about_job: bool, title: str, detail: str):
    error = MadeByFault(status, about_job, {"Retry-After": "2"})
    assert (error.status, error.title, error.detail) == (status, title, detail)
    assert error.headers == {"Retry-After": "2"}
