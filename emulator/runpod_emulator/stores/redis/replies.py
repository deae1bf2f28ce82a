"""Answers of the server, in the shapes that the library gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def scored(found: Sequence[Any]) -> list[tuple[str, int]]:
    """Members and scores: they come one after the other, or in pairs."""
    flat = [part for one in found for part in (one if isinstance(one, tuple | list) else (one,))]
    return [(name.decode(), int(float(score))) for name, score in zip(flat[::2], flat[1::2], strict=True)]


def named(found: Mapping[bytes, bytes] | Sequence[bytes]) -> dict[str, bytes]:
    """Names and values: they come as a mapping, or one after the other."""
    pairs = found.items() if isinstance(found, Mapping) else zip(found[::2], found[1::2], strict=True)
    return {name.decode(): value for name, value in pairs}
