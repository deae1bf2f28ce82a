"""Ids and dice of each test are its own, and the same in each run."""

from __future__ import annotations

import re

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.compat

USUAL = ("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:randomly")

TESTS = """
import httpx
import pytest


def first_id(emu):
    emu.stub(endpoint="llm", respond={"output": 1})
    answer = httpx.post(emu.base_url + "/llm/run", json={"input": {}}, headers=emu.headers, trust_env=False)
    print("id", answer.json()["id"], emu.story().split(",")[0])


@pytest.mark.parametrize("number", [1, 2])
def test_shared(runpod_emulator, number):
    first_id(runpod_emulator)
    first_id(runpod_emulator.namespace("w2"))


@pytest.mark.runpod_emulator("llm")
def test_own(runpod_emulator):
    first_id(runpod_emulator)


@pytest.mark.runpod_emulator("llm", seed=7)
def test_told(runpod_emulator):
    first_id(runpod_emulator)
"""
WRONG = """
def test_without_a_block(runpod_emulator_factory):
    runpod_emulator_factory("llm").stub(respond={"output": 1})
"""


def ids(pytester: pytest.Pytester, *options: str) -> list[str]:
    """The id and the seed that each test prints."""
    result = pytester.runpytest_subprocess("-q", "-s", *USUAL, *options)
    result.assert_outcomes(passed=4)
    return re.findall(r"id (\S+) seed (\d+)", result.stdout.str())


def test_each_has_its_own_and_the_same_again(pytester: pytest.Pytester):
    pytester.makepyfile(TESTS)
    found = ids(pytester)
    assert len(found) == 6 and len(set(found)) == 4, "a namespace has the ids of its emulator"
    assert found[-1][1] == "7"
    assert ids(pytester, "-k", "shared or own or told") == found
    seed = found[2][1]
    replayed = ids(pytester, f"--runpod-emulator-seed={seed}")
    assert replayed[:5] == [found[2]] * 5 and replayed[5] == found[5]


def test_a_factory_that_is_no_block_says_how_it_is_used(pytester: pytest.Pytester):
    pytester.makepyfile(WRONG)
    result = pytester.runpytest_subprocess("-q", *USUAL)
    how = r"stub: runpod_emulator_factory is used as `with runpod_emulator_factory\(.*\) as emu:`"
    assert re.search(how, result.stdout.str())
