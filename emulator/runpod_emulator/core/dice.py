"""Chance that a seed decides, made only when it is first thrown: a world has a dozen, and most are never used."""

from __future__ import annotations

import functools
import random


class Dice:
    """The same seed throws the same; None is chance. One that was thrown takes 2.5 KB and 10 µs to make."""

    def __init__(self, seed: int | str | None) -> None:
        self.seed = seed

    @functools.cached_property
    def chance(self) -> random.Random:
        """What throws."""
        return random.Random(self.seed)

    def reseed(self, seed: int | str) -> None:
        """Take another seed, from the next reset on."""
        self.seed = seed

    def reset(self) -> None:
        """Begin anew."""
        self.__dict__.pop("chance", None)
