"""What a row of the benchmark is: one thing measured in rounds, and the lines of the table that it fills."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, ParamSpec, TypeVar

Value = TypeVar("Value")
Given = ParamSpec("Given")

Sample = dict[str, float]
"""What one round measured, by name."""


class Scale(NamedTuple):
    """How much one round does."""

    round: int
    """Counted from 0."""
    seconds: float
    """Of load on one server."""
    jobs: int
    """Where the table says 1,000,000; every other count is a part of it."""


class Line(NamedTuple):
    """One line of the table. Without a limit it is there to compare with."""

    what: str
    of: Callable[[Sample], float]
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> str:
        """The limit in words, "" for none."""
        if self.at_least is not None:
            return f"at least {self.at_least:,g} {self.unit}".rstrip()
        return "" if self.at_most is None else f"at most {self.at_most:,g} {self.unit}".rstrip()

    def met(self, value: float) -> bool:
        """Whether a value keeps the limit."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


@dataclass(frozen=True)
class Row:
    """One thing to measure. `measure` does one round of it, on fresh servers or in a fresh process."""

    name: str
    title: str
    measure: Callable[[Scale], Sample]
    lines: Sequence[Line]


def one(name: str) -> Callable[[Sample], float]:
    """The measured value of this name."""
    return lambda sample: sample[name]


def ratio(name: str, to: str) -> Callable[[Sample], float]:
    """One value divided by another of the same round."""
    return lambda sample: sample[name] / sample[to]


def in_turn(things: Sequence[Value], scale: Scale) -> list[Value]:
    """The same things, in each round another one first."""
    first = scale.round % len(things)
    return [*things[first:], *things[:first]]


def in_fresh_process(work: Callable[Given, Value], *arguments: Given.args, **options: Given.kwargs) -> Value:
    """What `work`, a function of a module, answers in a new Python process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments, **options).result()
