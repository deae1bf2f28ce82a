"""Vectors, as floats and in base64."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

from tests.mocking.openai.models import answer
from tests.tables import table

ROUTE = "/v1/embeddings"


def vectors(texts: Any, **more: Any) -> list[list[float]]:
    data = answer({"input": texts, **more}, ROUTE)["data"]
    assert [one["index"] for one in data] == list(range(len(data)))
    return [one["embedding"] for one in data]


def likeness(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_a_vector_has_length_one_and_depends_on_the_text_alone() -> None:
    first, second, again = vectors(["a cat", "a dog", "a cat"])
    assert len(first) == 1_024
    assert math.isclose(likeness(first, first), 1)
    assert first == again != second
    assert vectors("a cat") == [first]


def test_texts_that_share_words_are_near() -> None:
    cat, kitten, tax = vectors(["The cat sat on the mat", "a cat on a mat", "income tax returns 2026"])
    assert likeness(cat, kitten) > 0.25 > likeness(cat, tax)


def test_base64_holds_the_same_numbers() -> None:
    body = {"input": ["one", "two"], "dimensions": 8}
    floats = [one["embedding"] for one in answer(body, ROUTE)["data"]]
    packed = [one["embedding"] for one in answer({**body, "encoding_format": "base64"}, ROUTE)["data"]]
    for numbers, text in zip(floats, packed, strict=True):
        found = struct.unpack("<8f", base64.b64decode(text))
        assert all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(numbers, found, strict=True))


@table(("given", "tokens"), [("one two", 2), ([1, 2, 3], 3), ([[1], [2, 3]], 3), ("", 0), (["a", ""], 1)])
def test_usage(given: Any, tokens: int) -> None:
    got = answer({"input": given, "model": "any"}, ROUTE)
    assert got["usage"] == {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
    assert (got["object"], got["model"]) == ("list", "any")


@table(
    ("body", "said"),
    [
        ({}, "Object missing required field `input`"),
        ({"input": {}}, "input: Expected `str | array`, got `object`"),
        ({"input": "a", "dimensions": 0}, "dimensions: Expected `int` >= 1"),
        ({"input": "a", "dimensions": 10**9}, "dimensions: Expected `int` <= 8192"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format: Invalid enum value 'hex'"),
    ],
)
def test_what_is_refused(body: dict[str, Any], said: str) -> None:
    got = answer(body, ROUTE)
    assert (got["code"], got["message"]) == (400, said)
