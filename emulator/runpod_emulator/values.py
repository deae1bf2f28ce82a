"""The forms in which values are written: durations, spans, variables, and back to text."""

from __future__ import annotations

import contextlib
import datetime
import difflib
import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    GetPydanticSchema,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)  # fmt: skip
from pydantic_core import core_schema

from runpod_emulator.core.networks import network
from runpod_emulator.core.platform import DAY, HOUR, MINUTE, SECOND
from runpod_emulator.core.settings import Span

_UNITS = {"": 1, "ms": 1, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_LONGEST = 1_000 * 366 * DAY
_LONGEST_NAME = 100
"""Characters of a wrong name that are compared with the right ones."""
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)", re.ASCII)
_SPAN = re.compile(r"([^-]+?)(?:\s*-\s*([^-]+?))?(?:\s+seed\s+(\d+))?", re.ASCII)
_BARE = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
WITH_UNITS = {"units": True}
"""The context of a validation in which durations have units: in Python a number would be s to one reader and ms to
another."""
_HOW = "write milliseconds, or a number with ms, s, m, h or d"
_HOW_SPAN = f"{_HOW}, or a range such as 1s-3s, or 1s-3s seed 7"


class Exact(BaseModel):
    """What users write, in which true and false are no numbers: pydantic would take them for 1 and 0."""

    @field_validator("*", mode="before")
    @classmethod
    def _is_number(cls, given: Any, info: ValidationInfo) -> Any:
        parts = given.values() if isinstance(given, Mapping) else given if isinstance(given, list) else [given]
        if any(isinstance(part, bool) for part in parts):
            kinds = _kinds(cls.model_fields[info.field_name or ""].annotation)
            if kinds & {int, float} and not kinds & {bool, Any}:
                raise ValueError("write a number, not true or false")
        return given


def _kinds(annotation: Any) -> set[Any]:
    """The types that an annotation is made of."""
    parts = get_args(annotation)
    return {kind for part in parts for kind in _kinds(part)} if parts else {annotation}


def milliseconds(text: Any) -> Any:
    """A duration such as `600000`, `600s`, `10m` or `24h` in ms; raises ValueError."""
    if not isinstance(text, str):
        if isinstance(text, bool):
            raise ValueError(_HOW)
        if isinstance(text, datetime.timedelta):
            text = round(text / datetime.timedelta(milliseconds=1))
            if text < 0:
                raise ValueError("no time is shorter than none")
        if isinstance(text, int) and abs(text) > _LONGEST:
            raise ValueError("that is longer than any time here")
        return text
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(_HOW)
    duration = float(match[1]) * _UNITS[match[2]]
    if duration > _LONGEST:
        raise ValueError("that is longer than any time here")
    return round(duration)


def span(text: Any) -> Span:
    """A duration, or a range of them such as `1s-3s` or `1s-3s seed 7`; raises ValueError."""
    if isinstance(text, Span):
        return text
    if isinstance(text, datetime.timedelta):
        text = milliseconds(text)
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return Span(milliseconds(text), milliseconds(text))
    match = _SPAN.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise ValueError(_HOW_SPAN)
    try:
        low = milliseconds(match[1])
        high = low if match[2] is None else milliseconds(match[2])
    except ValueError as error:
        raise ValueError(_HOW_SPAN if str(error) == _HOW else str(error)) from None
    if high < low:
        raise ValueError(f"the range {text} ends before it begins")
    return Span(low, high, None if match[3] is None else int(match[3]))


def bare(given: Any) -> str:
    """What to say of a duration, or an end of a range, that has no unit; "" where all have, and for none at all."""
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        return ""
    low, dash, high = str(given).partition("-")
    ends = [end.strip() for end in ((low, high.partition("seed")[0]) if dash else (low,))]
    wrong = next((end for end in ends if _BARE.fullmatch(end) and float(end)), None)
    return "" if wrong is None else f"{wrong} has no unit: write '{wrong}s' or '{wrong}ms'"


def _with_unit(given: Any, info: ValidationInfo) -> Any:
    if info.context == WITH_UNITS and (problem := bare(given)):
        raise ValueError(problem)
    return given


