"""What differs between a job and a stub."""

from __future__ import annotations

import json
from typing import Any

import pytest
from runpod_emulator.core.mocks.stubs import Question
from runpod_emulator.mocking.checks import header_check, header_regex_check, input_check, input_regex_check, shown

from tests.tables import table


def question(given: Any = None, **headers: str) -> Question:
    raw = given if isinstance(given, bytes) else json.dumps(given).encode()
    return Question("ep", raw, [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()])


@table(
    ("expected", "actual"),
    [
        ({}, {"a": 1}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2, "c": 3}]}),
        ({"a": []}, {"a": []}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": None}, {"a": None}),
        ({"a": True}, {"a": True}),
        ({"a": "ü"}, {"a": "ü"}),
        ("text", "text"),
    ],
)
def test_an_input_matches_what_it_contains(expected: Any, actual: Any):
    assert input_check(expected)(question(actual)) == ""


@table(
    ("expected", "actual", "difference"),
    [
        ({"prompt": "hello"}, {"prompt": "bye"}, 'input.prompt: expected "hello", got "bye"'),
        ({"options": {"n": 1}}, {}, "input.options: missing"),
        ({"options": {"n": 1}}, {"options": {"m": 1}}, "input.options.n: missing"),
        ({"options": {"n": 1}}, {"options": 3}, 'input.options: expected {"n":1}, got 3'),
        ({"a": None}, {}, "input.a: missing"),
        ({"a": None}, {"a": 0}, "input.a: expected null, got 0"),
        ({"a": True}, {"a": 1}, "input.a: expected true, got 1"),
        ({"a": 0}, {"a": False}, "input.a: expected 0, got false"),
        ({"a": 1}, {"a": "1"}, 'input.a: expected 1, got "1"'),
        ({"a": [1, 2]}, {"a": [1]}, "input.a: expected 2 items, got 1"),
        ({"a": [1]}, {"a": [1, 2]}, "input.a: expected 1 item, got 2"),
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, "input.a.1.b: expected 2, got 3"),
        ({"a": [1]}, {"a": {"0": 1}}, 'input.a: expected [1], got {"0":1}'),
        ({"a": 1}, [1], 'input: expected {"a":1}, got [1]'),
        ({"a": 1}, None, 'input: expected {"a":1}, got null'),
        ({"a": "x\ny"}, {"a": "ü"}, 'input.a: expected "x\\ny", got "ü"'),
    ],
)
def test_a_difference_in_the_input_is_one_line(expected: Any, actual: Any, difference: str):
    assert input_check(expected)(question(actual)) == difference


def test_long_values_are_cut():
    difference = input_check({"a": "e" * 500})(question({"a": ["a" * 60] * 10_000}))
    assert difference == f'input.a: expected "{"e" * 99}…, got ["{"a" * 60}","{"a" * 35}…'
    assert len(shown({"a": list(range(10_000))})) == 101


DEEP = b'{"a":' * 20_000 + b"1" + b"}" * 20_000


@pytest.mark.parametrize(
    "check", [input_check({"a": 1}), input_regex_check("a", "x")], ids=["input", "input_regex"]
)  # fmt: skip
@pytest.mark.parametrize("raw", [DEEP, b'{"a":' + b"9" * 5_000 + b"}", b"nonsense"], ids=["deep", "long", "no JSON"])
def test_an_input_that_cannot_be_read_differs_and_does_not_crash(check: Any, raw: bytes):
    assert check(question(raw)).startswith("input")
    assert "\n" not in check(question(raw))


def test_a_deep_part_of_an_input_can_be_shown_and_searched():
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    assert input_check({"a": 1})(question({"a": deep})) == f"input.a: expected 1, got {'[' * 100}…"
    assert input_regex_check("a", "1")(question({"a": deep})) == ""


