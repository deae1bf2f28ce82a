"""The model beside the server: whatever is done in whatever order, both say the same."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.model.driver import MOVES, Move, a_town, drive
from tests.model.jobs import DOCUMENTED, Terms

_SOAK = float(os.environ.get("MODEL_SOAK_SECONDS", "600"))


class Machine(RuleBasedStateMachine):
    """One rule for each move; what differs is cut down to the fewest moves."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()

    @initialize(terms=st.sampled_from([None, DOCUMENTED]))
    def begin(self, terms: Terms | None) -> None:
        self.town = self.stack.enter_context(a_town(terms=terms))

    @invariant()
    def all_agrees(self) -> None:
        self.town.check_all()

    def teardown(self) -> None:
        self.stack.close()


def _rule(move: Move) -> Callable[[Machine, int], None]:
    def step(self: Machine, seed: int) -> None:
        self.town.do(move.__name__, move, seed)

    step.__name__ = move.__name__
    return rule(seed=st.integers(0, 1_000))(step)


for _move in MOVES:
    setattr(Machine, _move.__name__, _rule(_move))

TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=8, stateful_step_count=40, deadline=None, derandomize=True, database=None, print_blob=False
)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.compat)])
def test_a_long_life(seed: int) -> None:
    steps, difference = drive(1_500, seed)
    assert not difference, f"after {steps} moves:\n{difference}"


@pytest.mark.soak
def test_ten_minutes() -> None:
    end, total = time.monotonic() + _SOAK, 0
    while time.monotonic() < end:
        seed = random.SystemRandom().getrandbits(32)
        steps, difference = drive(2_000, seed)
        total += steps
        print(f"seed {seed}: {steps} moves, {total} in all")
        assert not difference, f"python -m tests.model --steps 2000 --seed {seed}: after {steps} moves\n{difference}"
