"""The official Python client, `runpod`, unmodified: only its base URL is set."""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.compat.conftest import RUNSYNC_WAIT, Queue
from tests.compat.servers import LIMIT, Command, until

pytestmark = pytest.mark.compat

HEALTH = {
    "jobs": {"completed", "failed", "inProgress", "inQueue", "retried"},
    "workers": {"idle", "initializing", "ready", "running", "throttled", "unhealthy"},
}


def pointed_here(live: Command, patch: pytest.MonkeyPatch) -> Any:
    """The package. Its import takes seconds, so only who runs these tests pays them."""
    runpod = importlib.import_module("runpod")
    patch.setattr(runpod, "endpoint_url_base", live.base_url)
    patch.setattr(runpod, "api_key", "any-key")
    return runpod


@pytest.fixture(scope="module", autouse=True)
def slow_stream(live: Command) -> Iterator[Future[list[Any]]]:
    """The stream of a job that is silent for 10.5 s, read beside all the tests."""
    with pytest.MonkeyPatch.context() as patch:
        endpoint = pointed_here(live, patch).Endpoint("tokens_async")
        job = endpoint.run({"input": {"text": "late", "delay": 10.5}})
    with ThreadPoolExecutor(1) as beside:
        yield beside.submit(lambda: list(job.stream()))


@pytest.fixture
def package(live: Command, monkeypatch: pytest.MonkeyPatch) -> Any:
    return pointed_here(live, monkeypatch)


@pytest.fixture
def endpoint(package: Any) -> Any:
    return package.Endpoint


def shape(health: dict[str, Any]) -> dict[str, set[str]]:
    assert all(type(count) is int for part in health.values() for count in part.values())
    return {part: set(counts) for part, counts in health.items()}


# Synchronous


def test_run_status_output(endpoint: Any) -> None:
    job = endpoint("echo").run({"input": {"a": 1}})
    assert job.job_id.endswith("-u1")
    assert job.output(timeout=20) == {"a": 1}
    assert job.status() == "COMPLETED"


def test_output_of_a_job_that_has_ended(endpoint: Any) -> None:
    job = endpoint("echo").run({"a": [None, "ünï"]})
    until(lambda: job.status() == "COMPLETED")
    assert job.output() == {"a": [None, "ünï"]}


def test_output_that_comes_too_late(endpoint: Any) -> None:
    job = endpoint("mock_worker").run({"input": {"mock_delay": 600}})
    assert job.status() in ("IN_QUEUE", "IN_PROGRESS")
    with pytest.raises(TimeoutError, match=r"Job timed out\."):
        job.output(timeout=1)
    job.cancel()


def test_run_sync(endpoint: Any) -> None:
    assert endpoint("echo").run_sync({"input": {"a": 1}}) == {"a": 1}
    assert endpoint("echo").run_sync({"a": 1}, timeout=20) == {"a": 1}


def test_run_sync_past_its_wait(endpoint: Any) -> None:
    late = {"mock_delay": RUNSYNC_WAIT / 1000 + 0.5, "mock_return": "late"}
    assert endpoint("mock_worker").run_sync({"input": late}, timeout=20) == "late", "it goes on with /status"


def test_an_empty_input_is_wrapped_twice_by_the_client(endpoint: Any) -> None:
    assert endpoint("echo").run_sync({"input": {}}) == {"input": {}}


def test_the_body_goes_as_it_is_with_policy_and_webhook(endpoint: Any) -> None:
    body = {"input": {"a": 1}, "policy": {"executionTimeout": 10_000, "ttl": 20_000}, "webhook": None, "unknown": 1}
    assert endpoint("echo").run_sync(body) == {"a": 1}


def test_a_failed_job_has_no_output(endpoint: Any) -> None:
    failing = endpoint("failing")
    assert failing.run_sync({"input": {"mode": "raise"}}) is None
    job = failing.run({"input": {"mode": "return", "message": "broken"}})
    assert job.output(timeout=20) == {"hint": "a dict with an error key"}
    assert job.status() == "FAILED"


def test_stream(endpoint: Any) -> None:
    job = endpoint("tokens").run({"input": {"text": "one two three", "delay": 0.05}})
    assert list(job.stream()) == ["one ", "two ", "three"]
    assert job.status() == "COMPLETED"
    assert job.output() == ["one ", "two ", "three"]


def test_stream_of_a_job_that_streams_nothing(endpoint: Any) -> None:
    assert list(endpoint("echo").run({"input": {"a": 1}}).stream()) == []


