"""Responses: OpenAI's newer form of a chat, as an object or as the events of a stream."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import count
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from runpod_emulator.core.mocks.script import Said
from runpod_emulator.mocking.openai import tokens
from runpod_emulator.mocking.openai.answers import Choice, Turn, choice, event, ticks, whole
from runpod_emulator.mocking.openai.asked import (
    Chat,
    Format,
    Function,
    Message,
    Named,
    NamedTool,
    Part,
    Positive,
    Schema,
    Share,
    Tool,
    read,
)
from runpod_emulator.mocking.openai.errors import bad_request
from runpod_emulator.mocking.openai.forms import formed
from runpod_emulator.mocking.openai.tools import called, chosen


class Item(Struct):
    """A part of the conversation: a message, a call, or what a call has given."""

    type: str = "message"
    role: str | None = None
    content: str | list[Part] | None = None


class FlatTool(Struct):
    """A tool, whose function is not a member of its own here; of other kinds than functions there are none."""

    type: str
    name: str = ""
    parameters: dict[str, Any] | None = None


class FlatChoice(Struct):
    """The choice of one tool."""

    name: str
    type: Literal["function"] = "function"


class FlatFormat(Struct):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    schema: dict[str, Any] | None = None


class Text(Struct):
    """What is asked of the answer's text."""

    format: FlatFormat | None = None


