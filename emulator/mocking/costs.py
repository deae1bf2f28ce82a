"""What evaluating one template may cost: steps, and the size of whatever it makes."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

LONGEST = 20_000_000
"""Most characters of a text, items of a list, or bytes of a value that a template may make."""
MOST_STEPS = 250_000
"""Most rounds of loops, calls and items that go through filters, in one evaluation."""
_MOST_BITS = 10_000
_WIDE_FORMAT = re.compile(r"\d{5,}|\*")
_PADDING = {"center", "expandtabs", "indent", "ljust", "rjust", "zfill", "batch", "slice", "wordwrap"}

_steps_left: ContextVar[list[int]] = ContextVar("steps_left")


class TooCostly(Exception):
    """A template went over a limit."""


@contextmanager
def limited() -> Iterator[None]:
    """Count the steps of one evaluation."""
    token = _steps_left.set([MOST_STEPS])
    try:
        yield
    finally:
        _steps_left.reset(token)


def step(count: int = 1) -> None:
    """Count steps; raises TooCostly."""
    left = _steps_left.get()
    left[0] -= count
    if left[0] < 0:
        raise TooCostly(f"more than {MOST_STEPS} steps")


def check_length(length: int) -> None:
    """Raise TooCostly for what is longer than LONGEST."""
    if length > LONGEST:
        raise TooCostly(f"longer than {LONGEST // 1_000_000} MB")


def checked(made: Any) -> Any:
    """What was made, unless it is too long; raises TooCostly."""
    if isinstance(made, str | list | tuple):
        check_length(len(made))
    return made


def joined(parts: Iterable[str]) -> str:
    """The parts of a rendered text as one; raises TooCostly as soon as they are too long."""
    found: list[str] = []
    length = 0
    for part in parts:
        length += len(part)
        check_length(length)
        found.append(part)
    return "".join(found)


def rounds(items: Any) -> Any:
    """What a loop goes through, each round counted."""
    if isinstance(items, Sized):
        step(len(items))
        return items
    return _counted(items)


def _counted(items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        step()
        yield item


def weigh(act: Callable[..., Any], values: Iterable[Any]) -> None:
    """Count a call by the size of its arguments; raises TooCostly, also where its result would be too long."""
    values = [value for value in values if isinstance(value, int | str | list | tuple | dict | range)]
    step(1 + sum(_weight(value) for value in values))
    name = getattr(act, "__name__", "").removeprefix("do_")
    texts = [value for value in values if isinstance(value, str)]
    if name in _PADDING:
        width = max((abs(value) for value in values if isinstance(value, int)), default=0)
        check_length(width * max([1, *(text.count("\n") + text.count("\t") for text in texts)]))
    elif name == "replace" and len(texts) > 1:
        check_length(len(texts[0]) * len(texts[-1]))
    elif name == "join":
        items = next((value for value in values if isinstance(value, list | tuple)), ())
        between = max(map(len, texts), default=0)
        check_length(sum(between + len(item) for item in items if isinstance(item, str)))
    elif name == "format" and any(_WIDE_FORMAT.search(text) for text in texts[:1]):
        raise TooCostly("a format as wide as that")


def _weight(value: Any) -> int:
    if isinstance(value, int):
        return 0
    return len(value) // 1000 if isinstance(value, str) else len(value)


def within_limits(act: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that keeps the limits."""

    @functools.wraps(act)
    def limited_act(*values: Any, **options: Any) -> Any:
        weigh(act, (*values, *options.values()))
        return checked(act(*values, **options))

    return limited_act


def check_calculation(operator: str, left: Any, right: Any) -> None:
    """Refuse a calculation whose result would be huge; raises TooCostly."""
    if isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * max(1, right) if operator == "**" else left.bit_length() + right.bit_length()
        if bits > _MOST_BITS:
            raise TooCostly("a number as long as that")
    elif operator == "%" and isinstance(left, str) and _WIDE_FORMAT.search(left):
        raise TooCostly("a format as wide as that")
    elif operator in "+*":
        sizes = [value if isinstance(value, int) else len(value) for value in (left, right) if _has_size(value)]
        if len(sizes) == 2:
            check_length(sizes[0] * sizes[1] if operator == "*" else sum(sizes))


def _has_size(value: Any) -> bool:
    return isinstance(value, int | str | list | tuple)
