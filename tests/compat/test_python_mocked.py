"""The official Python client, `runpod`, unmodified, against stubs and faults: what it returns and what it raises."""

from __future__ import annotations

import asyncio
import functools
import importlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from runpod_emulator.testing import Emulator

from tests.timing import expect_within, timed

pytestmark = pytest.mark.compat

ASKED = {"prompt": "hello"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    with Emulator("llm", clock="virtual") as emulator:
        yield emulator


@pytest.fixture
def emu(shared: Emulator) -> Emulator:
    shared.reset()
    return shared


@pytest.fixture
def package(emu: Emulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package, pointed here. Its import takes seconds, so only who runs these tests pays them."""
    runpod = importlib.import_module("runpod")
    point_at(emu, runpod, monkeypatch)
    return runpod


@pytest.fixture
def llm(package: Any) -> Any:
    return package.Endpoint("llm")


@pytest.fixture
async def later(package: Any) -> AsyncIterator[Any]:
    """The asyncio client's endpoint."""
    import aiohttp

    async with aiohttp.ClientSession() as session:
        yield package.AsyncioEndpoint("llm", session)


@pytest.fixture
async def impatient(package: Any) -> AsyncIterator[Any]:
    """The same with a session that waits a tenth of a second."""
    import aiohttp

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.1)) as session:
        yield package.AsyncioEndpoint("llm", session)


def point_at(emu: Emulator, runpod: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runpod, "endpoint_url_base", emu.base_url)
    monkeypatch.setattr(runpod, "api_key", emu.key)


def run(emu: Emulator, llm: Any) -> Any:
    """A job that has gone as far as it can without time or polls."""
    job = llm.run(ASKED)
    emu.clock.advance(0)
    return job


async def run_later(emu: Emulator, later: Any) -> Any:
    job = await later.run(ASKED)
    emu.clock.advance(0)
    return job


def raised(call: Callable[[], Any]) -> str:
    try:
        return f"no error but {call()!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


# Stubs, synchronous


def test_an_output_is_made_of_the_request(emu: Emulator, llm: Any) -> None:
    emu.stub(match={"input": ASKED}, respond={"output": {"text": "You said {{ input.prompt }}", "call": "{{ call }}"}})
    assert llm.run_sync(ASKED) == {"text": "You said hello", "call": 1}
    assert llm.run_sync(ASKED) == {"text": "You said hello", "call": 2}
    emu.assert_requested(operation="runsync", body={"input": ASKED}, count=2)


def test_polls_move_a_job(emu: Emulator, llm: Any) -> None:
    emu.stub(respond={"polls_before_in_progress": 2, "polls_before_completed": 1, "output": "done"})
    job = run(emu, llm)
    seen = []
    for _ in range(4):
        seen.append(job.status())
        emu.clock.advance(0)
    assert seen == ["IN_QUEUE", "IN_QUEUE", "IN_PROGRESS", "COMPLETED"]


def test_progress_is_the_output_so_far(emu: Emulator, llm: Any) -> None:
    emu.stub(respond={"progress": ["10%", {"value": {"pct": 50}, "after": "1s"}], "delay": "1s", "output": "done"})
    job = run(emu, llm)
    seen = [job.output()]
    for _ in range(2):
        emu.clock.advance(1)
        seen.append(job.output())
    assert seen == ["10%", {"pct": 50}, "done"]


def test_a_job_without_an_end_is_cancelled(emu: Emulator, llm: Any) -> None:
    emu.stub(respond={"never": True})
    job = run(emu, llm)
    emu.clock.advance(500)
    assert job.status() == "IN_PROGRESS"
    assert job.cancel() == {"id": job.job_id, "status": "CANCELLED"}
    assert (job.status(), job.output()) == ("CANCELLED", None)


