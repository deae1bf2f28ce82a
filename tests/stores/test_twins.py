"""A store on a server beside the memory store: whatever is asked in whatever order, both say the same."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.stores.twins.driver import Town, drive
from tests.stores.twins.moves import MOVES, OFTEN, Move

_SOAK = float(os.environ.get("STORES_SOAK_SECONDS", "300"))


class Machine(RuleBasedStateMachine):
    """A rule for each move; what differs is cut down to the fewest moves."""

    def __init__(self) -> None:
        super().__init__()
        self.town: Town | None = None

    @initialize(servers=st.integers(1, 2))
    def begin(self, servers: int) -> None:
        self.town = Town(servers)

    @invariant()
    def news_agrees(self) -> None:
        if self.town is not None:
            self.town.loop.run_until_complete(self.town.twins.compare_news())

    def teardown(self) -> None:
        if self.town is not None:
            try:
                self.town.compare()
            finally:
                self.town.close()


def _rule(move: Move) -> Callable[[Machine, int], None]:
    def step(self: Machine, seed: int) -> None:
        assert self.town is not None
        self.town.do(move, seed)

    step.__name__ = move.__name__
    return rule(seed=st.integers(0, 10_000))(step)


for _move in MOVES:
    for _number in range(1 + OFTEN.get(_move, 1) // 5):
        setattr(Machine, f"{_move.__name__}{_number or ''}", _rule(_move))

TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=6, stateful_step_count=30, deadline=None, derandomize=True, database=None, print_blob=False
)


@pytest.mark.parametrize(("servers", "seed"), [(1, 1), (2, 2)])
def test_a_long_life(servers: int, seed: int) -> None:
    steps, difference = drive(150, seed, servers)
    assert not difference, f"after {steps} moves:\n{difference}"


@pytest.mark.soak
@pytest.mark.parametrize("servers", [1, 2, 3])
def test_five_minutes(servers: int) -> None:
    end, total = time.monotonic() + _SOAK, 0
    while time.monotonic() < end:
        seed = random.SystemRandom().getrandbits(32)
        steps, difference = drive(1_000, seed, servers)
        total += steps
        print(f"seed {seed}: {steps} moves, {total} in all")
        again = f"python -m tests.stores.twins.driver --steps 1000 --seed {seed} --servers {servers}"
        assert not difference, f"{again}: after {steps} moves\n{difference}"
