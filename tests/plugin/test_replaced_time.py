"""freezegun and time-machine beside a real emulator: what it measures is real, and nothing outlives a trip."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import time_machine
from freezegun import freeze_time
from runpod_emulator.core.time.clock import AutoClock, ticks
from runpod_emulator.testing import Emulator

from tests.plugin.trap import without_runpod

pytestmark = pytest.mark.compat

DELAY = 0.15
LONG = 20.0
"""Seconds: much more than a job takes on any machine, and less than a timer that stands."""

Trip = Callable[[], AbstractContextManager[Any]]


@contextmanager
def nested(*trips: Trip) -> Iterator[None]:
    with ExitStack() as stack:
        for trip in trips:
            stack.enter_context(trip())
        yield


TRIPS: dict[str, Trip] = {
    "freezegun-past": lambda: freeze_time("2019-01-01"),
    "freezegun-future": lambda: freeze_time("2031-01-01"),
    "freezegun-ticking": lambda: freeze_time("2019-01-01", tick=True),
    "freezegun-nested": lambda: nested(lambda: freeze_time("2031-01-01"), lambda: freeze_time("2019-01-01")),
    "freezegun-asyncio": lambda: freeze_time("2031-01-01", real_asyncio=True),
    "time-machine-past": lambda: time_machine.travel(1_546_300_800, tick=False),
    "time-machine-future": lambda: time_machine.travel(1_924_992_000, tick=False),
    "time-machine-ticking": lambda: time_machine.travel(1_924_992_000, tick=True),
    "time-machine-nested": lambda: nested(
        lambda: time_machine.travel(1_924_992_000), lambda: time_machine.travel(1_546_300_800, tick=False)
    ),
}


def check(emu: Emulator) -> None:
    """A job takes as long as it should, to its client and in its record; it is shown in the time that the test sees."""
    emu.reset()
    emu.stub(endpoint="llm", respond={"delay": f"{DELAY:g}s", "output": 1})
    began = ticks()
    answer = httpx.post(
        emu.base_url + "/llm/runsync",
        json={"input": {}},
        headers={"authorization": emu.key},
        trust_env=False,
        timeout=LONG,
    )
    assert answer.json()["status"] == "COMPLETED"
    is_auto = isinstance(emu.link.world.timeline.clock, AutoClock)  # which leaves out what the client waits for
    assert (0 if is_auto else DELAY - 0.01) <= ticks() - began < LONG
    assert DELAY * 1000 - 10 <= answer.json()["executionTime"] < LONG * 1000
    assert abs(emu.clock.now() - time.time()) < LONG
    (job,) = emu.jobs()
    assert abs((job.ended_at or 0) - time.time()) < LONG


@pytest.mark.parametrize("trip", TRIPS)
def test_an_emulator_within(trip: str):
    with TRIPS[trip](), Emulator("llm", clock="real") as emu:
        check(emu)


@pytest.mark.parametrize("trip", TRIPS)
def test_an_emulator_from_before(trip: str):
    with Emulator("llm", clock="real") as emu:
        check(emu)
        for _ in range(2):
            with TRIPS[trip]():
                check(emu)
        check(emu)


@pytest.mark.parametrize("trip", TRIPS)
def test_an_emulator_that_outlives_it(trip: str):
    with ExitStack() as stack:
        with TRIPS[trip]():
            emu = stack.enter_context(Emulator("llm", clock="real"))
        check(emu)


@pytest.mark.parametrize("clock", ["auto", "real"])
@pytest.mark.parametrize("moved", ["freezegun", "time-machine"])
def test_the_first_request_finds_all_that_was_due(moved: str, clock: Any):
    with ExitStack() as stack:
        emu = stack.enter_context(Emulator("llm", clock=clock))
        emu.stub(
            endpoint="llm",
            respond={"queue_delay": "20s", "progress": [{"value": 1, "after": "20s"}], "delay": "20s", "output": 1},
        )
        trip: Any = stack.enter_context(TRIPS["freezegun-past" if moved == "freezegun" else "time-machine-past"]())
        move = trip.tick if moved == "freezegun" else trip.shift
        ask = httpx.Client(headers={"authorization": emu.key}, trust_env=False, base_url=emu.base_url)
        job = ask.post("/llm/run", json={"input": {}}).json()["id"]
        move(61)
        state = ask.get(f"/llm/status/{job}").json()
        assert (state["status"], state.get("output")) == ("COMPLETED", 1)
        assert abs(state["delayTime"] - 20_000) < 2_000 and abs(state["executionTime"] - 40_000) < 2_000
        job = ask.post("/llm/run", json={"input": {}}).json()["id"]
        move(39)
        assert ask.get(f"/llm/status/{job}").json()["status"] == "IN_PROGRESS"
        move(31 * 60)
        assert ask.get(f"/llm/status/{job}").status_code == 404, "it has ended 21 s later, and was kept for 30 min"


@pytest.mark.parametrize("moved", ["freezegun", "time-machine"])
def test_what_is_moved_on_has_passed(moved: str):
    with Emulator("llm", clock="real") as emu:
        emu.stub(endpoint="llm", respond={"delay": "1h", "output": 1})
        headers = {"authorization": emu.key}
        policy = {"executionTimeout": 7_200_000}
        with (
            freeze_time("2019-01-01")
            if moved == "freezegun"
            else time_machine.travel(1_546_300_800, tick=False) as trip
        ):
            job = httpx.post(
                f"{emu.base_url}/llm/run", json={"input": {}, "policy": policy}, headers=headers, trust_env=False
            ).json()["id"]
            emu.wait_for(status="IN_PROGRESS", timeout=LONG)
            trip.tick(3_600) if moved == "freezegun" else trip.shift(3_600)
            emu.wait_for(status="COMPLETED", timeout=LONG)
            state = httpx.get(f"{emu.base_url}/llm/status/{job}", headers=headers, trust_env=False).json()
    assert state["status"] == "COMPLETED" and abs(state["executionTime"] - 3_600_000) < LONG * 1000


AT_IMPORT = """
import sys, time
import {library}
trip = {start}
trip.start()
from runpod_emulator.testing import Emulator
from tests.plugin.test_replaced_time import check
with Emulator("llm", clock="real") as emu:
    check(emu)
    trip.stop()
    check(emu)
