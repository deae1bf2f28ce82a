"""Patterns of users: what they may cost to compile and to look for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from typing import Any

import pytest
from runpod_emulator.core.mocks.stubs import Question, Slow
from runpod_emulator.mocking.checks import header_regex_check, input_regex_check, shown
from runpod_emulator.mocking.patterns import LONGEST_TEXT, Refused, check_pattern

from tests.mocking.mocks import MockWorld, mock_world
from tests.timing import expect_within, timed

SLOW = "(a|a)*$"
TEXT = "a" * 40 + "!"
GENEROUS = 0.25
"""Seconds of work; the rule is a tenth, and this machine is shared."""
_numbers = itertools.count()


def question(text: str) -> Question:
    return Question("ep", json.dumps({"a": text}).encode(), [(b"x-a", text[:1000].encode())])


@timed
@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (SLOW, "ab" * 10 + TEXT),
        (r"(\w+\s?)+$", "word " * 9_000 + "!"),
        (r"a.*?b.*?c.*?d", ("a" * 1000 + "b") * 20_000),
        (r"(?=.*x)a", ("a" * 1000 + "b") * 20_000),
        (r"(?:a?){500}a{500}", "a" * 499 + "b"),
    ],
)
def test_a_pattern_that_takes_too_long_is_named_and_does_not_match(pattern: str, text: str):
    began = time.thread_time()
    asked = question(text)
    difference = input_regex_check("a", pattern)(asked)
    assert isinstance(difference, Slow)
    assert difference == f"input.a: the pattern {pattern} took too long"
    assert header_regex_check("x-a", "b")(asked) == "header x-a: the pattern b was not searched for any more"
    expect_within(time.thread_time() - began, GENEROUS)


@timed
@pytest.mark.parametrize(
    "pattern",
    [
        "(a{1000}){1000}",
        "(" * 15 + "a" + "){2}" * 15,
        "(?:(?:(?:a|b){1000,}){1000,}){1000,}",
        "(a|b){100000}",
        "a" * 10_001,
    ],
)
def test_a_pattern_that_would_be_huge_is_refused_at_once(pattern: str):
    began = time.thread_time()
    with pytest.raises(Refused, match=r"more than 20000 parts|longer than 10000"):
        check_pattern(pattern)
    expect_within(time.thread_time() - began, GENEROUS)


@timed
@pytest.mark.parametrize("pattern", ["(?:" * 300 + "a" + ")" * 300, "a?" * 4_990, "(a)" * 3_000, "[(]{3}(b{2})"])
def test_any_other_pattern_compiles_or_is_refused_soon(pattern: str):
    new = f"{pattern}{next(_numbers)}"  # or a second try finds it compiled
    began = time.thread_time()
    with contextlib.suppress(Refused):
        check_pattern(new)
    expect_within(time.thread_time() - began, GENEROUS)


PROPERTIES = "Lu Nd Nl No Pc Pd Ps Pe Po Sm Sc Sk So Zs Cc Cf Co Lt Lm Lo Mn Mc Greek Cyrillic Hebrew Arabic Han Thai"
LETTERS = "".join(chr(0x4E00 + 2 * place) for place in range(9_000))
RANGES = "".join(f"{chr(0x4E00 + 4 * place)}-{chr(0x4E02 + 4 * place)}" for place in range(3_000))
KINDS = "".join(rf"\p{{{name}}}" for name in PROPERTIES.split())


@timed
@pytest.mark.parametrize(
    "around", ["{}+\\d", "(?i){}+\\d", "(?={}+\\d)", "{}++\\d", "(?:{}*a)+\\d", r"\[(?#[)\[{}+\d", "(?x)#[\n{}+\\d"]
)
@pytest.mark.parametrize(
    "members",
    [KINDS, KINDS[:6], LETTERS[:500], LETTERS[:100], RANGES[:1_500], RANGES[:30], "]" + KINDS, "[:punct:]" * 400],
    ids=["kinds", "a kind", "letters", "fewer letters", "ranges", "fewer ranges", "a bracket first", "classes"],
)
def test_a_set_is_compared_with_a_text_for_no_longer_than_others(members: str, around: str):
    pattern = around.format(f"[^{members}]")
    text = "a" * 100_000
    took = time.thread_time()
    with contextlib.suppress(Refused):
        input_regex_check("a", pattern)(question(text))
    expect_within(time.thread_time() - took, GENEROUS)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (f"[{LETTERS}]", "more than 500 members in one set"),
        (f"(?x) # [\n []{LETTERS}]", "more than 500 members in one set"),
        (f"(?#[)[]{LETTERS}]", "more than 500 members in one set"),
        (rf"\[[]{LETTERS}]", "more than 500 members in one set"),
        (r"(?V1)[a-z--[aeiou]]+\d", r"\(\?V1\) is not for stubs"),
        ("(?V1)a", r"\(\?V1\) is not for stubs"),
    ],
)
def test_a_set_that_is_too_large_is_refused(pattern: str, reason: str):
    with pytest.raises(Refused, match=reason):
        check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "found"), [("x", 50_000), ("[xy]", 40_000), ("[a-z]", 50_000), ("[a-zA-Z_]", 33_333)]
)
def test_how_far_is_searched(pattern: str, found: int):
    check = input_regex_check("a", f"{pattern}!")
    for place, is_there in ((found - 1, True), (found, False)):
        if place > 0:
            assert (check(question("." * (place - 1) + "x!")) == "") is is_there


@pytest.mark.parametrize(
    "pattern",
    [r"^he(?=l)", r"(?P<l>l)(?P=l)", r"(?i)HELLO", r"h.*?o$", r"\bhello\b", r"(?x) he  llo", "[^x]{5}", r"(?<!x)h"],
)
def test_patterns_of_python_match_as_ever(pattern: str):
    assert input_regex_check("a", pattern)(question("hello")) == ""


def test_a_long_text_is_searched_in_its_beginning():
    text = "data:" + "x" * LONGEST_TEXT + "end"
    assert input_regex_check("a", "^data:")(question(text)) == ""
    assert input_regex_check("a", "end")(question(text)).startswith("input.a: expected a match of end")


@timed
def test_many_stubs_share_the_time_of_one_job(caplog: pytest.LogCaptureFixture):
    async def play(world: MockWorld) -> Any:
        for place in range(20):
            world.stub(id=f"slow-{place}", match={"input_regex": {"a": SLOW}}, respond={"output": 1})
        world.stub(id="quick", priority=1, match={"input_regex": {"a": "^b"}}, respond={"output": 2})
        began = time.thread_time()
        answer = await world.ended({"a": "b"}), await world.ended({"a": "ab" + TEXT})
        expect_within(time.thread_time() - began, GENEROUS)
        return answer, [(stub.id, stub.problem) for stub in world.emulator.stubs if stub.problem]

    answer, problems = _run(play)
    assert answer[0] == ("COMPLETED", 2, None)
    assert f"the pattern {SLOW} took too long" in str(problems)
    assert answer[1][0] == "FAILED" and "no stub matches" in str(answer[1][2])
    assert f"stub slow-19 does not match: input.a: the pattern {SLOW} took too long" in caplog.text
    assert len(problems) == 20


def _run(play: Any) -> Any:
    async def whole() -> Any:
        async with mock_world() as world:
            return await play(world)

    return asyncio.run(whole())


@timed
def test_showing_a_difference_does_not_look_at_all_of_a_value():
    huge: Any = {"a" * 100_000: ["x" * 1_000_000] * 1_000, "b": [[[1] * 100] * 100] * 100}
    began = time.thread_time()
    assert len(shown(huge)) == 101
    assert len(shown([[[[1] * 300] * 300] * 300] * 300)) == 101
    expect_within(time.thread_time() - began, 0.02)
