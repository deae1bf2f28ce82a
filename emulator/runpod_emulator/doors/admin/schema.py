"""The OpenAPI description of the admin API, mended where pydantic can't know better."""

from __future__ import annotations

from typing import Any

_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
"""Bounds of a number that is written in several forms, as pydantic leaves them, and their names in JSON Schema."""


def mended(schema: Any) -> Any:
    """The same with bounds where they belong, and with one list of forms for values that have several or are null."""
    if isinstance(schema, list):
        return [mended(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: mended(one) for name, one in schema.items()}
    if isinstance(found.get("anyOf"), list):
        _join(found)
        _place_bounds(found)
    return found


def _join(found: dict[str, Any]) -> None:
    """Forms of forms are forms."""
    forms: list[Any] = []
    for one in found["anyOf"]:
        inner = one.get("anyOf") if isinstance(one, dict) else None
        if inner and one.keys() <= {"anyOf", "examples"}:
            forms += inner
            found.setdefault("examples", one.get("examples", []))
        else:
            forms.append(one)
    found["anyOf"] = forms


def _place_bounds(found: dict[str, Any]) -> None:
    """A bound is one of the form that is a number."""
    for name, meant in _BOUNDS.items():
        if name in found:
            bound = found.pop(name)
            for form in found["anyOf"]:
                if isinstance(form, dict) and form.get("type") in ("integer", "number"):
                    form[meant] = bound
