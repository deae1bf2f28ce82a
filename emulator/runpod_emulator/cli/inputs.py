"""An input as it is written on the command line: JSON, a file, standard input, or names and values."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runpod_emulator.config.examples import without_comments
from runpod_emulator.core.errors import ConfigurationError

FORMS = "JSON, @FILE, - for standard input, or NAME=VALUE..."
"""How an input is written, for help texts."""
_OF_A_REQUEST = {"id", "input", "webhook", "policy", "s3Config"}
"""The keys of a whole request, such as a `test_input.json` holds."""


def request_of(words: Sequence[str], stdin: Callable[[], str] = lambda: sys.stdin.read()) -> dict[str, Any]:
    """The body of a request for an input in these words: `{"input": ..., ...}`; raises ConfigurationError.

    The words are one of JSON, `@FILE` and `-`, or any number of `NAME=VALUE`. What holds a whole request, as
    `test_input.json` does, gives its webhook and policy too.
    """
    if len(words) == 1 and (text := _document(words[0], stdin)) is not None:
        return _request(_parsed(words[0], text))
    return {"input": _pairs(words)}


def _document(word: str, stdin: Callable[[], str]) -> str | None:
    """The JSON text that a word is or names; None for `NAME=VALUE`."""
    if word == "-":
        return _read("standard input", stdin)
    if word.startswith("@"):
        return _read(word[1:], lambda: Path(word[1:]).read_text("utf-8"))
    name, equals, _ = word.partition("=")
    is_pair = bool(equals) and name.isprintable() and not set(name) & set('{["')
    return None if is_pair else word


def _read(place: str, read: Callable[[], str]) -> str:
    try:
        return read()
    except OSError as error:
        raise ConfigurationError(f"input {place}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"input {place}: it is no text in UTF-8") from error


def _parsed(word: str, text: str) -> Any:
    named = word if word == "-" or word.startswith("@") else ""
    try:
        return json.loads(without_comments(text) if named else text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        place = f"{word[1:] or 'standard input'}:{error.lineno}:{error.colno}" if named else f"column {error.colno}"
        raise ConfigurationError(f"input {place}: {error.msg}; write {FORMS}") from error
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it is nested too deep"
        raise ConfigurationError(f"input {named.lstrip('@') or 'JSON'}: {reason}") from error


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")


def _request(value: Any) -> dict[str, Any]:
    if isinstance(value, dict) and isinstance(value.get("input"), dict) and set(value) <= _OF_A_REQUEST:
        return {name: part for name, part in value.items() if name != "id"}
    return {"input": value}


def _pairs(words: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise ConfigurationError(f"input {word}: write {FORMS}")
        if name in found:
            raise ConfigurationError(f"input {name}: it is given twice")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    """JSON where it is some, as in `steps=3`, else the text itself."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
