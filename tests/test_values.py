"""The forms of values: durations, spans, variables, handlers, and back to text."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter, ValidationError
from runpod_emulator.core.platform import DAY, HOUR, MINUTE
from runpod_emulator.core.settings import Span
from runpod_emulator.values import (
    Duration,
    Exact,
    Milliseconds,
    Variables,
    as_text,
    file_of,
    milliseconds,
    span,
    variables,
)

from tests.tables import table

# Durations


@table(
    ("text", "value"),
    [
        ("600000", 600_000),
        ("250ms", 250),
        ("600s", 600_000),
        ("1.5s", 1_500),
        ("10m", 10 * MINUTE),
        ("24h", 24 * HOUR),
        ("7d", 7 * DAY),
        (" 5 s ", 5_000),
        ("0", 0),
        ("0.0004s", 0),
        ("0.0006s", 1),
    ],
)
def test_a_duration_has_a_unit_or_is_milliseconds(text: str, value: int) -> None:
    assert milliseconds(text) == value


@table(
    "text",
    ["", "s", "-5", "5 minutes", "1e3", "5S", "1,5s", "5s5s", "5s 5", ".5s", "5.s", "inf", "nan", "1h30m", "+5s",
     "\u0661s", "\uff15"],
)  # fmt: skip
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="write milliseconds, or a number with ms, s, m, h or d"):
        milliseconds(text)


@pytest.mark.parametrize("given", [True, False])
def test_neither_is_what_is_no_number(given: bool) -> None:
    with pytest.raises(ValueError, match="write milliseconds"):
        milliseconds(given)


class Form(Exact):
    whole: int = 0
    either: int | bool | None = None
    share: float | None = None
    several: list[Annotated[int, Field(ge=0)]] | None = None
    named: dict[str, int | str] | None = None
    any: Any = None
    names: list[str] | None = None


@pytest.mark.parametrize("truth", [True, False])
def test_true_and_false_are_no_numbers(truth: bool) -> None:
    for wrong in ({"whole": truth}, {"share": truth}, {"several": [0, truth]}, {"named": {"a": truth}}):
        with pytest.raises(ValidationError, match="write a number, not true or false"):
            Form.model_validate(wrong)
    for right in ({"either": truth}, {"any": truth}, {"any": [truth]}, {"whole": 1, "several": [0, 1]}):
        assert Form.model_validate(right).model_dump(exclude_unset=True) == right
    with pytest.raises(ValidationError, match="valid string"):
        Form.model_validate({"names": [truth]})


def test_a_number_passes_as_it_is() -> None:
    assert milliseconds(5) == 5


@pytest.mark.parametrize("given", [True, 1.5, [1], {"s": 1}, None], ids=str)
def test_a_duration_of_the_file_is_a_text_or_a_whole_number(given: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Milliseconds).validate_python(given, strict=True)


# Spans


@table(
    ("given", "value"),
    [
        ("2s", Span(2_000, 2_000)),
        ("250ms", Span(250, 250)),
        ("1s-3s", Span(1_000, 3_000)),
        ("1s - 3s", Span(1_000, 3_000)),
        (" 1s-3s ", Span(1_000, 3_000)),
        ("900ms-1s", Span(900, 1_000)),
        ("1s-3s seed 7", Span(1_000, 3_000, 7)),
        ("1s-3s  seed  7", Span(1_000, 3_000, 7)),
        ("1s-3s seed 0", Span(1_000, 3_000, 0)),
        ("2s seed 7", Span(2_000, 2_000, 7)),
        ("3s-3s", Span(3_000, 3_000)),
        ("1m-1h", Span(MINUTE, HOUR)),
        ("1.5s-2.5s", Span(1_500, 2_500)),
        ("0", Span()),
        ("2000", Span(2_000, 2_000)),
        ("1000-3000", Span(1_000, 3_000)),
        (0, Span()),
        (2_000, Span(2_000, 2_000)),
        (Span(1, 2, 3), Span(1, 2, 3)),
    ],
)
def test_a_span_is_a_duration_or_a_range(given: Any, value: Span) -> None:
    assert span(given) == value
    assert TypeAdapter(Duration).validate_python(given, strict=True) == value


@pytest.mark.parametrize("text", ["3s-1s", "1h-10m", "1s-999ms", "2-1", "3s-1s seed 7"])
def test_a_range_ends_after_it_begins(text: str) -> None:
    with pytest.raises(ValueError, match=f"the range {text} ends before it begins"):
        span(text)


@table(
    "given",
    ["", " ", "soon", "-", "1s-", "-1s", "1s-2s-3s", "1s-3s seed", "1s-3s seed x", "1s-3s seed -1", "1s..3s", "seed 7",
     -1, 1.5, True, [1_000, 3_000], {"low": 1}, None],
)  # fmt: skip
def test_anything_else_is_no_span(given: Any) -> None:
    with pytest.raises(ValueError, match="write milliseconds, or a number with ms, s, m, h or d"):
        span(given)


@pytest.mark.parametrize("text", ["soon", "1s-3s seed x", "1-x"])
def test_what_is_no_span_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="or a range such as 1s-3s, or 1s-3s seed 7"):
        span(text)


# Variables


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ([], {}),
        (["A=1"], {"A": "1"}),
        (("A=1", "B=2"), {"A": "1", "B": "2"}),
        (["A=x=y"], {"A": "x=y"}),
        (["A="], {"A": ""}),
        (["A=1", "A=2"], {"A": "2"}),
        ({"A": "1"}, {"A": "1"}),
        ({}, {}),
    ],
    ids=str,
)
def test_variables_are_entries_or_a_table(given: Any, value: dict[str, str]) -> None:
    assert TypeAdapter(Variables).validate_python(given) == value


@pytest.mark.parametrize(
    ("entry", "told"), [("A", "A"), ("=1", "=…"), ("=", "="), ("", ""), ("HF_TOKEN SECRET", "HF_TOKEN …"), (" ", "")]
)
def test_an_entry_without_a_name_or_a_value_is_no_variable(entry: str, told: str) -> None:
    """What is told of it does not repeat what may be the value."""
    with pytest.raises(ValueError, match=f"^{told}: write NAME=VALUE"):
        variables(["GOOD=1", entry])


@pytest.mark.parametrize("given", [5, "A=1", {"A": 1}, {"A": True}, {"A": {"B": "1"}}, None], ids=str)
def test_variables_are_texts(given: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Variables).validate_python(given)


# Handlers


def test_what_is_a_file() -> None:
    assert file_of("a/b.py") == "a/b.py"
    assert file_of("a/b.py:run") == "a/b.py"
    assert file_of("a/b.py:Model.run") == "a/b.py"
    assert file_of("a.b:run") is None
    assert file_of("odd:name.py") == "odd:name.py"
    assert file_of("a/b.py:") is None
    assert file_of("") is None


# Back to text


@table(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (5, "5"),
        ("a text", "a text"),
        ((1, 2), "1,2"),
        (["a", "b"], "a,b"),
        ((), ""),
        ({"A": "1", "B": "2"}, "A=1,B=2"),
        (Span(5, 5), "5ms"),
        (Span(5, 9), "5ms-9ms"),
        (Span(5, 9, 7), "5ms-9ms seed 7"),
        (Span(0, 90_000, 0), "0s-90s seed 0"),
        (Span(1_000, 3_000), "1s-3s"),
        (Span(7_200_000, 86_400_000), "2h-1d"),
        (Span(2_800, 2_800), "2800ms"),
        (Span(), "0s"),
    ],
)
def test_a_value_as_text(value: Any, text: str) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize("value", [Span(), Span(5, 5), Span(5, 9_000), Span(5, 9, 7), Span(5, 5, 0)], ids=as_text)
def test_a_span_can_be_written_and_read_back(value: Span) -> None:
    assert span(as_text(value)) == value
