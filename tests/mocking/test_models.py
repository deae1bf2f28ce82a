"""Which jobs a stub takes, and how often."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from runpod_emulator.core.settings import Span
from runpod_emulator.mocking.models import HeaderPattern, Match, Response, Stub, Update

from tests.mocking.mocks import MockWorld, mock_world, result
from tests.tables import table


def output(value: Any) -> dict[str, Any]:
    return {"output": value}


@pytest.mark.parametrize(
    "match",
    [
        {},
        {"input": {"prompt": "hello"}},
        {"input": {"options": {"n": 1}}},
        {"input_regex": {"prompt": "^hel+o", "options.name": "x"}},
        {"headers": {"X-Tenant": "acme"}},
        {"headers": {"x-tenant": {"regex": "^ac"}}},
        {"call": 1},
        {"call": [1, 3]},
        {"input": {"prompt": "hello"}, "headers": {"x-tenant": "acme"}, "call": 1},
    ],
)
async def test_a_stub_takes_a_job_that_is_as_it_says(world: MockWorld, match: dict[str, Any]):
    world.stub(match=match, respond=output("taken"))
    given = {"prompt": "hello", "options": {"n": 1, "name": "axb"}}
    assert await world.ended(given, {"x-tenant": "acme"}) == ("COMPLETED", "taken", None)


@pytest.mark.parametrize(
    ("stub", "difference"),
    [
        ({"endpoint": "llm*"}, "endpoint: expected llm*, got ep"),
        ({"match": {"input": {"prompt": "bye"}}}, 'input.prompt: expected "bye", got "hello"'),
        ({"match": {"input": {"options": {"n": 1}}}}, "input.options: missing"),
        ({"match": {"input_regex": {"prompt": "^x"}}}, 'input.prompt: expected a match of ^x, got "hello"'),
        ({"match": {"headers": {"x-tenant": "acme"}}}, 'header x-tenant: expected "acme", got nothing'),
        ({"match": {"call": 2}}, "this was call 1 of it, and it is for 2"),
        (
            {"match": {"input": {"a": 1}, "headers": {"b": "c"}}},
            'input.a: missing; header b: expected "c", got nothing',
        ),
    ],
)
async def test_a_job_that_no_stub_takes_fails_and_names_what_differs(
    world: MockWorld, stub: dict[str, Any], difference: str
):
    world.stub(id="llm", **stub, respond=output(1))
    status, value, error = await world.ended()
    assert (status, value) == ("FAILED", None)
    assert error == f"no stub matches this job; the nearest is llm: {difference}"


async def test_a_job_without_any_stub_fails_and_says_so(world: MockWorld):
    assert await world.ended() == ("FAILED", None, "no stub matches this job; there is no stub at all")


async def test_the_nearest_stub_is_named_with_its_place(world: MockWorld):
    far = {"input": {"a": 1}, "headers": {"b": "c"}}
    world.emulator.stubs.add(Stub.model_validate({"id": "far", "match": far, "respond": {}}).to_core("a.yaml:1"))
    near = {"input": {"a": 1}}
    world.emulator.stubs.add(Stub.model_validate({"id": "near", "match": near, "respond": {}}).to_core("a.yaml:9"))
    assert (await world.ended())[2] == "no stub matches this job; the nearest is near (a.yaml:9): input.a: missing"


@pytest.mark.parametrize(("pattern", "taken"), [("ep", True), ("e*", True), ("?p", True), ("*", True), ("p", False)])
async def test_the_endpoint_is_a_pattern_as_in_a_shell(world: MockWorld, pattern: str, taken: bool):
    world.stub(endpoint=pattern, respond=output(1))
    assert ((await world.ended())[0] == "COMPLETED") is taken


async def test_higher_priority_comes_first_and_of_equal_ones_the_youngest(world: MockWorld):
    world.stub(respond=output("old"))
    world.stub(priority=5, match={"input": {"a": 1}}, respond=output("high"))
    world.stub(respond=output("young"))
    world.stub(priority=-1, respond=output("low"))
    assert (await world.ended({"a": 1}))[1] == "high"
    assert (await world.ended({"a": 2}))[1] == "young"


async def test_a_stub_takes_as_many_jobs_as_it_may(world: MockWorld):
    world.stub(id="all", respond=output("all"))
    world.stub(id="two", times=2, respond=output("{{ call }}"))
    assert [(await world.ended())[1] for _ in range(4)] == [1, 2, "all", "all"]


async def test_the_nearest_stub_is_one_of_the_same_endpoint_if_there_is_one(world: MockWorld):
    world.stub(id="near", endpoint="ep", match={"input": {"prompt": "bye", "n": 1}}, respond={})
    world.stub(id="other", endpoint="other", respond={})
    assert "the nearest is near: " in ((await world.ended())[2] or "")


async def test_a_stub_that_is_used_up_is_named_as_the_nearest(world: MockWorld):
    world.stub(id="one", times=1, respond=output(1))
    await world.ended()
    error = (await world.ended())[2]
    assert error == "no stub matches this job; the nearest is one: it has matched 1 times, which is all it may"


@pytest.mark.parametrize(
    ("call", "outputs"), [(2, ["all", "nth", "all", "all"]), ([1, 3], ["nth", "all", "nth", "all"])]
)
async def test_a_stub_for_a_call_takes_that_among_those_that_fit(world: MockWorld, call: Any, outputs: list[str]):
    world.stub(respond=output("all"))
    world.stub(match={"input": {"a": 1}, "call": call}, respond=output("nth"))
    found = []
    for _ in range(4):
        await world.ended({"a": 2})
        found.append((await world.ended({"a": 1}))[1])
    assert found == outputs


async def test_a_sequence_plays_one_response_a_run_and_the_last_again_and_again(world: MockWorld):
    world.stub(respond=[{"error": "first"}, output("{{ run }}"), output("last")])
    assert [await world.ended() for _ in range(4)] == [
        ("FAILED", None, "first"),
        ("COMPLETED", 2, None),
        ("COMPLETED", "last", None),
        ("COMPLETED", "last", None),
    ]


async def test_a_retry_is_the_next_run(world: MockWorld):
    world.stub(respond=[{"error": "not yet", "delay": "1s"}, {"output": "at last", "queue_delay": "2s"}])
    job_id = await world.submit()
    await world.pass_by(1_000)
    assert result(await world.endpoint.status(job_id)) == ("FAILED", None, "not yet")
    await world.endpoint.retry(job_id)
    await world.pass_by(1_999)
    assert await world.status(job_id) == "IN_QUEUE"
    await world.pass_by(1)
    assert result(await world.endpoint.status(job_id)) == ("COMPLETED", "at last", None)


DICE = {"id": "{{ uuid() }}", "n": "{{ randint(1, 10**9) }}", "x": "{{ random() }}", "c": "{{ choice(range(999)) }}"}


async def drawn(seed: int) -> list[tuple[Any, int | None]]:
    """Outputs of three jobs, with when each ended."""
    async with mock_world(seed) as world:
        world.stub(respond={"delay": "1s-9s", "output": {**DICE, "job": "{{ job }}"}})
        ids = [await world.submit() for _ in range(3)]
        await world.pass_by(60_000)
        jobs = [await world.endpoint.status(job_id) for job_id in ids]
        assert {job.status.value for job in jobs} == {"COMPLETED"}
        return [(job.output, job.ended_at) for job in jobs]


async def test_the_same_seed_gives_the_same_bytes_at_the_same_time():
    first, again, other = await drawn(7), await drawn(7), await drawn(8)
    assert first == again
    assert first != other
    assert len({text for text, _ in first}) == 3


def test_a_stub_without_an_id_gets_the_first_that_is_free():
    stub = Stub(respond=Response())
    assert stub.to_core().id == "stub-1"
    assert stub.to_core(taken={"stub-1", "stub-3"}).id == "stub-2"
    assert Stub(id="own", respond=Response()).to_core(taken={"own"}).id == "own"


def test_a_core_stub_knows_where_and_how_it_was_written():
    written = {"id": "a", "endpoint": "e*", "priority": 3, "times": 2, "match": {"call": 2}, "respond": {"output": 1}}
    core = Stub.model_validate(written).to_core("stubs/a.yaml:3")
    assert (core.id, core.endpoint, core.priority, core.times, core.calls) == ("a", "e*", 3, 2, {2})
    assert (core.place, core.source) == ("stubs/a.yaml:3", written)
    assert Stub.model_validate(written).to_core(source={"as": "is"}).source == {"as": "is"}


def test_what_was_written_in_python_can_be_read_back():
    stub = Stub(
        id="a",
        match=Match(input={"a": 1}, headers={"x": "y", "z": HeaderPattern(regex="a")}, call=[1, 2]),
        respond=[Response(delay="1s-2s", progress=[1, Update(value=2, after="1s")]), Response(queue_delay=Span(1, 2))],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = stub.model_dump(exclude_unset=True)
        assert Stub.model_validate(written).model_dump(exclude_unset=True) == written
        assert Stub.model_validate_json(stub.model_dump_json()) == Stub.model_validate(stub.model_dump())


def test_every_member_is_described_for_the_page_of_the_admin_api():
    schema = TypeAdapter(Stub).json_schema()
    shapes = [schema, *schema["$defs"].values()]
    assert all("description" in member for shape in shapes for member in shape["properties"].values())
    assert all(shape["additionalProperties"] is False for shape in shapes)


@table(
    ("stub", "reason"),
    [
        ({}, "Field required"),
        ({"respond": "hello"}, 'write a response as a mapping, such as {output: "hello"}; this is a text'),
        ({"respond": 5}, "this is a number"),
        ({"respond": True}, "this is true"),
        ({"respond": None}, "this is nothing"),
        ({"respond": [{"output": 1}, ["x"]]}, "this is a list"),
        ({"respond": []}, "at least 1 item"),
        ({"respond": {}, "match": "hello"}, "write a match as a mapping"),
        ({"respond": {}, "matches": {}}, "no such key; the nearest is match"),
        ({"respond": {}, "match": {"inputt": {}}}, "no such key; the nearest is input"),
        ({"respond": {}, "match": {"call": 0}}, "greater than or equal to 1"),
        ({"respond": {}, "match": {"call": []}}, "at least 1 item"),
        ({"respond": {}, "match": {"call": "2"}}, "valid integer"),
        ({"respond": {}, "match": {"call": True}}, "valid integer"),
        ({"respond": {}, "match": {"input_regex": {"a": "("}}}, "no regular expression: missing )"),
        ({"respond": {}, "match": {"input_regex": {"a": 5}}}, "valid string"),
        ({"respond": {}, "match": {"headers": {"a": {"regex": "["}}}}, "no regular expression"),
        ({"respond": {}, "match": {"headers": {"a": {"regx": "a"}}}}, "the nearest is regex"),
        ({"respond": {}, "match": {"headers": {"a": 5}}}, "valid string"),
        ({"respond": {}, "match": {"input": {"a": {1}}}}, "a: JSON has no set"),
        ({"respond": {}, "times": 0}, "greater than or equal to 1"),
        ({"respond": {}, "times": "3"}, "valid integer"),
        ({"respond": {}, "priority": 1.5}, "valid integer"),
        ({"respond": {}, "id": ""}, "at least 1 character"),
        ({"respond": {}, "id": 5}, "valid string"),
    ],
)
def test_a_stub_that_makes_no_sense_is_refused(stub: dict[str, Any], reason: str):
    with pytest.raises(ValidationError) as refused:
        Stub.model_validate(stub)
    assert reason in str(refused.value)


def test_a_stub_does_not_change_once_it_is_made():
    with pytest.raises(ValidationError, match="frozen"):
        Stub(respond=Response()).priority = 5  # type: ignore[misc]


def test_no_stub_is_for_an_endpoint_called_flash() -> None:
    with pytest.raises(ValidationError, match="no endpoint may be called flash"):
        Stub.model_validate({"endpoint": "flash", "respond": {"output": 1}})
    assert Stub.model_validate({"endpoint": "flash*", "respond": {"output": 1}}).endpoint == "flash*"
