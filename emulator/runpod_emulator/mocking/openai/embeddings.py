"""Vectors of texts: those that share words are near each other."""

from __future__ import annotations

import base64
import math
import re
import struct
from collections.abc import Generator
from hashlib import blake2b
from itertools import islice
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
_WORDS, _WORDS_LEAST = 65_536, 16
"""Of all texts of a request together, and of each, that count for the vectors."""


def embed(turn: Turn) -> Generator[Said, None, None]:
    """Answer one request; raises ModelError."""
    asked = read(turn.body, Embedding)
    model, texts = turn.named(asked.model), texts_of(asked.input, "input")
    counts = [tokens.count(text) for text in texts]
    turn.room(max(counts), None)
    with turn.meter.request(model, sum(counts)):
        moment = next(turn.settings.pace.moments(turn.chance(), turn.meter.others))
        yield Said(moment)
        words = max(_WORDS_LEAST, _WORDS // len(texts))
        vectors = Vectors(f"{turn.scene.seed} {model}", asked.dimensions or DIMENSIONS, words)
        data: list[dict[str, Any]] = []
        for index, text in enumerate(texts):
            found = vectors.of(text)
            shown = _packed(found) if asked.encoding_format == "base64" else found
            data.append({"object": "embedding", "index": index, "embedding": shown})
            yield Said(moment)  # each takes a while, and others may have their turn between
    total = {"prompt_tokens": sum(counts), "completion_tokens": 0, "total_tokens": sum(counts)}
    answer = {
        "id": f"embd-{turn.scene.job}", "object": "list", "created": turn.created, "model": model, "data": data,
        "usage": total,
    }  # fmt: skip
    yield Said(moment, msgspec.json.encode(answer))


class Vectors:
    """Directions of length 1 that depend on the words of texts: each word turns them in a few dimensions of its own."""

    def __init__(self, seed: str, size: int, words: int) -> None:
        self._seed = seed
        self._size = size
        self._words = words
        """Of a text, that count."""
        self._turns: dict[str, list[tuple[int, float]]] = {}

    def of(self, text: str) -> list[float]:
        """The direction of a text."""
        numbers = [0.0] * self._size
        for found in islice(_WORD.finditer(text), self._words):
            for place, turn in self._turn(found[0].lower()):
                numbers[place] += turn
        length = math.hypot(*numbers)
        if not length:  # without a word, or everything has cancelled out
            numbers[0] = length = 1.0
        return [number / length for number in numbers]

    def _turn(self, word: str) -> list[tuple[int, float]]:
        if word not in self._turns:
            digest = blake2b(f"{self._seed} {word}".encode("utf-8", "surrogatepass"), digest_size=4 * _PLACES).digest()
            draws = struct.unpack(f"<{_PLACES}I", digest)
            self._turns[word] = [((draw >> 1) % self._size, 1.0 if draw & 1 else -1.0) for draw in draws]
        return self._turns[word]


def _packed(numbers: list[float]) -> str:
    """32-bit floats, the lowest byte first, in base64."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
