"""What evaluating one template may cost: steps of work, and the size of whatever it makes."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain
from typing import Any, NamedTuple

from jinja2.runtime import LoopContext
from jinja2.utils import Cycler, Namespace

from runpod_emulator.core.time.clock import cpu_time

LONGEST = 20_000_000
"""Most characters of a text, items of a list, or bytes of a value that a template may make."""
MOST_STEPS = 250_000
"""Most steps in one evaluation. One is 0.2 µs of work: a round of a loop, an item or 100 characters gone through."""
MOST_TIME = 0.05
"""Most seconds of work in one evaluation, after the first steps, whatever it was thought to take."""
MOST_BITS = 20_000
_LOOK = 256
"""Steps after which the time is looked at."""
_PLAIN = frozenset({int, float, bool, type(None)})
_USUAL = 1 << 64
_MEMBERS = (Mapping, list, tuple, set, frozenset, range, ValuesView)


class TooCostly(Exception):
    """A template went over a limit."""


class Size(NamedTuple):
    """How large a value is with all that is in it, each part counted as often as it is met."""

    items: int
    characters: int
    """Of its texts."""
    depth: int = 0

    @property
    def text(self) -> int:
        """About how many characters its text has."""
        return 20 * (self.items - 1) + self.characters


class _Budget:
    __slots__ = ("left", "look", "over")

    def __init__(self) -> None:
        self.left = MOST_STEPS
        self.look = MOST_STEPS - _LOOK
        """The number of steps left below which the time is looked at."""
        self.over: float | None = None
        """When it has worked long enough; known from the first look on, for a look at that clock is dear."""

    def check(self) -> None:
        if self.left < 0:
            raise TooCostly(f"more than {MOST_STEPS} steps")
        worked = cpu_time()
        if self.over is None:
            self.over = worked + MOST_TIME
        if worked > self.over:
            raise TooCostly(f"more than {round(MOST_TIME * 1000)} ms of work")
        self.look = max(0, self.left - _LOOK)


_budget: ContextVar[_Budget] = ContextVar("budget")


@contextmanager
def limited() -> Iterator[None]:
    """Count the steps of one evaluation."""
    token = _budget.set(_Budget())
    try:
        yield
    finally:
        _budget.reset(token)


def step(count: float = 1) -> None:
    """Count steps, one at least; raises TooCostly."""
    budget = _budget.get()
    budget.left -= int(count) or 1
    if budget.left < budget.look:
        budget.check()


def check_length(length: float) -> None:
    """Raise TooCostly for what is longer than LONGEST."""
    if length > LONGEST:
        raise TooCostly(f"longer than {LONGEST // 1_000_000} MB")


def checked(made: Any) -> Any:
    """What was made, unless it is too long; raises TooCostly. A text is never more than a text."""
    if isinstance(made, str):
        check_length(len(made))
        return made if type(made) is str else str(made)
    if isinstance(made, list | tuple):
        check_length(len(made))
    elif isinstance(made, int) and made.bit_length() > MOST_BITS:
        raise TooCostly("a number as long as that")
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


def rounds(items: Iterable[Any]) -> Iterator[Any]:
    """What a loop goes through, each round counted as it comes: its body may have nothing else that is."""
    step(4)
    return counted(items)


def counted(items: Iterable[Any]) -> Iterator[Any]:
    """Items that nobody has yet, each counted as it comes."""
    for item in items:
        step()
        yield item


def settled(value: Any) -> Any:
    """A value whose size can be told: what would come one by one is a list."""
    return list(counted(value)) if isinstance(value, Iterator) else value


def size(value: Any) -> Size:
    """The size of a value; looking at an item costs a step, and nothing is looked at twice."""
    if isinstance(value, str):
        return Size(1, len(value))
    return Size(1, _digits(value)) if type(value) in _PLAIN else _size(value, {})


def _digits(number: Any) -> int:
    """How many characters are as dear as the digits of a number: that of 3,000 takes 30 times as long as they do."""
    digits = number.bit_length() // 3 if isinstance(number, int) else 0
    return digits * (1 + digits // 100)


def _size(value: Any, known: dict[int, Size]) -> Size:
    if isinstance(value, str):
        return Size(1, len(value))
    if isinstance(value, bytes):
        return Size(1, 4 * len(value))  # written as `\x00` at worst
    held = value if isinstance(value, _MEMBERS) else _held(value)
    if held is None:
        return Size(1, 0)
    before = known.get(id(value))
    if before is not None:
        return before
    step(len(held))
    members = chain(held, held.values()) if isinstance(held, Mapping) else held
    items, characters, depth = 1, 0, 0
    for member in members:
        if type(member) in _PLAIN:
            items += 1
            if member is not None and not -_USUAL < member < _USUAL:
                characters += _digits(member)
        elif type(member) is str:
            items += 1
            characters += len(member)
        else:
            step()
            part = _size(member, known)
            items, characters = items + part.items, characters + part.characters
            depth = max(depth, part.depth)
    known[id(value)] = found = Size(items, characters, depth + 1)
    return found


def _held(value: Any) -> Mapping[Any, Any] | tuple[Any, ...] | None:
    """The values that an object gives away which is no collection itself: as its text, or by its attributes."""
    if isinstance(value, ItemsView | KeysView):
        return getattr(value, "mapping", None)
    if isinstance(value, Namespace):
        attributes: dict[str, Any] = object.__getattribute__(value, "_Namespace__attrs")
        return attributes
    if isinstance(value, Cycler):
        return value.items
    if isinstance(value, LoopContext):
        return value.previtem, value.nextitem
    return None


def go_through(value: Any, rate: float = 1) -> Size:
    """Count going through all of a value, `rate` times as dear as writing it down; returns its size."""
    found = size(value)
    step(rate * (found.items / 2 + found.characters / 100))
    return found


def write_down(value: Any) -> None:
    """Count making one text of a value; raises TooCostly, also where that would be too long."""
    found = size(value)
    check_length(found.text * (2 if isinstance(value, str) and not value.isascii() else 1))
    step(found.items / 2 + found.characters / 500)
