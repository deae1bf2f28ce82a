"""Texts in tokens: how they are cut, counted, ended and weighed."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

_TOKEN = re.compile(r"\s?\w{1,6}|\s?[^\w\s]|\s")
"""About four characters of English, as the tokenizers of today's models cut it."""
_WIDEST = 7
"""Characters of the widest token."""
_COUNTED = 65_536
"""Characters that are cut to be counted; of longer texts the rest is estimated."""
_LOREM = (
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna "
    "aliqua ut enim ad minim veniam quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat "
    "duis aute irure dolor in reprehenderit in voluptate velit esse cillum dolore eu fugiat nulla pariatur"
)
_WORDS = _LOREM.split()
_LEAST, _MOST = 16, 64
"""Words of a made-up answer."""


class Ended(NamedTuple):
    """The tokens of an answer, and why there are no more."""

    tokens: list[str]
    finish: str
    stop: str | None = None
    """The stop text that has ended it."""


def cut(text: str) -> list[str]:
    """The tokens of a text, which joined are the text again."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """How many tokens a text has; beyond 65,536 characters, four are one."""
    rest = max(0, len(text) - _COUNTED)
    return len(cut(text[:_COUNTED])) + rest // 4


def lorem(chance: random.Random) -> str:
    """Some sentences of words that mean nothing."""
    return words(chance, chance.randint(_LEAST, _MOST))


def words(chance: random.Random, number: int) -> str:
    """Sentences of so many words."""
    found: list[str] = []
    while len(found) < number:
        sentence = [chance.choice(_WORDS) for _ in range(min(chance.randint(5, 12), number - len(found)))]
        sentence[0] = sentence[0].capitalize()
        sentence[-1] += "."
        found += sentence
    return " ".join(found)


def ended(text: str, stops: Sequence[str], most: int | None, keeps_stop: bool = False) -> Ended:
    """A text up to the first of its stop texts, and up to `most` tokens."""
    places = [(at, stop) for stop in stops if stop and (at := text.find(stop)) >= 0]
    at, stop = min(places, default=(len(text), None))
    end = at + len(stop) if keeps_stop and stop else at
    tokens = cut(text[:end] if most is None else text[: min(end, (most + 1) * _WIDEST)])
    if most is not None and len(tokens) > most:
        return Ended(tokens[:most], "length")
    return Ended(tokens, "stop", stop)


class Weighed(NamedTuple):
    """A token and how likely it was, with others that might have stood in its place."""

    token: str
    logprob: float
    others: list[tuple[str, float]]


def weigh(token: str, most: int, chance: random.Random) -> Weighed:
    """Probabilities of a token and of `most` - 1 others: each has a part of what those before it leave."""
    logprob = -min(chance.expovariate(4), 3.0)
    left = 1 - math.exp(logprob)
    found = [(token, logprob)]
    for word in chance.sample(sorted(set(_WORDS)), max(0, most - 1)):
        share = left / 2
        found.append((f" {word}", math.log(max(share, 1e-9))))
        left -= share
    return Weighed(token, logprob, sorted(found, key=lambda one: -one[1])[:most])


def chat_logprob(weighed: Weighed) -> dict[str, Any]:
    """The item of `logprobs.content` of a chat."""
    others = [{"token": token, "logprob": value, "bytes": _bytes(token)} for token, value in weighed.others]
    return {
        "token": weighed.token, "logprob": weighed.logprob, "bytes": _bytes(weighed.token), "top_logprobs": others,
    }  # fmt: skip


def _bytes(token: str) -> list[int]:
    return list(token.encode("utf-8", "surrogatepass"))