def _in_milliseconds(given: Any, info: ValidationInfo) -> Any:
    with _told(given, info):
        return milliseconds(_with_unit(given, info))


def spanned(given: Any, info: ValidationInfo) -> Span:
    """The same as `span`; with units, where the context asks for them."""
    with _told(given, info):
        return span(_with_unit(given, info))


@contextlib.contextmanager
def _told(given: Any, info: ValidationInfo) -> Iterator[None]:
    """Say what was given, and no more of bare milliseconds, where the context asks for units."""
    try:
        yield
    except ValueError as error:
        said = str(error)
        if info.context != WITH_UNITS or not said.startswith(_HOW):
            raise
    else:
        return
    raise ValueError(f"{str(given)[:_LONGEST_NAME]!r}: {said.replace('milliseconds, or ', '', 1)}")


def variables(given: Any) -> Any:
    """Variables by name, from a mapping or from entries `NAME=VALUE`; raises ValueError."""
    if not isinstance(given, list | tuple):
        return given
    found: dict[str, str] = {}
    for entry in given:
        name, equals, value = str(entry).partition("=")
        if not (name and equals):
            raise ValueError(f"{_begun(name)}{equals}{value and '…'}: write NAME=VALUE")
        found[name] = value
    return found


def _begun(entry: str) -> str:
    """The first word of an entry: what follows may be a secret."""
    first, *more = entry.split(maxsplit=1) or [""]
    return f"{first} …" if more else first


def file_of(handler: str) -> str | None:
    """The file of `file.py` and `file.py:function`; None for `package.module:function`."""
    path, _, function = handler.rpartition(":")
    if path.endswith(".py") and all(part.isidentifier() for part in function.split(".")):
        return path
    return handler if handler.endswith(".py") else None


def host_name(given: Any) -> Any:
    """A name or an address without a port, in small letters; raises ValueError."""
    if not isinstance(given, str):
        return given
    name = given.strip().lower()
    bare = name.removeprefix("*.")
    if not bare or set(bare) & set("/@*[]") or (":" in bare and not _is_address(bare)):
        raise ValueError(
            f"{given}: write a name or an address without a port, such as emulator.test or *.emulator.test"
        )
    return name


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def network_text(given: Any) -> Any:
    """The text of a network; raises ValueError."""
    if isinstance(given, str):
        network(given)
    return given


HostName = Annotated[str, BeforeValidator(host_name)]
NetworkText = Annotated[str, BeforeValidator(network_text)]
Milliseconds = Annotated[
    int,
    BeforeValidator(_in_milliseconds),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)?\s*$"},
                {"type": "integer", "minimum": 0},
            ],
            "examples": ["2s", "10m", 1500],
        }
    ),
]
Duration = Annotated[
    Span,
    GetPydanticSchema(lambda _source, _handler: core_schema.with_info_plain_validator_function(spanned)),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}], "examples": ["2s", "1s-3s", 250]}
    ),
]
Variables = Annotated[dict[str, str], BeforeValidator(variables)]


def nearest(name: str, names: Iterable[str]) -> str:
    """ "; the nearest is …", to end the refusal of a name that is none of these; "" where there are none."""
    near = difflib.get_close_matches(name[:_LONGEST_NAME], names, n=1, cutoff=0.0)
    return f"; the nearest is {near[0]}" if near else ""


def as_text(value: Any) -> str:
    """A value in the form in which it is written."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Span):
        length = _with_best_unit(value.low)
        if value.low != value.high:
            length += f"-{_with_best_unit(value.high)}"
        return length if value.seed is None else f"{length} seed {value.seed}"
    if isinstance(value, Mapping):
        return ",".join(f"{name}={value}" for name, value in value.items())
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    return str(value)


def _with_best_unit(duration: int) -> str:
    """Milliseconds in the largest unit in which they are a whole number: 90s, 120ms, 2h."""
    fitting = [(size, unit) for unit, size in _UNITS.items() if unit and duration % size == 0]
    size, unit = max(fitting) if duration else (SECOND, "s")
    return f"{duration // size}{unit}"
