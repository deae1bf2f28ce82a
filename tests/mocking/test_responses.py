"""What jobs get from a response, on a virtual clock."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.mocks.script import Ending, Pause
from runpod_emulator.core.settings import Span
from runpod_emulator.mocking.models import Chunk, Response, Step, Update

from tests.mocking.mocks import MockWorld, mock_world, result, scene
from tests.tables import table


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ({"output": {"text": "hi"}}, ("COMPLETED", {"text": "hi"}, None)),
        ({"output": False}, ("COMPLETED", False, None)),
        ({"output": "{{ input.prompt }}!"}, ("COMPLETED", "hello!", None)),
        ({"output": "{{ input }}"}, ("COMPLETED", {"prompt": "hello"}, None)),
        ({}, ("COMPLETED", None, None)),
        ({"output": None}, ("COMPLETED", None, None)),
        ({"error": "boom"}, ("FAILED", None, "boom")),
        ({"error": "no {{ input.prompt }}"}, ("FAILED", None, "no hello")),
        ({"error": "boom", "output": {"so": "far"}}, ("FAILED", {"so": "far"}, "boom")),
        ({"error": "{% if false %}boom{% endif %}", "output": 1}, ("COMPLETED", 1, None)),
    ],
)
async def test_a_job_ends_as_the_response_says(world: MockWorld, response: dict[str, Any], expected: Any):
    world.stub(respond=response)
    assert await world.ended() == expected


async def test_a_template_that_fails_fails_the_job_and_says_why(world: MockWorld):
    world.stub(id="llm", respond={"output": {"n": "{{ input.nope }}"}})
    status, output, error = await world.ended()
    assert (status, output) == ("FAILED", None)
    assert error == ("stub llm.output.n: the template {{ input.nope }} failed: 'dict object' has no attribute 'nope'")


async def test_a_timeout_ends_the_job_as_an_execution_timeout_does(world: MockWorld):
    world.stub(respond={"timeout": True, "delay": "1s"})
    job_id = await world.submit()
    await world.pass_by(999)
    assert await world.status(job_id) == "IN_PROGRESS"
    await world.pass_by(1)
    assert result(await world.endpoint.status(job_id)) == ("FAILED", None, "executionTimeout exceeded")


@pytest.mark.parametrize(
    ("response", "limit", "runs_for"),
    [
        ({}, 5_000, 5_000),  # as long as the job may
        ({}, None, 600_000),  # as its endpoint's jobs may
        ({}, 0, 0),  # it has no limit that it could exceed
        ({"stream": [{"chunk": "a", "after": "1s"}]}, 5_000, 5_000),
        ({"delay": "1s"}, 5_000, 1_000),
        ({"delay": 0}, 5_000, 0),
        ({"delay": "8s"}, 5_000, 5_000),
    ],
)
async def test_a_timeout_comes_when_the_jobs_time_is_up_or_sooner(
    world: MockWorld, response: dict[str, Any], limit: int | None, runs_for: int
):
    world.stub(respond={"timeout": True, **response})
    job_id = (await world.endpoint.submit(Submission(b"{}", execution_timeout=limit))).id
    if runs_for:
        await world.pass_by(runs_for - 1)
        assert await world.status(job_id) == "IN_PROGRESS"
    await world.pass_by(bool(runs_for))
    assert result(await world.endpoint.status(job_id)) == ("FAILED", None, "executionTimeout exceeded")


async def test_a_job_that_never_ends_runs_until_it_is_stopped_from_outside(world: MockWorld):
    world.stub(respond={"never": True})
    job_id = await world.submit()
    await world.pass_by(500_000)
    assert await world.status(job_id) == "IN_PROGRESS"
    await world.endpoint.cancel(job_id)
    assert await world.status(job_id) == "CANCELLED"


async def test_a_crash_takes_the_worker_and_the_next_run_plays_on(world: MockWorld):
    world.stub(respond=[{"crash": True}, {"output": "{{ run }}"}])
    job_id = await world.submit()
    worker = next(iter(world.endpoint.fleet.workers))
    await world.pass_by(60_000)
    assert result(await world.endpoint.status(job_id)) == ("COMPLETED", 2, None)
    assert worker not in world.endpoint.fleet.workers


async def test_a_queue_delay_and_a_delay_pass_one_after_the_other(world: MockWorld):
    world.stub(respond={"queue_delay": "2s", "delay": 500, "output": 1})
    job_id = await world.submit()
    seen = []
    for step in (1_999, 1, 499, 1):
        await world.pass_by(step)
        seen.append(await world.status(job_id))
    assert seen == ["IN_QUEUE", "IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]


async def test_a_span_gives_a_delay_within_it(world: MockWorld):
    world.stub(respond={"delay": "1s-3s"})
    job_id = await world.submit()
    await world.pass_by(999)
    assert await world.status(job_id) == "IN_PROGRESS"
    await world.pass_by(2_001)
    assert await world.status(job_id) == "COMPLETED"


async def test_polls_bring_a_job_on_without_any_time(world: MockWorld):
    world.stub(respond={"polls_before_in_progress": 2, "polls_before_completed": 3, "output": 1})
    job_id = await world.submit()
    await world.pass_by(60_000)
    seen = [(await world.polled(job_id)).status.value for _ in range(5)]
    assert seen == ["IN_QUEUE", "IN_PROGRESS", "IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]


@pytest.mark.parametrize("field", ["queue_delay", "delay"])
async def test_of_polls_and_time_the_later_counts(field: str):
    polls = {"queue_delay": "polls_before_in_progress", "delay": "polls_before_completed"}[field]
    before = {"queue_delay": "IN_QUEUE", "delay": "IN_PROGRESS"}[field]
    for polls_first in (True, False):
        async with mock_world() as world:
            world.stub(respond={field: "1s", polls: 2, "output": 1})
            job_id = await world.submit()
            await world.pass_by(0)
            await (world.polled(job_id, 2) if polls_first else world.pass_by(1_000))
            assert await world.status(job_id) == before
            await (world.pass_by(1_000) if polls_first else world.polled(job_id, 2))
            assert await world.status(job_id) == "COMPLETED"


async def test_progress_comes_one_after_the_other(world: MockWorld):
    world.stub(respond={
        "progress": [10, {"value": "{{ 40 + 10 }}", "after": "1s"}, {"value": {"done": 90}, "polls": 1}],
        "delay": "1s",
    })  # fmt: skip
    job_id = await world.submit()
    await world.pass_by()
    seen = [result(await world.endpoint.status(job_id))[1]]
    await world.pass_by(1_000)
    seen.append(result(await world.endpoint.status(job_id))[1])
    seen.append(result(await world.polled(job_id))[1])
    await world.pass_by(1_000)
    assert seen == [10, 50, {"done": 90}]
    assert await world.status(job_id) == "COMPLETED"


async def test_chunks_are_streamed_after_their_pauses(world: MockWorld):
    world.stub(respond={"stream": ["a", {"chunk": "{{ input.prompt }}", "after": "1s"}, {"b": 1}], "delay": "1s"})
    job_id = await world.submit()
    await world.pass_by()
    assert await world.chunks(job_id) == ["a"]
    await world.pass_by(1_000)
    assert await world.chunks(job_id) == ["hello", {"b": 1}]
    await world.pass_by(1_000)
    assert await world.status(job_id) == "COMPLETED"


async def test_steps_mix_progress_and_chunks(world: MockWorld):
    world.stub(respond={
        "steps": [{"chunk": "a"}, {"progress": 50, "after": "1s"}, {"chunk": "b", "after": "1s"}], "delay": "1s",
    })  # fmt: skip
    job_id = await world.submit()
    await world.pass_by()
    assert await world.chunks(job_id) == ["a"]
    await world.pass_by(1_000)
    assert result(await world.endpoint.status(job_id))[1] == 50
    assert await world.chunks(job_id) == []
    await world.pass_by(1_000)
    assert await world.chunks(job_id) == ["b"]


@table(
    ("field", "item", "value", "pause"),
    [
        ("progress", 1, 1, Pause()),
        ("progress", "{{ 1 }}", 1, Pause()),
        ("progress", None, None, Pause()),
        ("progress", [1], [1], Pause()),
        ("progress", {"value": 1}, 1, Pause()),
        ("progress", {"value": None, "polls": 2}, None, Pause(Span(), 2)),
        ("progress", {"value": {"value": 1}, "after": "1s-2s"}, {"value": 1}, Pause(Span(1_000, 2_000))),
        ("progress", {"value": 1, "other": 2}, {"value": 1, "other": 2}, Pause()),
        ("progress", {"chunk": 1}, {"chunk": 1}, Pause()),
        ("progress", Update(value=5, after=7), 5, Pause(Span(7, 7))),
        ("stream", {"chunk": 1, "after": 5}, 1, Pause(Span(5, 5))),
        ("stream", {"value": 1}, {"value": 1}, Pause()),
        ("stream", {}, {}, Pause()),
        ("stream", Chunk(chunk="a", polls=1), "a", Pause(Span(), 1)),
        ("steps", {"progress": None, "polls": 1}, None, Pause(Span(), 1)),
        ("steps", Step(chunk="a"), "a", Pause()),
    ],
)
def test_an_item_is_the_long_form_only_with_its_keys_and_no_other(field: str, item: Any, value: Any, pause: Pause):
    (step,) = Response.model_validate({field: [item]}).to_core().steps
    assert json.loads(step.value(scene())) == value
    assert step.pause == pause
    assert step.is_chunk is (field == "stream" or getattr(item, "chunk", None) is not None)


@pytest.mark.parametrize(
    ("response", "ending"),
    [
        ({}, Ending.OUTPUT),
        ({"output": 1}, Ending.OUTPUT),
        ({"error": "x"}, Ending.ERROR),
        ({"output": 1, "error": "x"}, Ending.ERROR),
        ({"crash": True}, Ending.CRASH),
        ({"timeout": True, "crash": False, "output": None}, Ending.TIMEOUT),
        ({"never": True}, Ending.NEVER),
    ],
)
def test_a_response_has_one_end(response: dict[str, Any], ending: Ending):
    assert Response.model_validate(response).to_core().ending is ending


@table(
    ("response", "reason"),
    [
        ({"output": 1, "crash": True}, "output and crash exclude each other"),
        ({"error": "x", "never": True}, "error and never exclude each other"),
        ({"crash": True, "timeout": True}, "crash and timeout exclude each other"),
        ({"output": 0, "error": "x", "timeout": True}, "error and timeout exclude each other"),
        ({"steps": [{"chunk": 1}], "progress": [1]}, "steps stand alone"),
        ({"steps": [{"chunk": 1}], "stream": [1]}, "steps stand alone"),
        ({"steps": [{"chunk": 1, "progress": 1}]}, "either progress or chunk"),
        ({"steps": [{"after": 1}]}, "either progress or chunk"),
        ({"steps": [1]}, "write a mapping; this is a number"),
        ({"error": ""}, "at least 1 character"),
        ({"error": 5}, "valid string"),
        ({"crash": "yes"}, "valid boolean"),
        ({"delay": "soon"}, "write milliseconds"),
        ({"delay": "3s-1s"}, "ends before it begins"),
        ({"delay": -1}, "write milliseconds"),
        ({"delay": True}, "write milliseconds"),
        ({"delay": "9" * 400 + "d"}, "longer than any time"),
        ({"polls_before_completed": -1}, "greater than or equal to 0"),
        ({"polls_before_completed": 1.5}, "valid integer"),
        ({"progress": 5}, "valid list"),
        ({"progress": [{"value": 1, "after": "x"}]}, "write milliseconds"),
        ({"outputt": 1}, "no such key; the nearest is output"),
        ({"output": {"a": ["{{"]}}, "a.0: a faulty template"),
        ({"error": "{% if %}"}, "a faulty template"),
        ({"stream": [{"chunk": "{{ x"}]}, "a faulty template"),
        ({"output": {1: 2}}, "names that are texts only"),
    ],
)
def test_a_response_that_makes_no_sense_is_refused(response: dict[str, Any], reason: str):
    with pytest.raises(ValidationError) as refused:
        Response.model_validate(response)
    assert reason in str(refused.value)


async def test_a_poll_lets_a_job_go_before_it_is_answered(world: MockWorld):
    world.stub(respond={"polls_before_in_progress": 2, "never": True})
    job_id = await world.submit()
    for _ in range(2):
        assert (await world.endpoint.status(job_id)).held
        await world.endpoint.looked(job_id)
    assert not (await world.endpoint.status(job_id)).held
