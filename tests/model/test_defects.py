"""The model finds what is wrong: each fault of `defects.py`, within a few thousand moves."""

from __future__ import annotations

import pytest

from tests.model.defects import DEFECTS
from tests.model.driver import drive
from tests.model.known import KNOWN

_MOVES = 2_000
_SEED = 1


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if defect == "a world that keeps its places" and KNOWN.dropped_world_keeps_places:
        pytest.skip("the code has this very fault, and the model is kept off it")
    DEFECTS[defect](monkeypatch)
    steps, difference = drive(_MOVES, _SEED)
    print(f"{defect}: found after {steps} moves\n{difference}")
    assert difference and " 500 " not in difference.splitlines()[-1]
