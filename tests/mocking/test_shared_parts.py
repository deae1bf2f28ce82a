"""Values of shared parts, small in memory and huge to go through, where a name or a set is made of them."""

from __future__ import annotations

import pytest

from tests.mocking.mocks import scene
from tests.mocking.test_costs import TREE
from tests.mocking.vocabulary import INPUT, work
from tests.timing import expect_within, timed

SMALL = TREE.replace("range(40)", "range(22)")
"""A tree that takes a second or less, so that a missing price fails the test and does not stop it."""


@timed
@pytest.mark.parametrize(
    "expression",
    [
        "{1: 1}.keys() - [t]", "{1: t}.items() - {1: t}.items()", "{1: t}.items() - [1]",
        "{1: 1}.keys() - [t]|map('list')", "{1: 1}.keys() - {1: t}.values()",
        "[1]|map(t)|list", "[1]|select(t)|list", "[1]|reject(t)|list",
        "[input.d]|selectattr(t)|list", "[input.d]|selectattr('0', t)|list", "t is filter", "t is test",
        "[t]|select('filter')|list",
    ],
)  # fmt: skip
def test_it_is_refused_before_it_runs(expression: str):
    took, outcome = work(f"{SMALL}{{{{ {expression} }}}}", scene(INPUT))
    assert "more than 250000 steps" in outcome[-200:]
    expect_within(took, 0.1)


@timed
def test_each_of_many_equal_parts_is_counted():
    pairs = [[f"a{place}", place] for place in range(1000)]
    took, outcome = work("{{ dict(input.pairs * 200) }}", scene({"pairs": pairs}))
    assert "more than" in outcome  # steps, or time on a slow machine
    expect_within(took, 0.1)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("{1: 1, 2: 2}.keys() - [1]", "{2}"),
        ("{1: 1}.items() - {1: 1}.items()", "set()"),
        ("{1: 1}.keys() - ['1']|map('int')", "set()"),
        ("5 - 3 - 1.5", "0.5"),
        ("'upper' is filter", "True"),
        ("'upper' is test", "True"),
        ("(1, 2) is filter", "False"),
        ("['a']|map('upper')|list", "['A']"),
        ("[1, 2]|select('eq', 2)|list", "[2]"),
    ],
)
def test_the_same_of_small_values_works(expression: str, value: str):
    written = f"{{{{ ({expression})|string == {value!r} }}}}"
    assert work("{{ 1 / 0 if not (" + written[3:-3] + ") }}", scene(INPUT))[1] == ""
