"""What a request may say: the members of its body that matter here, with their types and bounds.

Bounds are those of OpenAI's API where it names any, else vLLM's. Members that are not named here are passed over, as
vLLM does.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from runpod_emulator.mocking.openai.errors import bad_request, misfit

Body = TypeVar("Body", bound=Struct)
Positive = Annotated[int, Meta(ge=1)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Share = Annotated[float, Meta(gt=0, le=1)]
Prompt = str | Annotated[list[str | int | Annotated[list[int], Meta(min_length=1)]], Meta(min_length=1)]
"""A text or its token ids, or several of either."""
MOST_PROMPTS = 2_048
"""In one request, as at OpenAI."""


class Part(Struct):
    """A part of a message; only texts are read."""

    type: str
    text: str | None = None


class Message(Struct):
    """A message of a chat."""

    role: str
    content: str | list[Part] | None = None
    tool_calls: list[dict[str, Any]] | None = None

    @property
    def text(self) -> str:
        """What it says."""
        return text_of(self.content)


class Function(Struct):
    """A function that the model may call."""

    name: Annotated[str, Meta(min_length=1)]
    parameters: dict[str, Any] | None = None


class Tool(Struct):
    """A tool of a chat."""

    function: Function
    type: Literal["function"] = "function"


class Named(Struct):
    """The name of a function."""

    name: str


class NamedTool(Struct):
    """The choice of one tool."""

    function: Named
    type: Literal["function"] = "function"


class Schema(Struct):
    """A schema that the answer must fit."""

    schema: dict[str, Any] | None = None
    name: str = ""


class Format(Struct):
    """The form of an answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: Schema | None = None


class StreamOptions(Struct):
    """What a stream tells beside the answer."""

    include_usage: bool | None = None


class Sampling(Struct, kw_only=True):
    """What chats and completions have in common."""

    model: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Positive | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    include_stop_str_in_output: bool = False
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Share | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: int | None = None
    ignore_eos: bool = False
    """vLLM's own: the answer goes on until `max_tokens`."""
    response_format: Format | None = None

    @property
    def stops(self) -> list[str]:
        """The texts that end an answer."""
        return [self.stop] if isinstance(self.stop, str) else self.stop or []

    @property
    def counts(self) -> bool:
        """Whether a stream tells the usage at its end."""
        return bool(self.stream_options and self.stream_options.include_usage)


class Chat(Sampling, kw_only=True):
    """A request for a chat completion."""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: Positive | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None


class Completion(Sampling, kw_only=True):
    """A request for a completion."""

    prompt: Prompt
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    echo: bool | None = None


class Embedding(Struct, kw_only=True):
    """A request for vectors."""

    input: Prompt
    model: str | None = None
    dimensions: Annotated[int, Meta(ge=1, le=8_192)] | None = None
    encoding_format: Literal["float", "base64"] | None = None


def read(body: Any, shape: type[Body]) -> Body:
    """The body in this shape; raises ModelError."""
    try:
        return msgspec.convert(body, shape)
    except msgspec.ValidationError as error:
        raise misfit(error) from None


def text_of(content: str | list[Part] | None) -> str:
    """The text of a message, which may come in parts."""
    if isinstance(content, str):
        return content
    return " ".join(part.text for part in content or [] if part.text)


def texts_of(given: str | list[Any], name: str) -> list[str]:
    """Each text of the member `name`; token ids are texts of numbers, a token each. Raises ModelError."""
    if isinstance(given, str):
        return [given]
    kinds = {type(one) for one in given}
    if len(kinds) > 1:
        raise bad_request(f"{name}: write texts, token ids or lists of token ids, not several of these", name)
    many = [given] if kinds == {int} else given
    if len(many) > MOST_PROMPTS:
        raise bad_request(f"{name}: at most {MOST_PROMPTS} in one request, got {len(many)}", name)
    return [one if isinstance(one, str) else " ".join(map(str, one)) for one in many]
