"""What is wrong with something that users wrote, in their words and not in pydantic's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WANTED = {
    "list_type": "a list",
    "string_type": "a text",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
}
"""What should have been there, by the type of the error."""
_KINDS = {str: "a text", int: "a number", float: "a number", list: "a list", tuple: "a list", Mapping: "a mapping"}


def kind_of(value: Any) -> str:
    """What a value is, in a user's words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    return next((name for kind, name in _KINDS.items() if isinstance(value, kind)), "something else")


def reason_of(error: Mapping[str, Any]) -> str:
    """One error of a ValidationError."""
    kind: str = error["type"]
    if kind in _WANTED:
        return f"write {_WANTED[kind]}; this is {kind_of(error.get('input'))}"
    if kind == "too_short" and not error["ctx"]["actual_length"]:
        return "write at least one; this list is empty"
    if kind == "extra_forbidden":
        return "no such key"
    return str(error["msg"]).removeprefix("Value error, ")
