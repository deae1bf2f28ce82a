"""Drives the stores at random; `python -m tests.stores.twins.driver --steps 2000 --seed 1` shows a difference again."""

from __future__ import annotations

import argparse
import asyncio
import random
import traceback
from collections.abc import Sequence

from tests.stores.twins.keys import check_keys
from tests.stores.twins.moves import MOVES, OFTEN, Move
from tests.stores.twins.world import Twins

_LOOK_EACH = 40
"""Moves after which all that can be read is compared."""
_WEIGHTS = [OFTEN.get(move, 1) for move in MOVES]


class Town:
    """Stores, and the loop in which they are asked."""

    def __init__(self, servers: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.twins = Twins(servers)
        self.loop.run_until_complete(self.twins.open())
        self.made: list[tuple[str, int]] = []
        """The moves so far."""

    def do(self, move: Move, seed: int) -> None:
        self.made.append((move.__name__, seed))
        self.loop.run_until_complete(move(self.twins, random.Random(seed)))

    def compare(self) -> None:
        """All that can be read, and all that stands on the server."""
        self.loop.run_until_complete(self.twins.compare_all(random.Random(1)))
        self.loop.run_until_complete(check_keys(self.twins))

    def close(self) -> None:
        self.loop.run_until_complete(self.twins.close())
        self.loop.close()


def drive(steps: int, seed: int, servers: int = 1) -> tuple[int, str]:
    """Make so many moves; returns how many went well, and what differed then, "" for nothing."""
    dice, town = random.Random(seed), Town(servers)
    try:
        for number in range(steps):
            (move,) = dice.choices(MOVES, _WEIGHTS)
            try:
                town.do(move, dice.getrandbits(30))
                if number % _LOOK_EACH == 0 or number == steps - 1:
                    town.compare()
            except Exception:
                return number, f"{town.made[-5:]}\n{traceback.format_exc()}"
        return steps, ""
    finally:
        town.close()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--servers", type=int, default=1)
    given = parser.parse_args(arguments)
    steps, difference = drive(given.steps, given.seed, given.servers)
    print(difference or f"{steps} moves, no difference")
    return bool(difference)


if __name__ == "__main__":
    raise SystemExit(main())