"""


@pytest.mark.parametrize(
    ("library", "start"),
    [
        ("freezegun", "freezegun.freeze_time('2019-01-01')"),
        ("freezegun", "freezegun.freeze_time('2031-01-01', tick=True)"),
        ("time_machine", "time_machine.travel(1_546_300_800, tick=False)"),
    ],
)
def test_time_that_is_replaced_before_the_emulator_is_imported(library: str, start: str):
    text = AT_IMPORT.format(library=library, start=start)
    done = subprocess.run(
        [sys.executable, "-c", text], env=without_runpod(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


PLUGIN = """
import time

import freezegun
import pytest
import time_machine as machine

from tests.plugin.test_replaced_time import check


@pytest.fixture
def frozen():
    with freezegun.freeze_time("2031-01-01") as frozen:
        yield frozen


@pytest.fixture
def past():
    with machine.travel(1_546_300_800, tick=False):
        yield


def test_first(runpod_emulator):
    check(runpod_emulator)


@pytest.mark.parametrize("turn", [1, 2])
def test_frozen_before(frozen, runpod_emulator, turn):
    check(runpod_emulator)
    frozen.tick(60)
    check(runpod_emulator)


def test_between(runpod_emulator):
    assert abs(time.time() - runpod_emulator.clock.now()) < 20
    check(runpod_emulator)


@freezegun.freeze_time("2019-01-01")
def test_decorated(runpod_emulator):
    check(runpod_emulator)


def test_frozen_after(runpod_emulator, frozen):
    check(runpod_emulator)


def test_past(past, runpod_emulator):
    check(runpod_emulator)


def test_fixture_of_time_machine(runpod_emulator, time_machine):
    check(runpod_emulator)
    time_machine.move_to(1_924_992_000)
    check(runpod_emulator)


@pytest.mark.runpod_emulator("llm", seed=1, clock="real")
def test_own(frozen, runpod_emulator):
    check(runpod_emulator)


def test_last(runpod_emulator):
    check(runpod_emulator)
"""


def test_no_trip_poisons_a_later_test(tmp_path: Path):
    (tmp_path / "test_inner.py").write_text(PLUGIN)
    root = Path(__file__).parents[2]
    path = os.pathsep.join(map(str, (root, root / "emulator")))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", "-c", "/dev/null"]
    done = subprocess.run(
        [*command, tmp_path], cwd=root, env={**without_runpod(), "PYTHONPATH": path},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "10 passed" in done.stdout, done.stdout
