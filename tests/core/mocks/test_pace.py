"""When the tokens of an answer come."""

from __future__ import annotations

import random
from itertools import islice, pairwise

from runpod_emulator.core.mocks.pace import Pace
from runpod_emulator.core.settings import Span

from tests.tables import table


def moments(pace: Pace, number: int = 4, others: int = 0, seed: int = 1) -> list[float]:
    return [round(at, 3) for at in islice(pace.moments(random.Random(seed), lambda: others), number)]


@table(
    ("pace", "others", "expected"),
    [
        (Pace(), 9, [0, 0, 0, 0]),
        (Pace(ttft=Span(200, 200)), 0, [200, 200, 200, 200]),
        (Pace(Span(200, 200), 50), 0, [200, 220, 240, 260]),
        (Pace(Span(200, 200), 50, load_factor=0.5), 2, [400, 440, 480, 520]),
        (Pace(tokens_per_second=3), 0, [0, 333.333, 666.667, 1000]),
    ],
)
def test_each_moment_is_counted_from_the_one_before(pace: Pace, others: int, expected: list[float]) -> None:
    assert moments(pace, others=others) == expected


def test_load_counts_when_a_token_comes() -> None:
    others = iter([0, 0, 1, 1, 0])
    found = list(islice(Pace(tokens_per_second=10, load_factor=1).moments(random.Random(1), lambda: next(others)), 5))
    assert found == [0, 100, 300, 500, 600]


def test_jitter_stretches_each_wait_within_its_bounds_and_by_the_dice() -> None:
    pace = Pace(Span(100, 100), 10, jitter=0.5)
    found = moments(pace, 50)
    gaps = [later - earlier for earlier, later in pairwise(found)]
    assert all(50 <= gap <= 150 for gap in gaps)
    assert max(gaps) - min(gaps) > 20
    assert found == moments(pace, 50) != moments(pace, 50, seed=2)


def test_a_range_is_thrown() -> None:
    firsts = {moments(Pace(ttft=Span(100, 300)), 1, seed=seed)[0] for seed in range(20)}
    assert len(firsts) > 10
    assert all(100 <= first <= 300 for first in firsts)
