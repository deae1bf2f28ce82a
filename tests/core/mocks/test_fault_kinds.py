"""The table of fault kinds: its rows make sense, and each kind acts where its row says."""

from __future__ import annotations

import ast
import re

import pytest
from runpod_emulator.core.mocks.fault_kinds import OF_ALL, FaultKind
from runpod_emulator.core.settings import AT_ONCE

from tests.test_architecture import MODULES, room

TABLE = "runpod_emulator.core.mocks.fault_kinds"


def rooms_by_kind() -> dict[str, set[str]]:
    """The rooms whose code names each kind, by the name of the member."""
    found: dict[str, set[str]] = {kind.name: set() for kind in FaultKind}
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())) if name != TABLE else ():
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "FaultKind":
                found[node.attr].add(room(name))
    return found


def test_each_kind_acts_in_the_room_of_its_place_and_nowhere_else():
    assert rooms_by_kind() == {kind.name: {kind.row.place.room} for kind in FaultKind}


@pytest.mark.parametrize("kind", FaultKind)
def test_a_row_makes_sense(kind: FaultKind):
    row = kind.row
    assert kind == kind.value == row.name == kind.name.lower()
    assert FaultKind(row.name) is kind
    assert row.needs in ("", *row.takes)
    assert row.usual_delay == AT_ONCE or ("delay" in row.takes and row.needs != "delay")
    assert len(set(row.takes)) == len(row.takes)
    assert not {"fault", *OF_ALL} & set(row.takes)


@pytest.mark.parametrize("kind", FaultKind)
def test_a_meaning_is_a_sentence_about_members_that_the_kind_takes(kind: FaultKind):
    meaning = kind.row.meaning
    assert meaning[0].isupper() or meaning[0] in "`4"
    assert not meaning.endswith(".")
    assert "|" not in meaning, "it stands in a table"
    named = set(re.findall(r"`(\w+)`", meaning))
    assert named <= set(kind.row.takes)
    assert {"delay", "chunks", "copies"} & set(kind.row.takes) <= named, "what these do differs from kind to kind"