def test_a_crash_is_made_good_by_the_second_run(emu: Emulator, llm: Any) -> None:
    emu.stub(respond=[{"crash": True}, {"output": "ok"}])
    assert llm.run_sync(ASKED) == "ok"
    assert [job.retries for job in emu.jobs()] == [1]


def test_what_no_stub_matches_fails_and_names_the_nearest(emu: Emulator, llm: Any) -> None:
    emu.stub(id="far", match={"input": {"prompt": "bye", "n": 1}}, respond={"output": 1})
    emu.stub(id="near", match={"input": {"prompt": "bye"}}, respond={"output": 1})
    assert llm.run_sync(ASKED) is None
    why = 'no stub matches this job; the nearest is near: input.prompt: expected "bye", got "hello"'
    assert [(job.status, job.error) for job in emu.jobs()] == [("FAILED", why)]


# Stubs, both clients


async def test_a_delayed_job_is_seen_in_each_state(emu: Emulator, llm: Any, later: Any) -> None:
    emu.stub(respond={"queue_delay": "10s", "delay": "30s", "output": "late"})
    job, other = run(emu, llm), await run_later(emu, later)
    seen = [(job.status(), await other.status())]
    for seconds in (9.999, 0.001, 29.999, 0.001):
        emu.clock.advance(seconds)
        seen.append((job.status(), await other.status()))
    states = ["IN_QUEUE", "IN_QUEUE", "IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]
    assert seen == [(state, state) for state in states]
    assert (job.output(), await other.output()) == ("late", "late")


@pytest.mark.parametrize(
    ("respond", "error", "retries"),
    [
        pytest.param({"error": "out of {{ input.prompt }}"}, "out of hello", 0, id="error"),
        pytest.param({"crash": True}, "job timed out after 1 retries", 1, id="crash"),
        pytest.param({"timeout": True, "delay": "30s"}, "executionTimeout exceeded", 0, id="timeout"),
    ],
)
async def test_a_failed_job_has_no_output(
    emu: Emulator, llm: Any, later: Any, respond: dict[str, Any], error: str, retries: int
) -> None:
    emu.stub(respond=respond)
    job, other = run(emu, llm), await run_later(emu, later)
    emu.clock.run_until_idle()
    assert (job.status(), job.output()) == ("FAILED", None)
    assert (await other.status(), await other.output(timeout=20)) == ("FAILED", None)
    assert [(record.error, record.retries) for record in emu.jobs()] == [(error, retries)] * 2


async def test_a_failed_job_then_a_good_one(emu: Emulator, llm: Any, later: Any) -> None:
    emu.stub(respond=[{"error": "no luck"}, {"output": "ok"}, {"error": "no luck"}, {"output": "ok"}])
    assert [llm.run_sync(ASKED) for _ in range(2)] == [None, "ok"]
    jobs = [await run_later(emu, later) for _ in range(2)]
    assert [await job.status() for job in jobs] == ["FAILED", "COMPLETED"]


async def test_both_get_each_chunk_of_a_stream_once(emu: Emulator, llm: Any, later: Any) -> None:
    emu.stub(respond={"stream": ["Hel", {"n": 2}, "{{ input.prompt }}"], "output": "not streamed"})
    job, other = run(emu, llm), await run_later(emu, later)

    async def collected() -> list[Any]:
        return [chunk async for chunk in other.stream()]

    both = await asyncio.gather(asyncio.to_thread(lambda: list(job.stream())), collected())
    assert both == [["Hel", {"n": 2}, "hello"]] * 2
    assert (job.output(), await other.output(timeout=20)) == ("not streamed", "not streamed")


async def test_both_wait_for_an_output(emu: Emulator, llm: Any, later: Any) -> None:
    emu.stub(respond={"polls_before_completed": 1, "output": "{{ input.prompt }}"})
    job, other = run(emu, llm), await run_later(emu, later)
    both = await asyncio.gather(asyncio.to_thread(job.output, timeout=20), other.output(timeout=20))
    assert both == ["hello", "hello"]
    emu.assert_requested(
        operation="status", count=5
    )  # one that ended the wait each, and the asyncio client reads again


async def test_asyncio_gives_up_on_a_job_without_an_end_and_cancels_it(emu: Emulator, later: Any) -> None:
    emu.stub(respond={"never": True})
    job = await run_later(emu, later)
    with pytest.raises(TimeoutError, match=r"^Job timed out\.$"):
        await job.output(timeout=0.1)
    assert await job.cancel() == {"id": job.job_id, "status": "CANCELLED"}
    assert await job.status() == "CANCELLED"


# Faults, synchronous

STATUSES = [
    pytest.param(
        {"status": 401}, "RuntimeError: 401 Unauthorized | Make sure Runpod API key is set and valid.", id="401"
    ),
    pytest.param({"status": 500}, "HTTPError: 500 Server Error: Internal Server Error for url: ", id="500"),
    pytest.param({"status": 502, "body": "<h1>"}, "HTTPError: 502 Server Error: Bad Gateway for url: ", id="502"),
]
HALF = "ChunkedEncodingError: ('Connection broken: IncompleteRead("


@pytest.mark.parametrize(("fault", "error"), STATUSES)
def test_a_status_is_an_error_of_run_and_of_status(emu: Emulator, llm: Any, fault: dict[str, Any], error: str) -> None:
    emu.stub(respond={"output": "ok"})
    emu.fault("status", **fault, operations=["run", "status"], calls=[1, 3])
    assert raised(lambda: llm.run(ASKED)).startswith(error)
    assert emu.jobs() == []
    job = run(emu, llm)
    assert raised(job.status).startswith(error)
    assert job.output() == "ok"


def test_a_429_is_an_error_of_run_and_a_pause_of_status(emu: Emulator, llm: Any) -> None:
    emu.stub(respond={"output": "ok"})
    emu.fault("status", status=429, headers={"Retry-After": 1}, operations=["run", "status"], calls=[1, 3])
    url = f"{emu.base_url}/llm/run"
    assert raised(lambda: llm.run(ASKED)) == f"HTTPError: 429 Client Error: Too Many Requests for url: {url}"
    job = run(emu, llm)
    began = time.monotonic()
    assert job.status() == "COMPLETED"
    assert time.monotonic() - began >= 1, "it waits as long as Retry-After says, and asks again"
    assert [entry.status for entry in emu.requests(operation="status")] == [429, 200]


@pytest.mark.parametrize(
    ("kind", "fault", "error", "asyncio_error", "jobs"),
    [
        pytest.param("connection_reset", {}, "ConnectionError", "ClientConnectionError", 0, id="reset"),
        pytest.param(
            "connection_reset", {"processed": True}, "ConnectionError", "ClientConnectionError", 1, id="lost answer"
        ),
        pytest.param("truncated_body", {}, "ChunkedEncodingError", "ClientPayloadError", 1, id="half an answer"),
    ],
)
async def test_a_broken_connection_is_an_error_of_run(
    emu: Emulator, llm: Any, later: Any, kind: str, fault: dict[str, Any], error: str, asyncio_error: str, jobs: int
) -> None:
    aiohttp, requests = importlib.import_module("aiohttp"), importlib.import_module("requests")
    emu.stub(respond={"output": "ok"})
    emu.fault(kind, **fault, times=2)
    with pytest.raises(getattr(requests.exceptions, error)):
        llm.run(ASKED)
    assert len(emu.jobs()) == jobs, "which the client can't know"
    with pytest.raises(getattr(aiohttp, asyncio_error)):
        await later.run(ASKED)
    assert len(emu.jobs()) == 2 * jobs
    assert run(emu, llm).output() == "ok"


def test_a_reset_status_is_asked_again_and_half_a_one_is_an_error(emu: Emulator, llm: Any) -> None:
    emu.stub(respond={"output": "ok"})
    job = run(emu, llm)
    emu.fault("truncated_body", times=1)
    assert raised(job.status).startswith(HALF)
    emu.fault("connection_reset", times=1)
    assert job.status() == "COMPLETED"
    emu.assert_requested(operation="status", count=3)


def test_a_late_answer_to_a_post_is_an_error_though_it_was_carried_out(emu: Emulator, llm: Any) -> None:
    emu.stub(respond={"never": True})
    job = run(emu, llm)
    emu.fault("latency", delay="1h", operations=["cancel"])
    assert raised(lambda: job.cancel(timeout=1)).startswith("ReadTimeout: HTTPConnectionPool(host='127.0.0.1'")
    assert job.status() == "CANCELLED"


def test_a_late_answer_to_a_get_is_asked_for_again(emu: Emulator, llm: Any) -> None:
    emu.fault("latency", delay="1h", times=1)
    assert llm.health(timeout=1)["jobs"]["inQueue"] == 0
    emu.assert_requested(operation="health", count=2)


def test_a_job_that_is_not_known_yet_is_a_404(emu: Emulator, llm: Any) -> None:
    emu.stub(respond={"output": "ok"})
    emu.fault("not_found_after_run", delay="2s")
    job = run(emu, llm)
    url = f"{emu.base_url}/llm/status/{job.job_id}"
    assert raised(job.status) == f"HTTPError: 404 Client Error: Not Found for url: {url}"
    emu.clock.advance(2)
    assert (job.status(), job.output()) == ("COMPLETED", "ok")


def test_a_result_that_is_gone_early_is_a_404_unless_the_client_has_it(emu: Emulator, package: Any, llm: Any) -> None:
    emu.stub(respond={"output": "ok"})
    emu.fault("output_gone_early", delay="5s")
    job = run(emu, llm)
    fresh = package.endpoint.Job("llm", job.job_id, job.rp_client)
    assert job.status() == "COMPLETED"
    emu.clock.advance(5)
    url = f"{emu.base_url}/llm/status/{job.job_id}"
    assert raised(fresh.output) == f"HTTPError: 404 Client Error: Not Found for url: {url}"
    assert job.output() == "ok"


def test_a_worker_that_dies_is_a_longer_wait(emu: Emulator, llm: Any) -> None:
    emu.stub(respond={"delay": "10s", "output": "ok"})
    emu.fault("worker_crash", delay="5s", times=1)
    job = run(emu, llm)
    seen = [job.status()]
    for seconds in (10, 5):
        emu.clock.advance(seconds)
        seen.append(job.status())
    assert seen == ["IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]
    assert [record.retries for record in emu.jobs()] == [1]


def play(package: Any, monkeypatch: pytest.MonkeyPatch, seed: int) -> list[str]:
    """What becomes of 60 jobs on a flaky network."""
    with Emulator("llm", clock="auto", seed=seed) as emu:
        emu.stub(respond={"output": "{{ input.number }}"})
        emu.profile("flaky-network")
        point_at(emu, package, monkeypatch)
        llm = package.Endpoint("llm")
        return [raised(functools.partial(llm.run_sync, {"number": number})).split(":")[0] for number in range(1, 61)]


def test_a_flaky_network_is_as_flaky_for_the_same_seed(package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = play(package, monkeypatch, 4)
    answered = {f"no error but {number}" for number in range(1, 61)}
    assert set(seen) - answered == {"ConnectionError", "ChunkedEncodingError", "HTTPError"}
    assert play(package, monkeypatch, 4) == seen
    assert play(package, monkeypatch, 5) != seen


@pytest.mark.runpod_emulator("own", clock="virtual")
def test_the_plugin_points_the_loaded_package_at_its_emulator(package: Any, request: pytest.FixtureRequest) -> None:
    assert sys.modules["runpod"] is package
    emulator = request.getfixturevalue("runpod_emulator")
    emulator.stub(respond={"output": "from the plugin"})
    assert package.Endpoint("own").run_sync(ASKED) == "from the plugin"


# The automatic clock: both clients poll, and whatever a stub takes they wait no longer than their own pauses


@timed
@pytest.mark.parametrize("way", ["run and output", "run_sync", "asyncio"])
async def test_a_job_of_twenty_seconds_takes_less_than_two(
    package: Any, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    aiohttp = importlib.import_module("aiohttp")
    with Emulator("llm") as emu:
        point_at(emu, package, monkeypatch)
        emu.stub(respond={"delay": "20s", "output": "done"})
        began = time.monotonic()
        if way == "asyncio":
            async with aiohttp.ClientSession() as session:
                job = await package.AsyncioEndpoint("llm", session).run(ASKED)
                assert await job.output(timeout=30) == "done"
        elif way == "run_sync":
            assert package.Endpoint("llm").run_sync(ASKED) == "done"
        else:
            assert package.Endpoint("llm").run(ASKED).output(timeout=30) == "done"
        took = time.monotonic() - began
        (record,) = emu.jobs()
        assert record.ended_at - record.taken_at >= 20
    expect_within(took, 2)


def test_a_client_that_polls_sees_each_state_and_waits_for_none(package: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulator("llm") as emu:
        point_at(emu, package, monkeypatch)
        emu.stub(respond={"queue_delay": "5m", "progress": [{"value": "50%", "after": "1m"}], "delay": "1m"})
        job, seen = package.Endpoint("llm").run(ASKED), []
        while len(seen) < 10 and seen[-1:] != ["COMPLETED"]:
            seen.append(job.status())
        assert list(dict.fromkeys(seen)) == ["IN_QUEUE", "IN_PROGRESS", "COMPLETED"]
        assert len(seen) == 4


# Faults, asyncio: it reads every answer as JSON, whatever its status, and takes the status of an error for the job's


@pytest.mark.parametrize("status", [401, 429, 500, 502])
async def test_asyncio_takes_a_status_for_the_jobs(emu: Emulator, later: Any, status: int) -> None:
    emu.stub(respond={"output": "ok"})
    emu.fault("status", status=status, headers={"Retry-After": 1}, calls=[1, 3])
    with pytest.raises(KeyError, match=r"^'id'$"):
        await later.run(ASKED)
    job = await run_later(emu, later)
    assert [await job.status(), await job.status()] == [status, "COMPLETED"]


async def test_asyncio_error_page_is_no_json(emu: Emulator, later: Any) -> None:
    emu.fault("status", status=502, body="<h1>Bad Gateway</h1>")
    for call in (functools.partial(later.run, ASKED), later.health):
        with pytest.raises(Exception, match=r"^502, message='Attempt to decode JSON with unexpected mimetype") as error:
            await call()
        assert type(error.value).__name__ == "ContentTypeError"


async def test_asyncio_late_answer_is_a_timeout_though_the_job_is_there(emu: Emulator, impatient: Any) -> None:
    emu.fault("latency", delay="1h")
    with pytest.raises(asyncio.TimeoutError):
        await impatient.run(ASKED)
    assert len(emu.jobs()) == 1


async def test_asyncio_waits_on_while_a_job_is_not_known_yet(emu: Emulator, later: Any) -> None:
    emu.stub(respond={"output": "ok"})
    emu.fault("not_found_after_run", delay="1h", calls=[1, 2])
    job = await run_later(emu, later)
    assert await job.status() == 404
    assert await job.output(timeout=20) == "ok"


async def test_asyncio_result_that_is_gone_early_is_a_404(emu: Emulator, later: Any) -> None:
    emu.stub(respond={"output": "ok"})
    emu.fault("output_gone_early", delay="5s")
    job = await run_later(emu, later)
    emu.clock.advance(5)
    assert await job.status() == 404
