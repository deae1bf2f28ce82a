"""Names and values that nobody knows are refused, with the right one beside them: a wrong one would hold for ever."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from runpod_emulator import Emulator
from runpod_emulator.core.errors import ConfigurationError

from tests.tables import table


@pytest.fixture(scope="module")
def emu() -> Iterator[Emulator]:
    with Emulator("llm", clock="virtual") as emu:
        yield emu


Wrong = Callable[[Any], Any]
"""What a test of somebody's does wrong; untyped, as it would be told by mypy."""

CALLS: list[tuple[Wrong, str]] = [
    (lambda emu: emu.fault("latency", endpoint="llmm", delay="1s"), "there is no endpoint llmm; the nearest is llm"),
    (lambda emu: emu.fault("latenci", delay="1s"), "there is no fault latenci; the nearest is latency"),
    (lambda emu: emu.fault("latency", dealy="1s"), "dealy: no such key; the nearest is delay"),
    (lambda emu: emu.fault("latency", status=5, delay="1s"), "status is not for latency: it takes delay"),
    (lambda emu: emu.fault("lost_job", copies=0), "copies is not for lost_job: it takes no parameters of its own"),
    (lambda emu: emu.stub(endpont="llm", respond={}), "endpont: no such key; the nearest is endpoint"),
    (lambda emu: emu.stub(endpoint="bad id", respond={}), "'bad id' can't be an endpoint id"),
    (lambda emu: emu.handler("h", 5), "5 is no function"),
    (lambda emu: emu.handler("bad id", len), "'bad id' can't be an endpoint id"),
    (lambda emu: emu.webhooks.answer(99), "99 is no answer of a webhook; write 200 to 599"),
    (lambda emu: emu.webhooks.answer(200, times=-1), "times: -1"),
    (lambda emu: emu.clock.advance(-5), "-5 is no duration: write seconds, from 0 to"),
    (lambda emu: emu.clock.advance("5 weeks"), "'5 weeks' is no duration"),
    (lambda emu: emu.clock.advance("-5s"), "'-5s' is no duration"),
    (lambda emu: emu.clock.advance(float("nan")), "nan is no duration"),
    (lambda emu: emu.clock.advance(True), "True is no duration"),
    (lambda emu: emu.clock.run_until_idle(float("inf")), "inf is no duration"),
]


@table(("wrong", "said"), CALLS)
def test_a_wrong_call_is_refused(emu: Emulator, wrong: Wrong, said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        wrong(emu)


@table(
    ("options", "said"),
    [
        ({"clok": "virtual"}, "there is no option clok; the nearest is clock"),
        ({"clock": "slow"}, "clock: Input should be"),
        ({"workers_max": -1}, "workers_max: Input should be greater than or equal to 0"),
    ],
)
def test_a_wrong_option_is_refused_in_the_words_of_python(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{re.escape(said)}"):
        Emulator("llm", **options).start()


def test_a_duration_may_be_a_text(emu: Emulator) -> None:
    before = emu.clock.now()
    for by in ("31m", "1.5s", "250ms", 2, 0.25):
        emu.clock.advance(by)
    assert emu.clock.now() - before == 31 * 60 + 1.5 + 0.25 + 2 + 0.25


@table("clock", ["real", "auto"])
def test_only_a_virtual_clock_is_moved(clock: Any) -> None:
    with Emulator("llm", clock=clock) as emu:
        for move in (lambda: emu.clock.advance(1), emu.clock.run_until_idle):
            with pytest.raises(ConfigurationError, match=r'make it with Emulator\(clock="virtual"\)'):
                move()
