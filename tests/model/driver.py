"""Towns, and the moves that are made in them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.model import moves_clients, moves_time, moves_workers
from tests.model.served import Served
from tests.model.town import START, Town
from tests.model.world import World

Move = Callable[[Town], None]
MOVES: dict[Move, float] = {**moves_clients.MOVES, **moves_workers.MOVES, **moves_time.MOVES}
LIFE = 400
"""Moves after which a town makes way for a fresh one."""


@contextmanager
def a_town(seed: int = 0) -> Iterator[Town]:
    """A fresh server with a model beside it."""
    served = Served(endpoint=["far"], seed=seed, no_rate_limits=True)
    town = Town(served)
    try:
        for name in ("", "other"):
            world = town.worlds[name] = World(name, START, town.terms)
            town.admin(world, "GET", "/clock")
            world.add("far", "remote")
        yield town
    finally:
        served.close()


def drive(steps: int, seed: int) -> tuple[int, str]:
    """Make so many moves; answers how many were made, and the first difference, empty for none."""
    dice = random.Random(seed)
    names, weights = list(MOVES), list(MOVES.values())
    done = 0
    while done < steps:
        with a_town(seed) as town:
            for _ in range(min(LIFE, steps - done)):
                move = dice.choices(names, weights)[0]
                try:
                    town.do(move.__name__, move, dice.getrandbits(32))
                except AssertionError as error:
                    return done, "\n".join([*town.story[-400:], str(error)])
                done += 1
    return done, ""
