"""Which tool the model calls, and with which arguments."""

from __future__ import annotations

import random

from runpod_emulator.mocking.openai import tokens
from runpod_emulator.mocking.openai.answers import Choice
from runpod_emulator.mocking.openai.asked import Chat, NamedTool, Tool
from runpod_emulator.mocking.openai.errors import bad_request


def chosen(asked: Chat) -> Tool | None:
    """The tool that is called; None where the model says something. Raises ModelError for a choice that can't be.

    Left to itself the model calls a tool whenever a user has spoken last, and tells in words what a tool has answered:
    so a loop of calls ends. It takes the tool that the user names, else the first.
    """
    choice, tools = asked.tool_choice, asked.tools or []
    if choice == "none":
        return None
    if isinstance(choice, NamedTool):
        found = next((tool for tool in tools if tool.function.name == choice.function.name), None)
        if found is None:
            raise bad_request(f"tool_choice: there is no tool {choice.function.name} in tools", "tool_choice")
        return found
    if not tools:
        if choice == "required":
            raise bad_request("tool_choice: required needs tools", "tool_choice")
        return None
    last = asked.messages[-1]
    if choice != "required" and last.role != "user":
        return None
    return next((tool for tool in tools if tool.function.name in last.text), tools[0])


def called(tool: Tool, asked: Chat, index: int, room: int, chance: random.Random) -> Choice:
    """A choice that calls the tool with arguments that fit its parameters; raises ModelError."""
    pieces = tokens.cut(arguments(tool.function.parameters, chance))
    finish = "stop" if isinstance(asked.tool_choice, NamedTool) else "tool_calls"
    said, end = (pieces, finish) if len(pieces) <= room else (pieces[:room], "length")
    return Choice(index, said, end, None, chance, tool.function.name, call_id(chance))


def arguments(parameters: dict[str, object] | None, chance: random.Random) -> str:
    """The JSON of arguments that fit; a function without parameters gets none. Raises ModelError."""
    if not parameters or (parameters.get("type") == "object" and not parameters.get("properties")):
        return "{}"
    from runpod_emulator.mocking.openai.schema_values import value

    return value(parameters, chance, lenient=True)


def call_id(chance: random.Random) -> str:
    """The id of a call, as vLLM makes them."""
    return f"chatcmpl-tool-{chance.getrandbits(128):032x}"
