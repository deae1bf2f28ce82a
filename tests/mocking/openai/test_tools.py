"""Which tool is called, and with what."""

from __future__ import annotations

import json
from typing import Any

from tests.mocking.openai.models import answer, events
from tests.tables import table

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def tool(name: str, **parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters or SCHEMA}}


TOOLS = [tool("weather"), tool("clock", type="object", properties={})]
USER = [{"role": "user", "content": "hello"}]
TOLD = [*USER, {"role": "assistant", "tool_calls": []}, {"role": "tool", "content": "rain", "tool_call_id": "1"}]


@table(
    ("messages", "choice", "called", "finish"),
    [
        (USER, None, "weather", "tool_calls"),
        (USER, "auto", "weather", "tool_calls"),
        (USER, "none", "", "stop"),
        (USER, {"type": "function", "function": {"name": "clock"}}, "clock", "stop"),
        ([{"role": "user", "content": "use clock"}], "auto", "clock", "tool_calls"),
        (TOLD, "auto", "", "stop"),
        (TOLD, "required", "weather", "tool_calls"),
    ],
)
def test_which_tool_is_called(messages: Any, choice: Any, called: str, finish: str) -> None:
    body = {"messages": messages, "tools": TOOLS, "tool_choice": choice}
    (one,) = answer(body)["choices"]
    names = [call["function"]["name"] for call in one["message"].get("tool_calls", [])]
    assert (names, one["finish_reason"]) == ([called] if called else [], finish)
    assert (one["message"]["content"] is None) == bool(called)


def test_the_arguments_fit() -> None:
    (call,) = answer({"messages": USER, "tools": TOOLS})["choices"][0]["message"]["tool_calls"]
    assert isinstance(json.loads(call["function"]["arguments"])["city"], str)
    assert call["id"].startswith("chatcmpl-tool-")
    (bare,) = answer({"messages": USER, "tools": TOOLS[1:]})["choices"][0]["message"]["tool_calls"]
    assert bare["function"]["arguments"] == "{}"


def test_a_call_is_streamed() -> None:
    body = {"messages": USER, "tools": TOOLS}
    (call,) = answer(body)["choices"][0]["message"]["tool_calls"]
    *chunks, last, _done = [one if one == "[DONE]" else one["choices"][0] for one in events(body)]
    first, *rest = [chunk["delta"]["tool_calls"][0] for chunk in chunks]
    assert first == {"index": 0, "id": call["id"], "type": "function", "function": {"name": "weather", "arguments": ""}}
    assert "".join(one["function"]["arguments"] for one in rest) == call["function"]["arguments"]
    assert last["finish_reason"] == "tool_calls"


@table(
    ("more", "said"),
    [
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "x"}}}, "there is no tool x"),
        ({"tool_choice": "required"}, "required needs tools"),
        ({"tools": [{"type": "function"}]}, "tools[0]: Object missing required field `function`"),
        ({"tools": [tool("")]}, "tools[0].function.name: Expected `str` of length >= 1"),
        ({"tools": [tool("a", type="wrong")]}, "Invalid JSON schema"),
        ({"tools": TOOLS, "tool_choice": "maybe"}, "tool_choice: Invalid enum value 'maybe'"),
    ],
)
def test_what_can_not_be_called(more: dict[str, Any], said: str) -> None:
    got = answer({"messages": USER, **more})
    assert (got["object"], got["code"]) == ("error", 400)
    assert said in got["message"]
