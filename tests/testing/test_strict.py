"""Strict tests fail for what was prepared and never used, and for what went wrong and nobody looked at."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest
from runpod_emulator.testing import Emulator

from tests.plain import PLAIN
from tests.tables import table
from tests.testing.conftest import HELLO, Client

pytest_plugins = ["pytester"]

Deed = Callable[[Emulator, Client], object]


def _given_up(emu: Emulator, client: Client) -> None:
    emu.stub(endpoint="llm", respond={"output": 1})
    emu.webhooks.answer(500, times=9)
    client.run(webhook=emu.webhooks.url)
    emu.clock.run_until_idle()


def _asserted(emu: Emulator, client: Client) -> None:
    client.ask("GET", "/nope/health")
    client.ask("GET", "/llm/status/nope")
    emu.assert_requested(endpoint="nope", status=404)
    assert emu.requests(operation="status")


def _answered(emu: Emulator, client: Client) -> None:
    emu.stub(endpoint="llm", respond={"output": 1})
    emu.fault("status", status=429, operations=["run"], times=1)
    client.ask("POST", "/llm/run", HELLO)
    client.run()


def _by_chance(emu: Emulator, client: Client) -> None:
    emu.profile("flaky-network")
    emu.fault("worker_crash", probability=0.001)


def _run_by_a_function(emu: Emulator, client: Client) -> None:
    emu.handler("llm", lambda job: job["input"])
    job = client.run()
    emu.wait_for(job=job)


DEEDS: dict[str, tuple[Deed, str]] = {
    "nothing": (lambda emu, client: None, ""),
    "all used": (_answered, ""),
    "chance": (_by_chance, ""),
    "asserted": (_asserted, ""),
    "a function": (_run_by_a_function, ""),
    "a stub that no job asked": (
        lambda emu, client: emu.stub(id="s", endpoint="llm", respond={"output": 1}), "stub s was never used"
    ),
    "a fault that never struck": (
        lambda emu, client: emu.fault("latency", id="f", delay="1s"), "fault f (latency) never struck"
    ),
    "no stub": (
        lambda emu, client: client.run(),
        "a job of llm met no stub: there is no stub at all",
    ),
    "given up": (_given_up, r"webhook of job .* \(answered 500\), given up"),
    "refused": (
        lambda emu, client: client.ask("GET", "/nope/health"),
        "a request was refused, and nobody asked for it: #1 GET /v2/nope/health: 404 (no endpoint nope: there are llm)",
    ),
    "no route": (
        lambda emu, client: client.ask("POST", "/llm/runn", HELLO),
        "a request was refused, and nobody asked for it: #1 POST /v2/llm/runn: 404 (route not found)",
    ),
    "no route, and asserted": (
        lambda emu, client: (
            client.ask("POST", "/llm/runn", HELLO),
            emu.assert_requested(path="/v2/llm/runn", body=HELLO, count=1),
        ),
        "",
    ),
}  # fmt: skip


@table("name", DEEDS)
def test_what_a_strict_emulator_finds(name: str):
    deed, said = DEEDS[name]
    told = ""
    try:
        with Emulator("llm", clock="virtual", strict=True) as emu:
            deed(emu, Client(emu))
    except AssertionError as error:
        told = str(error)
    if not said:
        assert told == ""
    else:
        assert told.startswith("strict: ") and (said in told or re.search(said, told)), told


def test_others_are_not_strict():
    with Emulator("llm", clock="virtual") as emu:
        stub = emu.stub(endpoint="llm", respond={"output": 1})
        assert stub.asked == 0, "which a strict one would have said"


def test_another_error_goes_before():
    def fails() -> None:
        with Emulator("llm", strict=True) as emu:
            emu.stub(endpoint="llm", respond={"output": 1})
            raise KeyError

    with pytest.raises(KeyError):
        fails()


async def test_an_asynchronous_block_is_as_strict():
    with pytest.raises(AssertionError, match="stub s was never used"):
        async with Emulator("llm", strict=True) as emu:
            emu.stub(id="s", endpoint="llm", respond={"output": 1})


def test_a_reset_begins_anew():
    with Emulator("llm", strict=True) as emu:
        emu.stub(id="s", endpoint="llm", respond={"output": 1})
        assert httpx.get(emu.base_url + "/nope/health", headers=emu.headers, **PLAIN).status_code == 404
        emu.reset()
        assert emu.requests() == []


LITTLE = [f"-pno:{name}" for name in ("cacheprovider", "schemathesis", "hypothesispytest", "xdist", "anyio")]
"""What a run inside does without: half its time is their loading."""

RUN = """
import httpx
import pytest

def get(emu, path):
    return httpx.get(emu.base_url + path, headers=emu.headers)
"""
FILE = (
    RUN
    + """
def test_own_way(runpod_emulator):
    runpod_emulator.stub(id="s", endpoint="llm", respond={"output": 1})

@pytest.mark.runpod_emulator("llm", strict=True)
def test_marked(runpod_emulator):
    runpod_emulator.stub(id="marked", endpoint="llm", respond={"output": 1})

@pytest.mark.runpod_emulator(strict=True)
def test_marked_and_fine(runpod_emulator):
    get(runpod_emulator, "/mock/health")

@pytest.mark.runpod_emulator("llm", strict=True)
def test_that_fails_itself(runpod_emulator):
    runpod_emulator.stub(id="other", endpoint="llm", respond={"output": 1})
    assert False

@pytest.mark.runpod_emulator("llm", strict=True)
def test_whose_setup_fails(runpod_emulator, broken):
    pass

@pytest.fixture
def broken(runpod_emulator):
    runpod_emulator.stub(id="third", endpoint="llm", respond={"output": 1})
    raise KeyError

def test_that_asks_in_vain(runpod_emulator):
    get(runpod_emulator, "/nope/health")

def test_after_it(runpod_emulator):
    get(runpod_emulator, "/mock/health")

def test_in_a_namespace(runpod_emulator):
    other = runpod_emulator.namespace("w2")
    other.stub(id="there", endpoint="llm", respond={"output": 1})

def test_in_one_of_the_same_name(runpod_emulator):
    assert list(runpod_emulator.worlds) == [""]
    assert runpod_emulator.namespace("w2").unmet() == []

@pytest.mark.runpod_emulator(strict=False)
def test_lenient(runpod_emulator):
    get(runpod_emulator, "/nope/health")
"""
)


def run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(*LITTLE, *args)


def test_a_mark_makes_a_test_strict(pytester: pytest.Pytester):
    pytester.makepyfile(FILE)
    outcome = run(pytester)
    outcome.assert_outcomes(passed=7, failed=2, errors=1)
    outcome.stdout.fnmatch_lines(["*test_marked*", "strict: stub marked was never used*"])
    assert "other was never" not in outcome.stdout.str() and "third was never" not in outcome.stdout.str()


def test_a_setting_makes_all_strict(pytester: pytest.Pytester):
    pytester.makeini("[pytest]\nrunpod_emulator_strict = true")
    pytester.makepyfile(FILE)
    run(pytester).assert_outcomes(passed=4, failed=5, errors=1)
