"""The start and the end of an emulator: what is done twice, too early or too late is told at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from runpod_emulator import Emulator
from runpod_emulator.testing import NotRunning

from tests.plain import PLAIN
from tests.tables import table

ASKED: list[Callable[[Emulator], Any]] = [
    lambda emu: emu.base_url,
    lambda emu: emu.ca_file,
    lambda emu: emu.key,
    lambda emu: emu.environment,
    lambda emu: emu.stub(respond={"output": 1}),
    lambda emu: emu.fault("latency", delay="1s"),
    lambda emu: emu.profile("flaky-network"),
    lambda emu: emu.handler("llm", len),
    lambda emu: emu.reset(),
    lambda emu: emu.requests(),
    lambda emu: emu.assert_requested(operation="run"),
    lambda emu: emu.jobs(),
    lambda emu: emu.job("id"),
    lambda emu: emu.wait_for(idle=True),
    lambda emu: emu.clock.now(),
    lambda emu: emu.clock.is_true,
    lambda emu: emu.clock.advance(1),
    lambda emu: emu.clock.run_until_idle(),
    lambda emu: emu.webhooks.url,
    lambda emu: emu.webhooks.received,
    lambda emu: emu.webhooks.answer(500),
]
"""Everything that can be asked of an emulator."""


@table("ask", ASKED)
@pytest.mark.filterwarnings("error")
def test_what_does_not_run_says_so(ask: Callable[[Emulator], Any]) -> None:
    emu = Emulator("llm")
    with pytest.raises(NotRunning, match="use it as `with Emulator"):
        ask(emu)


def test_what_was_stopped_says_so_and_may_be_started_again() -> None:
    with Emulator("llm") as emu:
        stub = emu.stub(respond={"output": 1})
        assert stub.played == 0
    for ask in (*ASKED, lambda emu: stub.played, lambda emu: stub.remove()):
        with pytest.raises(NotRunning):
            ask(emu)
    emu.stop()
    with emu:
        assert emu.jobs() == []


def test_a_second_start_is_refused_and_the_first_goes_on() -> None:
    before = threading.active_count()
    with Emulator("llm") as emu:
        where = emu.base_url
        for again in (emu.start, emu.__enter__):
            with pytest.raises(RuntimeError, match="runs already"):
                again()
        assert emu.base_url == where
        assert emu.jobs() == []
    assert threading.active_count() <= before


def test_a_start_that_fails_leaves_nothing() -> None:
    before = threading.active_count()
    with Emulator("llm") as emu, pytest.raises(Exception, match="in use"):
        Emulator("llm", port=emu.link.server.port).start()
    assert threading.active_count() <= before


def test_counts_and_removal_of_what_was_added() -> None:
    with Emulator("llm", clock="virtual") as emu:
        stub, fault = emu.stub(respond={"output": 1}), emu.fault("latency", delay=0)
        assert (stub.asked, stub.matched, stub.played, fault.asked, fault.struck) == (0, 0, 0, 0, 0)
        emu.stub(id=stub.id, respond={"output": 2})
        stub.remove()  # it was replaced: the newer one stays
        assert emu.link.ask(lambda world: [one.id for one in world.stubs]) == ["stub-1"]
        fault.remove()
        fault.remove()
        assert emu.link.ask(lambda world: list(world.faults)) == []
        assert (repr(stub), repr(fault)) == ("<stub stub-1>", "<fault latency fault-1>")


async def test_requests_that_are_sent_at_once_have_one_moment_on_an_automatic_clock() -> None:
    with Emulator("llm", seed=1) as emu:
        emu.stub(endpoint="llm", respond={"delay": "30s", "output": 1})
        async with httpx.AsyncClient(base_url=emu.base_url, headers=emu.headers, **PLAIN) as client:
            posts = (client.post("/llm/runsync", json={"input": {"n": number}}) for number in range(6))
            answers = [answer.json() for answer in await asyncio.gather(*posts)]
        assert {answer["status"] for answer in answers} == {"COMPLETED"}, "60 s of work, of 90 s that they are held"
