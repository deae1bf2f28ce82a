"""What a job must be like for a stub to match it: checks that return, in one line, what differs."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from runpod_emulator.core.mocks.stubs import Check, Question, Slow
from runpod_emulator.core.secrets import masks
from runpod_emulator.mocking.patterns import TooSlow, check_pattern, found

_LONGEST = 100
_LARGE = 1_000_000
"""Bytes of an input above which what is no text is searched as the quicker encoder writes it."""
_MISSING = object()
_SCALARS = frozenset((int, float, bool, type(None)))
_MASKS = masks.Masks()
"""Without the server's own keys: these are masked where the difference is shown."""
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def input_check(expected: Any) -> Check:
    """The input holds `expected`: objects have its members, lists its items and no more, all else is equal."""
    return _readable(lambda question: _difference(expected, question.input, "input"))


def input_regex_check(path: str, pattern: str) -> Check:
    """The pattern is found at a path of the input, as `options.0.name`: in a text, or in the JSON of anything else."""
    check_pattern(pattern)

    def check(question: Question) -> str:
        value = functools.reduce(_member, path.split("."), question.input)
        if value is _MISSING:
            return f"input.{path}: missing"
        text = value if isinstance(value, str) else _encoded(value, question)
        return _search(f"input.{path}", pattern, text, question, lambda: _as_shown(path, value))

    return _readable(check)


def header_check(name: str, expected: str) -> Check:
    """A header has this value; the case of its name does not count."""

    def check(question: Question) -> str:
        actual = question.headers.get(name.lower())
        if actual == expected:
            return ""
        return f"header {name}: expected {_header(name, expected)}, got {_header(name, actual)}"

    return check


def header_regex_check(name: str, pattern: str) -> Check:
    """A pattern is found in a header's value; the case of its name does not count."""
    check_pattern(pattern)

    def check(question: Question) -> str:
        actual = question.headers.get(name.lower())
        if actual is None:
            return f"header {name}: expected a match of {_pattern(f'header {name}', pattern)}, got nothing"
        return _search(f"header {name}", pattern, actual, question, lambda: _header(name, actual))

    return check


def _search(place: str, pattern: str, text: str, question: Question, text_shown: Callable[[], str]) -> str:
    """What keeps a pattern from being found in a text, of which `text_shown` is shown."""
    try:
        if found(pattern, text, question):
            return ""
    except TooSlow as error:
        return Slow(f"{place}: the pattern {_pattern(place, pattern)} {error}")
    return f"{place}: expected a match of {_pattern(place, pattern)}, got {text_shown()}"


def _encoded(value: Any, question: Question) -> str:
    """The compact JSON of a value; raises ValueError."""
    return _json.encode(value) if len(question.raw_input) < _LARGE else orjson.dumps(value).decode()


def shown(value: Any) -> str:
    """A value as compact JSON in one line, at most 100 characters of it."""
    if isinstance(value, str):
        return _cut(_json.encode(value[: _LONGEST + 1]))
    # bit by bit: a difference is told of every stub that does not match, and an input may be huge, or deep
    return _cut("".join(itertools.islice(_json.iterencode(_shortened(value, [_LONGEST + 1])), _LONGEST + 1)))


def _shortened(value: Any, left: list[int]) -> Any:
    """The first values of `left`, which are as many as can be shown, and the beginnings of their texts.

    An encoder writes each text at once, however little of it is asked for.
    """
    left[0] -= 1
    if isinstance(value, re.Pattern):
        value = value.pattern
    if isinstance(value, str):
        return value[: _LONGEST + 1]
    if isinstance(value, Mapping):
        taken = itertools.takewhile(lambda _: left[0] > 0, value.items())
        return {name[: _LONGEST + 1]: _shortened(one, left) for name, one in taken}
    if isinstance(value, list | tuple):
        return [_shortened(one, left) for one in itertools.takewhile(lambda _: left[0] > 0, value)]
    return value


def _readable(check: Check) -> Check:
    """A check that no input makes fail: one of Python's limits met is a difference."""

    def careful(question: Question) -> str:
        try:
            return check(question)
        except RecursionError:
            return "input: nests too deep to be compared"
        except ValueError as error:
            return f"input: cannot be read: {_cut(str(error))}"

    return careful


def _difference(expected: Any, actual: Any, path: str) -> str:
    """The first difference, "" when there is none."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        for name, value in expected.items():
            if name not in actual:
                return f"{path}.{name}: missing"
            if difference := _difference(value, actual[name], f"{path}.{name}"):
                return difference
        return ""
    if isinstance(expected, list | tuple) and isinstance(actual, list):
        if len(expected) != len(actual):
            return f"{path}: expected {_items(len(expected))}, got {len(actual)}"
        pairs = zip(expected, actual, strict=True)
        differences = (_difference(*pair, f"{path}.{place}") for place, pair in enumerate(pairs))
        return next(filter(None, differences), "")
    if isinstance(expected, re.Pattern):  # of a test that has compiled it
        if expected.search(actual if isinstance(actual, str) else _json.encode(actual)):
            return ""
        return f"{path}: expected a match of {_as_shown(path, expected.pattern)}, got {_as_shown(path, actual)}"
    if _same(expected, actual):
        return ""
    return f"{path}: expected {_as_shown(path, expected)}, got {_as_shown(path, actual)}"


def _as_shown(path: str, value: Any) -> str:
    """What is shown of a value at a path; the names that lead there say whether it is a secret.

    What is in a text is masked where the difference is shown, but for one that is cut here, or is a URL.
    """
    kind = type(value)
    if (kind is str and len(value) <= _LONGEST and "://" not in value) or kind in _SCALARS:
        return shown(masks.by_path(path, value))
    return shown(_MASKS.value(_shortened(value, [_LONGEST + 1]), path))


def _same(expected: Any, actual: Any) -> bool:
    """Whether scalars are equal as JSON has it: 1 is 1.0, and true is no number."""
    return isinstance(expected, bool) == isinstance(actual, bool) and bool(expected == actual)


def _member(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(key, _MISSING)
    if isinstance(value, list) and key.isascii() and key.isdecimal() and len(key) < 10 and int(key) < len(value):
        return value[int(key)]
    return _MISSING


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"


def _cut(text: str) -> str:
    text = " ".join(text.splitlines())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _pattern(place: str, pattern: str) -> str:
    """What is shown of a pattern that is looked for in a header, or at a path of the input."""
    kind, _, name = place.partition(" ")
    return _cut(masks.header(name, pattern) if kind == "header" else _MASKS.value(pattern, place))


def _header(name: str, value: str | None) -> str:
    return "nothing" if value is None else shown(masks.header(name, value))
