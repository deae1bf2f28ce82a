"""Handlers that hypothesis made: `make parity CASES=1000` for the nightly form, `PARITY_SEED` for other ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.parity.cases import SDKS
from tests.parity.grammar import handlers
from tests.parity.stage import play_until_sure

pytestmark = pytest.mark.parity

COUNT = int(os.environ.get("PARITY_CASES", "100"))
SEED = int(os.environ.get("PARITY_SEED", "0"))
AT_ONCE = 200
"""Cases on one server: the official worker pauses for 1 s after each, and six handlers run side by side."""
PARTS = [(part, min(AT_ONCE, COUNT - part)) for part in range(0, COUNT, AT_ONCE)]


@pytest.mark.parametrize(("first", "count"), PARTS)
@pytest.mark.parametrize("sdk", SDKS)
def test_a_client_sees_the_same_of_made_handlers(tmp_path: Path, sdk: str, first: int, count: int) -> None:
    made = handlers(count, SEED + first)
    played = play_until_sure(made, sdk, tmp_path)
    bodies = {(handler.name, name): case.body for handler in made for name, case in handler.all.items()}
    differing = {
        key: (bodies[key], ours.differences(theirs))
        for key, (ours, theirs) in played.cases.items()
        if ours.differences(theirs)
    }
    assert not differing
