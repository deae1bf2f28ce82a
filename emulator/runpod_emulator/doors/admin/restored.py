"""What somebody has been shown without its secrets, and sends back changed: what is still masked stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.secrets.texts import HIDDEN

_LONGEST = 100
"""Characters of a text that are shown."""


def restored(given: Any, shown: Any, kept: Any) -> Any:
    """The JSON that is `given`, with the masked texts of what was `shown` as they are in what is `kept`.

    Raises ConfigurationError for a masked text of which nobody can tell what it stands for.
    """
    meant: dict[str, list[Any]] = {}
    for masked, text in _pairs(shown, kept):
        if text not in meant.setdefault(masked, []):
            meant[masked].append(text)
    return _restored(given, meant) if any(texts != [masked] for masked, texts in meant.items()) else given


def _pairs(shown: Any, kept: Any) -> Iterator[tuple[str, Any]]:
    """What is masked, and what it stands for; a dictionary keeps the order of its names when they are masked."""
    if isinstance(shown, dict):
        for (name, one), (kept_name, kept_one) in zip(shown.items(), kept.items(), strict=True):
            yield from (*_pairs(name, kept_name), *_pairs(one, kept_one))
    elif isinstance(shown, list):
        for one, kept_one in zip(shown, kept, strict=True):
            yield from _pairs(one, kept_one)
    elif isinstance(shown, str) and HIDDEN in shown:
        yield shown, kept


def _restored(given: Any, meant: dict[str, list[Any]]) -> Any:
    if isinstance(given, dict):
        return {_restored(name, meant): _restored(one, meant) for name, one in given.items()}
    if isinstance(given, list):
        return [_restored(one, meant) for one in given]
    if not isinstance(given, str) or HIDDEN not in given:
        return given
    texts = meant.get(given, ())
    if len(texts) != 1:
        raise ConfigurationError(f"{given[:_LONGEST]!r} is masked, and stands for nothing known: write it out")
    return texts[0]
