"""Fields of the platform as users change them."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import re
import typing
from typing import Any, Literal, get_args, get_origin

from pydantic import TypeAdapter, ValidationError

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.platform import Platform, source_of
from runpod_emulator.values import milliseconds


@functools.cache
def field_types() -> dict[str, Any]:
    """The type of each platform field."""
    return typing.get_type_hints(Platform)


def changed_fields(platform: Platform) -> dict[str, Any]:
    """The platform's values by name."""
    return {field.name: getattr(platform, field.name) for field in dataclasses.fields(platform)}


def parse_field(entry: str, place: str = "--set") -> tuple[str, Any]:
    """The name and value of an entry `field=value`, which stands at `place`; raises ConfigurationError."""
    name, equals, text = entry.partition("=")
    name = name.strip()
    if not equals:
        raise ConfigurationError(f"{place} {entry}: write field=value")
    kind = field_types().get(name)
    return name, field_value(name, _literal(text.strip(), kind), f"{place} {entry}")


def field_value(name: str, value: Any, place: str, strict: bool = False) -> Any:
    """The value of a field; raises ConfigurationError, which begins with its `place`. `strict` takes no other type."""
    known = field_types()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise ConfigurationError(f"{place}: no field {name}. The nearest is {near}; 'runpod-emulator fields' lists all")
    kind = known[name]
    try:
        if kind is int and isinstance(value, bool):
            raise ValueError("write a number, not true or false")
        if kind is int and source_of(name).unit == "ms":
            value = milliseconds(value)
        if strict and get_origin(kind) is tuple and isinstance(value, list):
            value = tuple(value)
        return TypeAdapter(kind).validate_python(value, strict=strict)
    except ValidationError as error:
        why = error.errors()[0]["msg"]
    except ValueError as error:
        why = str(error)
    raise ConfigurationError(f"{place}: {name} is {_type_name(kind)}; {why}")


def _literal(text: str, kind: Any) -> Any:
    if kind is str:
        return text
    if get_origin(kind) is tuple:
        return [part for part in re.split(r"[\s,]+", text.strip("[]() ")) if part]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return "a list of whole numbers"
    return {int: "a whole number", bool: "true or false", str: "a text"}[kind]
