"""What the model says to one request, before that has a shape: the tokens of each choice, and their moments."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import msgspec

from runpod_emulator.core.mocks.pace import ModelSettings
from runpod_emulator.core.mocks.script import Said, Scene
from runpod_emulator.mocking.openai import errors, tokens
from runpod_emulator.mocking.openai.asked import Sampling
from runpod_emulator.mocking.openai.meter import Meter

_NOT_ASKED = ("stream", "stream_options", "user", "metadata", "store")
"""Members that say how to answer, not what: with and without a stream the same is said."""
SAID_AT_MOST = 65_536
"""Tokens of all choices of a request together: they are made at once, and others wait."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One request, and what is there to answer it."""

    scene: Scene
    route: str
    body: Any
    settings: ModelSettings
    meter: Meter
    text: Callable[[Scene], str] | None = None
    """What a stub lets the model say."""

    @property
    def created(self) -> int:
        """The present time, in s."""
        return self.scene.now // 1_000

    def chance(self, index: int = 0) -> random.Random:
        """Dice that depend on the seed and on what is asked, and on nothing that has happened."""
        asked = self.body
        if isinstance(asked, dict):
            asked = {name: value for name, value in asked.items() if name not in _NOT_ASKED}
        digest = blake2b(msgspec.json.encode([self.route, asked], order="sorted"), digest_size=16).hexdigest()
        return random.Random(f"{self.scene.seed} {digest} {index}")

    def say(self, question: str, chance: random.Random) -> str:
        """The text of one choice."""
        if self.text is not None:
            return self.text(self.scene)
        return question if self.settings.text == "echo" else tokens.lorem(chance)

    @property
    def model(self) -> str:
        """The name of the model that answers, which the request has already been checked for."""
        asked = self.body.get("model") if isinstance(self.body, dict) else None
        return self.named(asked)

    def named(self, model: str | None) -> str:
        """The name of the model that answers; raises ModelError for one that is not served."""
        names = self.settings.names
        if names and model is not None and model not in names:
            raise errors.unknown_model(model)
        return model or (names[0] if names else ANY_MODEL)

    def room(self, prompt: int, most: int | None) -> int:
        """How many tokens an answer may have; raises ModelError where they do not fit beside those of the prompt."""
        limit = self.settings.max_model_len
        if prompt + (most or 1) > limit:
            raise errors.too_long(limit, prompt, most or 1)
        return limit - prompt if most is None else most


ANY_MODEL = "emulator/any"
"""What the model is called where any name will do."""


@dataclass(slots=True)
class Choice:
    """One answer to a request, in tokens."""

    index: int
    tokens: list[str]
    finish: str
    stop: str | None = None
    chance: random.Random = field(default_factory=random.Random)
    function: str = ""
    """The function that it calls, with its tokens as arguments."""
    call: str = ""
    """The id of that call."""

    @property
    def text(self) -> str:
        """All tokens."""
        return "".join(self.tokens)


def choice(turn: Turn, asked: Sampling, text: str, index: int, most: int, chance: random.Random) -> Choice:
    """A choice that says this text, as far as stop texts and the room allow."""
    most = min(most, SAID_AT_MOST // (asked.n or 1))
    if asked.ignore_eos:
        longer = f"{text} {tokens.words(chance, most)}"  # a word is a token at least
        return Choice(index, tokens.ended(longer, (), most).tokens, "length", None, chance)
    said = tokens.ended(text, asked.stops, most, asked.include_stop_str_in_output)
    return Choice(index, said.tokens, said.finish, said.stop, chance)


def usage(prompt: int, choices: list[Choice]) -> dict[str, Any]:
    """How many tokens went in and came out."""
    out = sum(len(one.tokens) for one in choices)
    return {"prompt_tokens": prompt, "completion_tokens": out, "total_tokens": prompt + out}


Ticks = Iterator[tuple[float, list[tuple[Choice, int]]]]
"""Moments, each with the choices that say a token then, and its number."""


def ticks(turn: Turn, prompt: int, choices: list[Choice]) -> Ticks:
    """The tokens of all choices as they come: the first of each, the second of each; counted as they come."""
    with turn.meter.request(turn.model, prompt) as counted:
        moments = turn.settings.pace.moments(turn.chance(), turn.meter.others)
        for number, at in zip(range(_longest(choices)), moments, strict=False):
            said = [(one, number) for one in choices if number < len(one.tokens)]
            counted.token(at, len(said))
            yield at, said
        counted.ended([one.finish for one in choices])


def _longest(choices: list[Choice]) -> int:
    """How many moments there are: one for an answer without a token too."""
    return max(1, *(len(one.tokens) for one in choices))


def whole(turn: Turn, prompt: int, choices: list[Choice], answer: Any) -> Generator[Said, None, None]:
    """One object, when its last token is there."""
    depends = turn.settings.pace.load_factor > 0
    number, last = _longest(choices), 0.0
    for place, (last, _) in enumerate(ticks(turn, prompt, choices), 1):
        if depends or place == number:  # it is in flight until then
            yield Said(last)
    yield Said(last, msgspec.json.encode(answer))


def event(value: Any, name: str = "") -> bytes:
    """One server-sent event, as the JSON of its text."""
    head = f"event: {name}\n" if name else ""
    return msgspec.json.encode(f"{head}data: {msgspec.json.encode(value).decode()}\n\n")


DONE = msgspec.json.encode("data: [DONE]\n\n")
"""The last event of a stream."""


def with_pace(settings: ModelSettings, **changes: Any) -> ModelSettings:
    """The settings with another pace."""
    return replace(settings, pace=replace(settings.pace, **changes)) if changes else settings
