"""Towns, and the moves that are made in them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.model import moves_admin, moves_clients, moves_faults, moves_time, moves_workers
from tests.model.children import Children
from tests.model.jobs import DOCUMENTED, Terms
from tests.model.served import Served
from tests.model.town import Town

Move = Callable[[Town], None]
MOVES: dict[Move, float] = {
    **moves_clients.MOVES,
    **moves_workers.MOVES,
    **moves_time.MOVES,
    **moves_admin.MOVES,
    **moves_faults.MOVES,
}
LIFE = 400
"""Moves after which a town makes way for a fresh one."""


PLACES = 2
"""Process places of the server."""


@contextmanager
def a_town(seed: int = 0, terms: Terms | None = None) -> Iterator[Town]:
    """A fresh server with a model beside it."""
    children = Children()
    commands = [f"{name}=python program.py" for name in ("near", "next")]
    served = Served(
        children.put_in_place, endpoint=["far"], mock=["stub", "list"], command=commands, max_processes=PLACES,
        seed=seed, no_rate_limits=True, set=terms.fields() if terms else [],
    )  # fmt: skip
    town = Town(served, children, PLACES, terms)
    try:
        for name in ("", "other"):
            moves_admin.open_world(town, name)
        yield town
    finally:
        for child in list(children.alive):
            child.exit()
        served.close()


def drive(steps: int, seed: int) -> tuple[int, str]:
    """Make so many moves; returns how many were made, and the first difference, empty for none."""
    dice = random.Random(seed)
    done = 0
    while done < steps:
        terms = DOCUMENTED if dice.random() < 0.3 else None
        with a_town(seed, terms) as town:
            made, difference = _live(town, min(LIFE, steps - done), dice)
        done += made
        if difference:
            return done, difference
    return done, ""


def _live(town: Town, most: int, dice: random.Random) -> tuple[int, str]:
    for number, move in enumerate(dice.choices(list(MOVES), list(MOVES.values()), k=most)):
        try:
            town.do(move.__name__, move, dice.getrandbits(32))
        except AssertionError as error:
            return number, "\n".join([*town.story[-60:], str(error)])
    return most, ""
