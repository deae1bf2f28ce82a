"""Responses that are played one a run: a job that never ran uses none up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from runpod_emulator.core.jobs.job import Returned, Taken
from runpod_emulator.core.mocks.script import Ending, Script
from runpod_emulator.core.platform import SECOND

from tests.core.endpoint.test_scripts import JOB, Mock, after, output
from tests.core.steps import turns


@pytest.fixture
async def mock() -> AsyncIterator[Mock]:
    it = Mock(paused_endpoint="queue")
    await it.emulator.endpoints.configure("ep", workers_max=1)
    yield it
    await it.emulator.stop()


def results(*pauses: int) -> tuple[Script, ...]:
    """Responses `1`, `2` … of a second each; those of whom it is said wait so long in the queue before."""
    return tuple(
        output(number, before_end=after(1_000), in_queue=after(pause)) for number, pause in enumerate(pauses, 1)
    )


async def outputs(mock: Mock, jobs: list[str]) -> list[bytes | None]:
    await mock.advance(60_000)
    return [(await mock.look(job)).output for job in jobs]


async def cancelled(mock: Mock, job: str) -> None:
    await mock.endpoint.cancel(job)


async def purged(mock: Mock, job: str) -> None:
    assert await mock.endpoint.purge() == 1


async def expired(mock: Mock, job: str) -> None:
    await mock.endpoint.status(job, ttl=10)
    await mock.advance(10 * SECOND)


async def reset(mock: Mock, job: str) -> None:
    await mock.emulator.reset("ep")


async def removed(mock: Mock, job: str) -> None:
    settings = mock.endpoint.settings
    await mock.emulator.endpoints.remove("ep")
    mock.endpoint = mock.emulator.endpoints.add_mock(settings)


@pytest.mark.parametrize("end", [cancelled, purged, expired, reset, removed])
@pytest.mark.parametrize("pauses", [(0, 0), (0, 1), (20_000, 1)])
async def test_what_never_ran_leaves_its_response_to_others(
    mock: Mock, end: Callable[[Mock, str], Awaitable[None]], pauses: tuple[int, ...]
):
    await mock.emulator.endpoints.configure("ep", workers_max=0)
    mock.play(*results(*pauses))
    (stub,) = mock.emulator.stubs
    job = await mock.submit(JOB._replace(ttl=10 * SECOND))
    await end(mock, job)
    assert stub.played == 0
    await mock.emulator.endpoints.configure("ep", workers_max=1)
    assert await outputs(mock, [await mock.submit() for _ in range(3)]) == [b"1", b"2", b"2"]
    assert stub.played == 3


async def test_those_that_wait_get_theirs_in_the_order_in_which_they_are_taken(mock: Mock):
    mock.play(*results(0, 0, 0))
    first, second, third, fourth = [await mock.submit() for _ in range(4)]
    await turns()
    await mock.endpoint.cancel(second)
    assert await outputs(mock, [first, third, fourth]) == [b"1", b"2", b"3"]


async def test_a_job_that_was_taken_has_used_its_response(mock: Mock):
    mock.play(*results(0, 0))
    first = await mock.submit()
    await turns()
    assert await mock.seen(first) == "IN_PROGRESS"
    await mock.endpoint.cancel(first)
    assert await outputs(mock, [await mock.submit()]) == [b"2"]


async def test_where_responses_wait_in_the_queue_each_job_has_its_own_from_the_start(mock: Mock):
    mock.play(*results(5_000, 0, 0))
    jobs = [await mock.submit() for _ in range(3)]
    await mock.endpoint.cancel(jobs[1])
    jobs.append(await mock.submit())
    assert await outputs(mock, [jobs[0], *jobs[2:]]) == [b"1", b"3", b"2"]


@pytest.mark.parametrize("pause", [0, 1])
async def test_a_claim_that_was_given_back_is_no_run(mock: Mock, pause: int):
    await mock.emulator.endpoints.configure("ep", workers_max=0)
    mock.play(*results(pause, 0))
    (stub,) = mock.emulator.stubs
    job = await mock.submit()
    await mock.advance(1)
    (taken,) = await mock.endpoint.work.engine.claim(1, Taken("w"), mock.emulator.timeline.now())
    assert stub.played == 1
    await mock.endpoint.change(job, Returned(taken.lease))
    assert stub.played == 0
    await mock.emulator.endpoints.configure("ep", workers_max=1)
    assert await outputs(mock, [job, await mock.submit()]) == [b"1", b"2"]


async def test_a_job_that_is_tried_again_gets_the_next_when_it_is_taken_again(mock: Mock):
    mock.play(Script(Ending.CRASH), *results(0, 0))
    lost = await mock.submit()
    assert await outputs(mock, [lost]) == [b"1"]
    (stub,) = mock.emulator.stubs
    assert stub.played == 2
