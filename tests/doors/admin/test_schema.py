"""The description of the admin API: what may be written as a time, and what each fault takes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.doors.admin.app import admin_app
from runpod_emulator.values import Milliseconds

from tests.tables import table

STATE = SimpleNamespace(worlds=None, serve=None, worker_key=None, admin_access=None)


@pytest.fixture(scope="module")
def schemas() -> dict[str, Any]:
    found: dict[str, Any] = admin_app(STATE).openapi()["components"]["schemas"]
    return found


@table("model, member, least, may_be_null", [
    ("Advance", "by", 0, True), ("Answers", "delay", 0, False), ("Awaited", "timeout", 0, True),
    ("Changes", "idle_timeout", 1, True), ("Changes", "job_ttl", 0, True), ("UntilIdle", "most", 0, False),
    ("NewEndpoint", "execution_timeout", 0, True),
])  # fmt: skip
def test_a_duration_is_a_text_or_a_number(
    schemas: dict[str, Any], model: str, member: str, least: int, may_be_null: bool
):
    described = schemas[model]["properties"][member]
    text, number, *rest = described["anyOf"]
    assert text["type"] == "string"
    assert number == {"type": "integer", "minimum": least}
    assert rest == ([{"type": "null"}] if may_be_null else [])
    assert not {"ge", "gt", "type"} & set(described)


def test_the_pattern_of_durations_fits_what_is_accepted(schemas: dict[str, Any]):
    jsonschema = pytest.importorskip("jsonschema_rs", reason="comes with schemathesis")
    valid = jsonschema.validator_for(schemas["Advance"]["properties"]["by"]).is_valid
    takes = TypeAdapter(Milliseconds)

    def accepted(value: Any) -> bool:
        try:
            takes.validate_python(value)
        except ValidationError:
            return False
        return True

    for value in ("2s", " 10m ", "1.5h", "7", "3 d", 1500, 0, "", "s", "2 weeks", "-1s", "1.", True, 1.5, [], {}):
        assert valid(value) == accepted(value), value


def test_each_kind_of_fault_has_its_meaning_and_its_members(schemas: dict[str, Any]):
    kinds = {one["title"]: one for one in schemas["Fault"]["oneOf"]}
    assert list(kinds) == [kind.value for kind in FaultKind]
    for kind in FaultKind:
        one = kinds[kind.value]
        assert one["description"].startswith(kind.row.meaning)
        assert set(kind.row.takes) < set(one["properties"])
        assert all(member["description"] for member in one["properties"].values())
    text, number = kinds["latency"]["properties"]["delay"]["anyOf"]
    assert (text["type"], number["type"]) == ("string", "integer")
