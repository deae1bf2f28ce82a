"""Faults as users write them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from runpod_emulator.core.mocks.fault_kinds import OF_ALL, FaultKind
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import Span
from runpod_emulator.mocking.faults import Fault

from tests.tables import table

NOW = 1_000_000


def refusal(written: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        Fault.model_validate(written)
    return str(caught.value)


def test_everything_that_can_be_written_arrives():
    core = Fault.model_validate(
        {
            "fault": "status",
            "id": "busy",
            "status": 429,
            "headers": {"Retry-After": 2},
            "endpoint": "llm*",
            "operations": ["run", "status-sync"],
            "calls": [1, 3],
            "probability": 0.5,
            "seed": 7,
            "times": 3,
            "ttl": "30s",
            "delay": "1s-3s",
            "processed": True,
            "larger_than": 1_000,
        }
    ).to_core(NOW)
    assert (core.kind, core.id, core.endpoint, core.status) == (FaultKind.STATUS, "busy", "llm*", 429)
    assert core.operations == {Operation.RUN, Operation.STATUS_SYNC}
    assert (core.calls, core.probability, core.seed, core.times) == ({1, 3}, 0.5, 7, 3)
    assert (core.expires_at, core.delay) == (NOW + 30_000, Span(1_000, 3_000))
    assert (dict(core.headers), core.body) == ({"Retry-After": "2"}, None)
    assert (core.processed, core.larger_than) == (True, 1_000)


@table("kind", FaultKind)
def test_every_kind_can_be_written(kind: FaultKind):
    written: dict[str, Any] = {"fault": kind.value}
    if "delay" in kind.row.takes:
        written["delay"] = "1s"
    if kind is FaultKind.STATUS:
        written["status"] = 500
    core = Fault.model_validate(written).to_core(NOW)
    assert (core.kind, core.expires_at, core.times) == (kind, None, None)
    assert core.delay == (Span(1_000, 1_000) if "delay" in written else Span())


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("not_found_after_run", 1_000, 1_000),
        ("webhook_out_of_order", 5_000, 5_000),
        ("late_timeout", 2_800, 11_800),
        ("latency", None, None),
    ],
)
def test_a_delay_that_was_recorded_is_the_default(kind: str, low: int | None, high: int | None):
    if low is None:
        assert "needs delay" in refusal({"fault": kind})
    else:
        assert Fault.model_validate({"fault": kind}).to_core(NOW).delay == Span(low, high)


def test_single_values_need_no_list():
    core = Fault.model_validate({"fault": "connection_reset", "operations": "run", "calls": 2}).to_core(NOW)
    assert (core.operations, core.calls) == ({Operation.RUN}, {2})


@pytest.mark.parametrize(
    ("written", "body", "content_type"),
    [
        ({"body": "<h1>no</h1>"}, b"<h1>no</h1>", "text/plain; charset=utf-8"),
        ({"body": {"error": "no"}}, b'{"error": "no"}', "application/json"),
        ({"body": None}, b"null", "application/json"),
        ({"body": "x", "headers": {"content-type": "text/html"}}, b"x", None),
        ({}, None, None),
    ],
)
def test_a_body_is_a_text_or_json(written: dict[str, Any], body: bytes | None, content_type: str | None):
    core = Fault.model_validate({"fault": "status", "status": 502, **written}).to_core(NOW)
    assert (core.body, core.headers.get("Content-Type")) == (body, content_type)


@table(
    ("written", "words"),
    [
        ({"fault": "lost_job", "delay": "1s"}, "delay is not for lost_job: it takes no parameters of its own"),
        ({"fault": "latency", "delay": 1, "status": 500}, "status is not for latency: it takes delay, larger_than, op"),
        ({"fault": "worker_crash", "copies": 2}, "copies is not for worker_crash: it takes chunks, delay"),
        ({"fault": "webhook_lost", "operations": ["run"]}, "operations is not for webhook_lost"),
        ({"fault": "status"}, "status needs status"),
        ({"fault": "latency"}, "latency needs delay"),
        ({"fault": "worker_crash", "chunks": 2, "delay": "1s"}, "after a delay or after some chunks, not both"),
        ({"fault": "no_such"}, "there is no fault no_such; the nearest is"),
        ({"fault": "lost_job", "tymes": 3}, "tymes: no such key; the nearest is times"),
        ({"fault": "status", "status": 200}, "greater than or equal to 400"),
        ({"fault": "latency", "delay": "3s-1s"}, "ends before it begins"),
        ({"fault": "lost_job", "ttl": "soon"}, "write milliseconds"),
        ({"fault": "lost_job", "ttl": 0}, "greater than 0"),
        ({"fault": "lost_job", "times": 0}, "greater than or equal to 1"),
        ({"fault": "lost_job", "probability": 1.5}, "less than or equal to 1"),
        ({"fault": "lost_job", "id": "a b"}, "should match pattern"),
        ({"fault": "status", "status": 500, "headers": {"a b": "c"}}, "no name of a header"),
        ({"fault": "status", "status": 500, "headers": {"a": "b\r\nc"}}, "printable ASCII"),
        ({"fault": "status", "status": 500, "operations": ["jump"]}, "there is no operation jump; the nearest is run"),
    ],
)
def test_what_makes_no_sense_is_refused_in_clear_words(written: dict[str, Any], words: str):
    assert words in refusal(written)


def test_a_fault_can_be_shown_as_it_was_written():
    written = {"fault": "latency", "delay": "1s-3s", "ttl": 30_000, "times": 2}
    assert Fault.model_validate(written).model_dump(mode="json", exclude_unset=True) == written
    assert Fault.model_validate({"fault": "lost_job"}).model_dump(exclude_unset=True) == {"fault": FaultKind.LOST_JOB}


def test_there_is_a_schema_in_which_everything_is_described():
    for one in Fault.model_json_schema()["oneOf"]:
        assert one["description"] and all(entry["description"] for entry in one["properties"].values())
        assert set(one["properties"]) == {"fault", *OF_ALL, *FaultKind(one["properties"]["fault"]["const"]).row.takes}


OWN = {
    "operations": ["run"], "delay": "1s", "larger_than": 1, "status": 500, "headers": {}, "body": "", "processed": True,
    "chunks": 1, "copies": 1,
}  # fmt: skip


def accepted(written: dict[str, Any]) -> bool:
    try:
        Fault.model_validate(written)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("kind", FaultKind)
def test_the_schema_says_of_each_kind_what_is_accepted(kind: FaultKind):
    jsonschema = pytest.importorskip("jsonschema_rs", reason="comes with schemathesis")
    schema = jsonschema.validator_for(Fault.model_json_schema())
    bare = {"fault": kind.value}
    needed = {name: OWN[name] for name in [kind.row.needs] if name}
    cases = [bare, bare | dict.fromkeys(needed), bare | needed, bare | needed | {"times": 1, "id": "a", "ttl": 1}]
    cases += [bare | needed | {name: value} for name, value in OWN.items()]
    assert [schema.is_valid(case) for case in cases] == [accepted(case) for case in cases]
    assert accepted(bare | needed)
    assert set(OWN) == {name for one in FaultKind for name in one.row.takes}


def test_the_schema_describes_each_kind():
    described = {one["title"]: one for one in Fault.model_json_schema()["oneOf"]}
    assert list(described) == [kind.value for kind in FaultKind]
    assert described["latency"]["description"] == "The answer comes later by `delay`. One call is a client's request."
    assert described["late_timeout"]["properties"]["delay"]["default"] == "2800ms-11800ms"
    forms = described["latency"]["properties"]["delay"]["anyOf"]
    assert {"type": "null"} not in forms and described["latency"]["required"] == ["fault", "delay"]


@pytest.mark.parametrize(
    ("kind", "delay"), [("not_found_after_run", 1_000), ("webhook_out_of_order", 5_000), ("worker_crash", 0)]
)
def test_some_delays_have_a_default(kind: str, delay: int):
    assert Fault.model_validate({"fault": kind}).to_core(NOW).delay == Span(delay, delay)
