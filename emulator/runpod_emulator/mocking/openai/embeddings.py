"""Vectors of texts: those that share words are near each other."""

from __future__ import annotations

import base64
import math
import random
import re
import struct
from collections.abc import Generator
from typing import Any

import msgspec

from runpod_emulator.core.mocks.script import Said
from runpod_emulator.mocking.openai import tokens
from runpod_emulator.mocking.openai.answers import Turn
from runpod_emulator.mocking.openai.asked import Embedding, read, texts_of

DIMENSIONS = 1_024
"""Of a vector, unless the request says otherwise: those of the usual open models, as bge-large."""
_WORD = re.compile(r"\w+")
_PLACES = 16
"""Members of a vector that one word decides."""
_WORDS = 2_000
"""Of one text, that count for its vector."""


def embed(turn: Turn) -> Generator[Said, None, None]:
    """Answer one request; raises ModelError."""
    asked = read(turn.body, Embedding)
    model, texts = turn.named(asked.model), texts_of(asked.input, "input")
    counts = [tokens.count(text) for text in texts]
    turn.room(max(counts), None)
    with turn.meter.request(model, sum(counts)):
        moment = next(turn.settings.pace.moments(turn.chance(), turn.meter.others))
        yield Said(moment)
        data: list[dict[str, Any]] = []
        for index, text in enumerate(texts):
            found = vector(f"{turn.scene.seed} {model}", text, asked.dimensions or DIMENSIONS)
            shown = _packed(found) if asked.encoding_format == "base64" else found
            data.append({"object": "embedding", "index": index, "embedding": shown})
            yield Said(moment)  # each takes a while, and others may have their turn between
    total = {"prompt_tokens": sum(counts), "completion_tokens": 0, "total_tokens": sum(counts)}
    answer = {
        "id": f"embd-{turn.scene.job}", "object": "list", "created": turn.created, "model": model, "data": data,
        "usage": total,
    }  # fmt: skip
    yield Said(moment, msgspec.json.encode(answer))


def vector(seed: str, text: str, size: int) -> list[float]:
    """A direction of length 1 that depends on the words of a text: each turns it in a few dimensions of its own."""
    numbers = [0.0] * size
    for word in _WORD.findall(text[: 16 * _WORDS].lower())[:_WORDS] or [text]:
        chance = random.Random(f"{seed} {word}")
        for _ in range(_PLACES):
            numbers[chance.randrange(size)] += chance.choice((-1.0, 1.0))
    length = math.hypot(*numbers)
    if not length:  # everything has cancelled out
        numbers[0] = length = 1.0
    return [number / length for number in numbers]


def _packed(numbers: list[float]) -> str:
    """32-bit floats, the lowest byte first, in base64."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
