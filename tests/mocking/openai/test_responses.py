"""OpenAI's responses: whole, and as events."""

from __future__ import annotations

import json
from typing import Any

from tests.mocking.openai.models import answer, events
from tests.tables import table

ROUTE = "/v1/responses"
TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {"city": {"const": "X"}}}}


def text_of(response: Any) -> str:
    return "".join(part["text"] for item in response["output"] for part in item.get("content", []))


@table(
    ("more", "status", "kind"),
    [
        ({}, "completed", "message"),
        ({"max_output_tokens": 2}, "incomplete", "message"),
        ({"tools": [TOOL]}, "completed", "function_call"),
        ({"tools": [TOOL], "tool_choice": "none"}, "completed", "message"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "weather"}}, "completed", "function_call"),
    ],
)
def test_a_stream_ends_with_what_is_answered_whole(more: dict[str, Any], status: str, kind: str) -> None:
    body = {"model": "any", "input": "hello", "instructions": "be brief", **more}
    whole = answer(body, ROUTE)
    assert (whole["status"], whole["output"][0]["type"]) == (status, kind)
    found = events(body, ROUTE)
    assert [one["sequence_number"] for one in found] == list(range(len(found)))
    assert (found[0]["type"], found[-1]["type"]) == ("response.created", f"response.{status}")
    assert found[-1]["response"] == whole
    said = "".join(one["delta"] for one in found if one["type"].endswith(".delta"))
    assert said == (text_of(whole) if kind == "message" else whole["output"][0]["arguments"])


@table(
    ("given", "text"),
    [
        ("hello", "hello"),
        ([{"role": "user", "content": "hello"}], "hello"),
        ([{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hello"}]}], "hello"),
        ([{"role": "user", "content": "a"}, {"type": "function_call_output", "call_id": "1", "output": "b"}], "a"),
    ],
)
def test_what_an_input_may_be(given: Any, text: str) -> None:
    assert text_of(answer({"input": given, "tools": []}, ROUTE, text="echo")) == text


def test_a_call_that_was_answered_is_not_made_again() -> None:
    given = [{"role": "user", "content": "a"}, {"type": "function_call_output", "call_id": "1", "output": "b"}]
    assert answer({"input": given, "tools": [TOOL]}, ROUTE)["output"][0]["type"] == "message"


def test_a_text_fits_its_schema() -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    form = {"format": {"type": "json_schema", "name": "person", "schema": schema}}
    assert isinstance(json.loads(text_of(answer({"input": "hello", "text": form}, ROUTE)))["age"], int)


@table(
    ("body", "said"),
    [
        ({}, "Object missing required field `input`"),
        ({"input": 5}, "input: Expected `str | array`, got `int`"),
        ({"input": []}, "input: Expected `array` of length >= 1"),
        ({"input": "a", "max_output_tokens": 0}, "max_output_tokens: Expected `int` >= 1"),
        ({"input": "a", "tools": [{"type": "function"}]}, "tools: a function needs a name"),
        (
            {"input": "a", "text": {"format": {"type": "json_schema"}}},
            "response_format: json_schema needs a json_schem",
        ),
    ],
)
def test_what_is_refused(body: dict[str, Any], said: str) -> None:
    got = answer(body, ROUTE)
    assert got["code"] == 400
    assert got["message"].startswith(said)