@pytest.mark.parametrize(
    ("path", "pattern", "actual"),
    [
        ("prompt", "^hel+o", {"prompt": "helllo world"}),
        ("prompt", "world$", {"prompt": "hello world"}),
        ("options.name", "x", {"options": {"name": "axb"}}),
        ("items.1.name", "b", {"items": [{"name": "a"}, {"name": "b"}]}),
        ("n", "^12$", {"n": 12}),
        ("flag", "^true$", {"flag": True}),
        ("options", '"n":1[,}]', {"options": {"n": 1, "m": 2}}),
        ("nothing", "^null$", {"nothing": None}),
        ("a.0", "x", {"a": {"0": "x"}}),
    ],
)
def test_a_pattern_is_searched_at_a_path(path: str, pattern: str, actual: Any):
    assert input_regex_check(path, pattern)(question(actual)) == ""


@pytest.mark.parametrize(
    ("path", "pattern", "actual", "difference"),
    [
        ("prompt", "^hel+o", {"prompt": "bye"}, 'input.prompt: expected a match of ^hel+o, got "bye"'),
        ("n", "3", {"n": 12}, "input.n: expected a match of 3, got 12"),
        ("a.b", "x", {"a": {}}, "input.a.b: missing"),
        ("a.b", "x", {"a": "b"}, "input.a.b: missing"),
        ("a.5", "x", {"a": [1]}, "input.a.5: missing"),
        ("a.-1", "x", {"a": ["x"]}, "input.a.-1: missing"),
        ("a.99999999999999999999", "x", {"a": ["x"]}, "input.a.99999999999999999999: missing"),
        ("a", "x", [], "input.a: missing"),
        ("a", "x", None, "input.a: missing"),
    ],
)
def test_a_path_without_a_match_is_told(path: str, pattern: str, actual: Any, difference: str):
    assert input_regex_check(path, pattern)(question(actual)) == difference


def test_the_name_of_a_header_has_no_case():
    assert header_check("X-Tenant", "acme")(question(x_tenant="acme")) == ""
    assert header_regex_check("X-Tenant", "^ac")(question(x_tenant="acme")) == ""


@pytest.mark.parametrize(
    ("check", "headers", "difference"),
    [
        (header_check("x-tenant", "acme"), {}, 'header x-tenant: expected "acme", got nothing'),
        (header_check("x-tenant", "acme"), {"x_tenant": "ACME"}, 'header x-tenant: expected "acme", got "ACME"'),
        (header_regex_check("x-tenant", "^ac"), {}, "header x-tenant: expected a match of ^ac, got nothing"),
        (header_regex_check("x-tenant", "^ac"), {"x_tenant": "b"}, 'header x-tenant: expected a match of ^ac, got "b"'),
    ],
)
def test_a_header_that_differs_is_told(check: Any, headers: dict[str, str], difference: str):
    assert check(question(**headers)) == difference


SECRET = "CREDSECRET12345"


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        ({"nested": {"credentials": {"x": "b"}}}, {"nested": {"credentials": {"x": SECRET}}}),
        ({"nested": {"credentials": {"x": SECRET}}}, {"nested": {"credentials": {"x": "b"}}}),
        ({"auth": ["u", "b"]}, {"auth": ["u", SECRET]}),
        ({"nested": 1}, {"nested": {"a": [{"password": SECRET}]}}),
        ({"nested": 1}, {"nested": {f"rpa_{SECRET}": 1}}),
        ({"s3Config": {"any": "b"}}, {"s3Config": {"any": SECRET}}),
        ({"env": {"TOKEN": "b"}}, {"env": {"TOKEN": SECRET}}),
        ({"url": "b"}, {"url": f"http://u:p'{SECRET}@h/"}),
        ({"token": "b"}, {"token": SECRET}),
    ],
)
def test_a_difference_shows_no_more_than_the_journal(expected: Any, given: Any) -> None:
    told = input_check(expected)(Question("", json.dumps(given).encode()))
    assert "expected" in told and SECRET not in told and "****" in told


@pytest.mark.parametrize("path", ["credentials.x", "auth.0", "password", "env.TOKEN"])
def test_nor_does_a_pattern(path: str) -> None:
    given = {"credentials": {"x": SECRET}, "auth": [SECRET], "password": SECRET, "env": {"TOKEN": SECRET}}
    told = input_regex_check(path, "[a-z]+OTHERSECRET")(Question("", json.dumps(given).encode()))
    assert told == f'input.{path}: expected a match of ****CRET, got "****2345"'
