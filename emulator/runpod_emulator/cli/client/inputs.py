"""The input of a job as it is typed: JSON, `@file`, `-` for standard input, or `name=value` words."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runpod_emulator.cli.client.ends import WrongUse

_HOW = "write name=value, JSON, @file or - for standard input"
_MEMBERS = frozenset(("input", "webhook", "policy", "s3Config", "id"))
"""Of the body of a request: a file of these, as `test_input.json`, is one."""


def read_body(words: Sequence[str]) -> dict[str, Any]:
    """The body of a request whose input is meant by these words; raises WrongUse."""
    first = words[0]
    if first == "-" or first.startswith("@") or _is_json(first):
        if len(words) > 1:
            raise WrongUse(f"{first} is the whole input: {_HOW}, and nothing else")
        return _body(_document(first))
    return {"input": dict(map(_member, words))}


def _is_json(word: str) -> bool:
    return word.lstrip()[:1] in ("{", "[", '"') or "=" not in word


def _document(word: str) -> Any:
    if word == "-":
        return _parsed(sys.stdin.read(), "standard input")
    if word.startswith("@"):
        return _parsed(_file(word[1:]), word[1:])
    return _parsed(word, "")


def _file(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise WrongUse(f"{name}: is no UTF-8") from error
    except (OSError, ValueError) as error:
        raise WrongUse(f"@{name}: {getattr(error, 'strerror', None) or error}") from error


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        if not place and text.lstrip()[:1] not in ("{", "[", '"'):
            raise WrongUse(f"{text!r} is no input: {_HOW}") from error
        where = f"{place or 'the input'}, line {error.lineno}, column {error.colno}"
        raise WrongUse(f"{where}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        why = "nests too deep" if isinstance(error, RecursionError) else error
        raise WrongUse(f"{place or 'the input'}: {why}") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


def _body(document: Any) -> dict[str, Any]:
    """A document as a body: one already, or the input of one."""
    if isinstance(document, dict) and "input" in document and document.keys() <= _MEMBERS:
        return {name: value for name, value in document.items() if name != "id"}
    return {"input": document}


def _member(word: str) -> tuple[str, Any]:
    name, equals, text = word.partition("=")
    if not name or not equals:
        raise WrongUse(f"{word!r}: write name=value")
    try:
        return name, json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return name, text
