"""The model finds what is wrong: each fault of `defects.py`, within a few thousand moves."""

from __future__ import annotations

import pytest

from tests.model.defects import DEFECTS
from tests.model.driver import drive

_MOVES = 2_000
_SEED = 1


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    DEFECTS[defect](monkeypatch)
    steps, difference = drive(_MOVES, _SEED)
    print(f"{defect}: found after {steps} moves\n{difference}")
    assert difference and " 500 " not in difference.splitlines()[-1]