class Request(Struct, kw_only=True):
    """A request for a response."""

    input: str | Annotated[list[Item], Meta(min_length=1)]
    model: str | None = None
    instructions: str | None = None
    max_output_tokens: Positive | None = None
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Share | None = None
    tools: list[FlatTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | FlatChoice | None = None
    text: Text | None = None

    def as_chat(self) -> Chat:
        """The same as a chat: what a call has given is the message of a tool."""
        items = [Item(role="user", content=self.input)] if isinstance(self.input, str) else self.input
        roles = {"message": "user", "function_call_output": "tool"}
        messages = [Message(one.role or roles.get(one.type, "assistant"), one.content) for one in items]
        tools = [_tool(one) for one in self.tools or [] if one.type == "function"]
        picked = self.tool_choice
        return Chat(
            messages=messages,
            tools=tools,
            tool_choice=NamedTool(Named(picked.name)) if isinstance(picked, FlatChoice) else picked,
            response_format=self._format(),
        )

    def _format(self) -> Format | None:
        form = None if self.text is None else self.text.format
        return None if form is None else Format(form.type, Schema(form.schema))


def _tool(given: FlatTool) -> Tool:
    if not given.name:
        raise bad_request("tools: a function needs a name", "tools")
    return Tool(Function(given.name, given.parameters))


def respond(turn: Turn) -> Generator[Said, None, None]:
    """Answer one request; raises ModelError."""
    asked = read(turn.body, Request)
    model = turn.named(asked.model)
    chat = asked.as_chat()
    prompt = tokens.count(asked.instructions or "") + sum(tokens.count(one.text) for one in chat.messages)
    one = _choice(turn, chat, turn.room(prompt, asked.max_output_tokens))
    made = _Made(turn, asked, model, prompt, one)
    if asked.stream:
        yield from made.stream()
    else:
        yield from whole(turn, prompt, [one], made.response("completed", [made.item("completed")]))


def _choice(turn: Turn, chat: Chat, room: int) -> Choice:
    chance = turn.chance()
    tool = None if turn.text is not None else chosen(chat)
    if tool is not None:
        return called(tool, chat, 0, room, chance)
    question = next((one.text for one in reversed(chat.messages) if one.role == "user"), "")
    text = turn.say(question, chance)
    return choice(turn, chat, text if turn.text else formed(chat.response_format, text, chance), 0, room, chance)


class _Made:
    """One answer in the shapes of this API."""

    def __init__(self, turn: Turn, asked: Request, model: str, prompt: int, one: Choice) -> None:
        self._turn = turn
        self._asked = asked
        self._model = model
        self._prompt = prompt
        self._one = one
        kind = "fc" if one.function else "msg"
        self._item = f"{kind}_{turn.scene.job}"
        self._numbers = count()

    def response(self, status: str, output: list[Any]) -> dict[str, Any]:
        """The whole answer as it is at the moment."""
        is_over = status == "completed"
        is_cut = is_over and self._one.finish == "length"
        out = len(self._one.tokens)
        return {
            "id": f"resp_{self._turn.scene.job}",
            "object": "response",
            "created_at": self._turn.created,
            "status": "incomplete" if is_cut else status,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "error": None,
            "instructions": self._asked.instructions,
            "metadata": {},
            "model": self._model,
            "output": output,
            "parallel_tool_calls": True,
            "temperature": 1.0 if self._asked.temperature is None else self._asked.temperature,
            "top_p": 1.0 if self._asked.top_p is None else self._asked.top_p,
            "tool_choice": self._as_it_came("tool_choice", "auto"),
            "tools": self._as_it_came("tools", []),
            "text": self._as_it_came("text", {"format": {"type": "text"}}),
            "usage": {
                "input_tokens": self._prompt,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": out,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": self._prompt + out,
            }
            if is_over
            else None,
        }

    def _as_it_came(self, name: str, without: Any) -> Any:
        given = self._turn.body.get(name)
        return without if given is None else given

    def item(self, status: str) -> dict[str, Any]:
        """What is said or called, as far as that is done."""
        text = self._one.text if status == "completed" else ""
        if self._one.function:
            head = {"id": self._item, "type": "function_call", "status": status, "call_id": self._one.call}
            return {**head, "name": self._one.function, "arguments": text}
        content = [self._part(text)] if status == "completed" else []
        return {"id": self._item, "type": "message", "status": status, "role": "assistant", "content": content}

    def _part(self, text: str) -> dict[str, Any]:
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def stream(self) -> Iterator[Said]:
        """The events, each with its number."""
        begun = self.response("in_progress", [])
        at = 0.0
        for number, (at, said) in enumerate(ticks(self._turn, self._prompt, [self._one])):
            if not number:
                yield Said(at, self._event("response.created", response=begun))
                yield Said(at, self._event("response.in_progress", response=begun))
                yield from (Said(at, one) for one in self._begin())
            for one, place in said:
                yield Said(at, self._delta(one.tokens[place]))
        yield from (Said(at, one) for one in self._end())
        over = self.response("completed", [self.item("completed")])
        yield Said(at, self._event(f"response.{over['status']}", response=over))

    def _begin(self) -> Iterator[bytes]:
        yield self._event("response.output_item.added", output_index=0, item=self.item("in_progress"))
        if not self._one.function:
            yield self._of_part("response.content_part.added", part=self._part(""))

    def _delta(self, token: str) -> bytes:
        if self._one.function:
            name = "response.function_call_arguments.delta"
            return self._event(name, item_id=self._item, output_index=0, delta=token)
        return self._of_part("response.output_text.delta", delta=token, logprobs=[])

    def _end(self) -> Iterator[bytes]:
        text = self._one.text
        if self._one.function:
            done = {"item_id": self._item, "output_index": 0, "name": self._one.function, "arguments": text}
            yield self._event("response.function_call_arguments.done", **done)
        else:
            yield self._of_part("response.output_text.done", text=text, logprobs=[])
            yield self._of_part("response.content_part.done", part=self._part(text))
        yield self._event("response.output_item.done", output_index=0, item=self.item("completed"))

    def _of_part(self, kind: str, **more: Any) -> bytes:
        return self._event(kind, item_id=self._item, output_index=0, content_index=0, **more)

    def _event(self, kind: str, **more: Any) -> bytes:
        return event({"type": kind, "sequence_number": next(self._numbers), **more}, kind)