def test_cancel(endpoint: Any) -> None:
    job = endpoint("mock_worker").run({"input": {"mock_delay": 600}})
    until(lambda: job.status() == "IN_PROGRESS")
    assert job.cancel() == {"id": job.job_id, "status": "CANCELLED"}
    assert job.status() == "CANCELLED"
    assert job.output() is None


def test_health(endpoint: Any) -> None:
    assert shape(endpoint("echo").health()) == HEALTH


@pytest.mark.parametrize("full_queue", ["own_python"], indirect=True)
def test_purge_queue(full_queue: Queue, endpoint: Any) -> None:
    full = endpoint(full_queue.endpoint)
    assert full.purge_queue() == {"removed": 2, "status": "completed"}
    health = full.health()
    assert (health["jobs"]["inQueue"], health["jobs"]["inProgress"], health["workers"]["running"]) == (0, 3, 3)
    assert full.purge_queue() == {"removed": 0, "status": "completed"}


def test_a_missing_key_is_the_clients_own_message(endpoint: Any) -> None:
    with pytest.raises(RuntimeError, match=r"^401 Unauthorized \| Make sure Runpod API key is set and valid\.$"):
        endpoint("echo", api_key=" ").health()


def test_what_is_missing_is_an_http_error(endpoint: Any) -> None:
    from requests import HTTPError

    with pytest.raises(HTTPError, match="404"):
        endpoint("no-such-endpoint").run({"input": {"a": 1}})
    with pytest.raises(HTTPError, match="400"):
        endpoint("echo").run({"input": [1]})


def test_the_environment_alone_points_it_here(live: Command) -> None:
    program = """
        import os
        import runpod
        runpod.api_key = os.getenv("RUNPOD_API_KEY")
        print(runpod.Endpoint("echo").run_sync({"input": {"a": 1}}))
        """
    environment = {"RUNPOD_ENDPOINT_BASE_URL": live.base_url, "RUNPOD_API_KEY": "any-key"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    assert (done.returncode, done.stdout) == (0, "{'a': 1}\n"), done.stderr


# asyncio


@pytest.fixture
async def asyncio_endpoint(package: Any) -> AsyncIterator[Any]:
    import aiohttp

    async with aiohttp.ClientSession() as session:
        yield functools.partial(package.AsyncioEndpoint, session=session)


async def test_asyncio_run_status_output(asyncio_endpoint: Any) -> None:
    job = await asyncio_endpoint("echo").run({"a": 1})
    assert await job.output(timeout=20) == {"a": 1}
    assert await job.status() == "COMPLETED"


async def test_asyncio_wraps_the_input_always(asyncio_endpoint: Any) -> None:
    job = await asyncio_endpoint("echo").run({"input": {"a": 1}})
    assert await job.output(timeout=20) == {"input": {"a": 1}}


async def test_asyncio_stream(asyncio_endpoint: Any) -> None:
    job = await asyncio_endpoint("tokens_async").run({"text": "one two", "delay": 0.05})
    chunks = [chunk async for chunk in job.stream()]
    assert chunks == [{"index": 0, "token": "one"}, {"index": 1, "token": "two"}]


async def test_asyncio_failed_job(asyncio_endpoint: Any) -> None:
    job = await asyncio_endpoint("failing").run({"mode": "crash"})
    assert await job.output(timeout=20) is None
    assert await job.status() == "FAILED"


async def test_asyncio_cancel(asyncio_endpoint: Any) -> None:
    job = await asyncio_endpoint("parallel").run({"delay": 600})
    assert await job.cancel() == {"id": job.job_id, "status": "CANCELLED"}
    assert await job.status() == "CANCELLED"


async def test_asyncio_health(asyncio_endpoint: Any) -> None:
    assert shape(await asyncio_endpoint("echo").health()) == HEALTH


@pytest.mark.parametrize("full_queue", ["own_asyncio"], indirect=True)
async def test_asyncio_purge_queue(full_queue: Queue, asyncio_endpoint: Any) -> None:
    assert await asyncio_endpoint(full_queue.endpoint).purge_queue() == {"removed": 2, "status": "completed"}


async def test_asyncio_reads_errors_as_json(asyncio_endpoint: Any) -> None:
    with pytest.raises(KeyError, match="id"):
        await asyncio_endpoint("no-such-endpoint").run({"a": 1})
    job = await asyncio_endpoint("echo").run({"a": 1})
    job.job_id = "no-such-job"
    assert await job.status() == 404, "it takes the status of the error for the job's"


# At the end, as it has waited long enough by now


def test_stream_of_a_slow_job_stays_below_the_clients_timeout(slow_stream: Future[list[Any]]) -> None:
    assert slow_stream.result(LIMIT) == [{"index": 0, "token": "late"}], "its read timeout is 10 s"
