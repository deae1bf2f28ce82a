"""Marks of modules, classes and tests together, fixtures of a wider scope, and what one test leaves the next."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

MARKS = """
import pytest

pytestmark = pytest.mark.runpod_emulator("llm", clock="virtual", workers_max=2, fault_profile=["cold-fleet"])


def seen(emu):
    world = emu.link.world
    kind = type(world.timeline.clock).__name__
    return sorted(world.endpoints), kind, world.endpoints.queues["llm"].settings.workers_max, len(list(world.faults))


def test_of_the_module(runpod_emulator):
    assert seen(runpod_emulator)[:3] == (["llm"], "VirtualClock", 2)
    assert seen(runpod_emulator)[3] > 0


@pytest.mark.runpod_emulator("tts", workers_max=5)
class TestOfTheClass:
    def test_its_own(self, runpod_emulator):
        assert seen(runpod_emulator)[:3] == (["llm", "tts"], "VirtualClock", 5)

    @pytest.mark.runpod_emulator("llm", clock="real", fault_profile=[])
    def test_nearest(self, runpod_emulator):
        assert seen(runpod_emulator) == (["llm", "tts"], "RealClock", 5, 0)
"""

FACTORY = """
import os

import httpx
import pytest
import runpod

EARLY = os.environ["RUNPOD_ENDPOINT_BASE_URL"]
ENDPOINT = runpod.Endpoint("llm")


@pytest.fixture(scope="module")
def emu(runpod_emulator_factory):
    with runpod_emulator_factory("llm", clock="auto") as emu:
        emu.stub(endpoint="llm", respond={"delay": "20s", "output": "of the module"})
        yield emu


def test_one(emu):
    assert os.environ["RUNPOD_ENDPOINT_BASE_URL"] == emu.base_url == EARLY
    assert ENDPOINT.run_sync({"input": {"a": 1}}) == "of the module"


def test_another_beside_it(emu, runpod_emulator):
    assert os.environ["RUNPOD_ENDPOINT_BASE_URL"] == runpod_emulator.base_url != emu.base_url
    assert runpod_emulator.jobs() == []


def test_two(emu):
    assert os.environ["RUNPOD_ENDPOINT_BASE_URL"] == emu.base_url
    assert ENDPOINT.run_sync({"input": {"a": 2}}) == "of the module"
    assert len(emu.jobs()) == 2, "nothing is reset"


def test_whose_client_calls_another(runpod_emulator):
    assert ENDPOINT.run_sync({"input": {"a": 3}}) == "of the module"
    runpod_emulator.assert_requested(operation="runsync")


def test_the_service_is_out_of_reach(emu):
    httpx.get("https://api.runpod.ai/v2/llm/health")
"""

LEAKS = """
import pytest


@pytest.mark.runpod_emulator(["images", "texts"])
def test_a_list(runpod_emulator):
    pass


@pytest.mark.parametrize("number", range(3))
def test_each_finds_the_start(runpod_emulator, number):
    emu = runpod_emulator
    assert sorted(emu.link.world.endpoints) == ["mock"]
    assert emu.clock.is_true
    emu.stub(endpoint="llm", respond={"output": 1})
    emu.fault("latency", delay="1s")


async def test_in_a_loop(runpod_emulator):
    assert runpod_emulator.jobs() == []
"""


def test_all_of_it(pytester: pytest.Pytester) -> None:
    """In one run, for each costs seconds; one worker plays a file, in its order."""
    pytester.makepyfile(test_marks=MARKS, test_factory=FACTORY, test_leaks=LEAKS)
    usual = ("-p", "no:cacheprovider", "-p", "no:schemathesis", "--strict-markers", "-o", "asyncio_mode=auto")
    outcome = pytester.runpytest_subprocess(*usual, "-n", "2", "--dist", "loadfile")
    outcome.assert_outcomes(passed=10, failed=2, errors=1)
    outcome.stdout.fnmatch_lines(["*endpoint: *'images', 'texts'? is no text: write 'images', 'texts'"])
    outcome.stdout.fnmatch_lines(
        ["clients that were made at import call http://127.0.0.1:*, and not that of this test*"]
    )
    outcome.stdout.fnmatch_lines(["FAILED test_factory.py::test_the_service_is_out_of_reach*"])
