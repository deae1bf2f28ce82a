"""The server's options as the command line takes them; all follow from the model."""

from __future__ import annotations

import types
from collections.abc import Container
from typing import Any, Literal, Union, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from runpod_emulator.config.options import all_options, default_text, flag, form


def server_options(but: Container[str | None]) -> list[click.Parameter]:
    """One click option for each option of the model, `but` for some; handlers are words, and never one."""
    return [_option(name, field) for name, field in all_options().items() if name not in but and name != "handlers"]


def _option(name: str, field: FieldInfo) -> click.Option:
    kind = _bare(field.annotation)
    default = default_text(field)
    text = f"{field.description} [{default}]" if default else field.description
    if kind is bool:
        other = name.removeprefix("no_") if name.startswith("no_") else f"no_{name}"
        names = flag(name) if other in all_options() else f"{flag(name)}/{flag(other)}"
        return click.Option([names, name], is_flag=True, default=None, help=field.description)
    repeatable = get_origin(kind) in (list, dict)
    return _Option(
        [flag(name), name], type=_click_type(field, kind), multiple=repeatable, metavar=form(field) or None, help=text
    )


class _Option(click.Option):
    """An option whose empty value is none, whatever its type."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """The value as its type takes it."""
        return super().type_cast_value(ctx, None if value == "" else value)


def _bare(kind: Any) -> Any:
    """The type without None."""
    if get_origin(kind) in (Union, types.UnionType):
        return next(part for part in get_args(kind) if part is not type(None))
    return kind


def _click_type(field: FieldInfo, kind: Any) -> Any:
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    return kind if kind in (int, float) and form(field) != "TIME" else str
