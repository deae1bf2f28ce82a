"""What is well here and will surprise in production is warned of, once for an endpoint and a cause."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from runpod_emulator.core.endpoint.submission import Submission
from runpod_emulator.core.jobs.job import Completed, Emitted, Job
from runpod_emulator.core.mocks.script import Ending, Script
from runpod_emulator.core.mocks.stubs import Stub
from runpod_emulator.core.platform import preset
from runpod_emulator.core.records.news import Entry, Line
from runpod_emulator.effects.surprises import Surprises

from tests.tables import table
from tests.worlds import TestWorld, make_world

PLATFORM = preset("observed")
SECONDS = "it looks like seconds, and RunPod takes milliseconds"
MISSING = "ModuleNotFoundError: No module named '{}'"


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.WARNING, "runpod_emulator.jobs")

    def look() -> list[str]:
        seen = [record.getMessage() for record in caplog.records if record.facts["event"] == "surprise"]
        caplog.clear()
        return seen

    return look


@table(
    ("policy", "words"),
    [
        ({"ttl": 86_400}, [f"ep: policy.ttl of 86400 ms is 86.4 s: {SECONDS}"]),
        ({"ttl": 86_400_000}, []),
        ({"ttl": 30_000}, []),
        ({"ttl": 12_345}, []),
        ({"execution_timeout": 7_200}, [f"ep: policy.executionTimeout of 7200 ms is 7.2 s: {SECONDS}"]),
        ({"execution_timeout": 600_000}, []),
    ],
)  # fmt: skip
async def test_seconds_where_milliseconds_belong(
    warned: Callable[[], list[str]], policy: dict[str, int], words: list[str]
) -> None:
    world = make_world()
    for _ in range(2):
        await world.endpoint.submit(Submission(b'{"a":1}', **policy))
    assert warned() == words


async def one(world: TestWorld, run: int = 0, output: bytes = b"1", chunks: tuple[bytes, ...] = ()) -> Job:
    """A job with these chunks and this output, after `run` ms of work."""
    _, job = await world.running()
    if chunks:
        await world.endpoint.work.report(job.id, Emitted(job.lease, chunks))
    await world.advance(run)
    await world.endpoint.work.report(job.id, Completed(job.lease, output))
    return job


LIMIT, CHUNK = PLATFORM.run_result_limit, PLATFORM.stream_chunk_limit


@table(
    ("did", "words"),
    [
        ({"run": 480_000}, "ep: a job took 480 s of the 600 s that it may (execution_timeout)"),
        ({"run": 479_000}, ""),
        ({"output": b"1" * (LIMIT * 8 // 10)}, f"ep: an output of {LIMIT * 8 // 10} bytes is near"),
        ({"output": b"1" * (LIMIT * 8 // 10 - 1)}, ""),
        ({"chunks": (b"1" * (CHUNK + 3),)}, f"ep: a stream chunk of {CHUNK + 3} bytes, and RunPod takes 1 MB"),
        ({"chunks": (b"1" * (CHUNK // 2),)}, ""),
    ],
)  # fmt: skip
async def test_what_is_near_a_limit(warned: Callable[[], list[str]], did: dict[str, Any], words: str) -> None:
    world = make_world()
    for _ in range(2):
        await one(world, **did)
    told = warned()
    assert len(told) == bool(words) and all(line.startswith(words) for line in told)
    await world.emulator.reset()
    await one(world, **did)
    assert len(warned()) == bool(words)


async def test_nothing_is_said_of_what_a_stub_does(warned: Callable[[], list[str]]) -> None:
    world = make_world()
    world.emulator.stub(Stub("s", (Script(Ending.OUTPUT, lambda scene: b"1"),)))
    await one(world, run=590_000)
    await world.endpoint.submit(Submission(b"{}"))
    assert warned() == []


@table(
    ("text", "level", "package"),
    [
        (MISSING.format("PIL"), "error", "pillow"),
        (
            MISSING.format("sklearn.svm"),
            "error",
            "scikit-learn",
        ),
        (MISSING.format("my_pkg"), "error", "my-pkg"),
        (MISSING.format("PIL"), "info", ""),
        ("ValueError: No module named 'PIL'", "error", ""),
    ],
)
def test_a_missing_package_has_its_remedy(
    caplog: pytest.LogCaptureFixture, text: str, level: str, package: str
) -> None:
    caplog.clear()
    surprises = Surprises(PLATFORM, lambda endpoint: "/py")
    for _ in range(2):
        surprises.printed(Line(0, "ep", "w", "j", text, level, 1))
    ways = f"/py -m pip install {package}, or --python PATH for one that has it"
    assert [line.partition("of a package, ")[2] for line in caplog.messages] == ([ways] if package else [])


def entry(operation: str = "health", status: int = 200, query: str = "", at: int = 0, why: str = "") -> Entry:
    return Entry(1, at, "ep", operation, "GET", "/v2/ep", query, (), b"", status, "", 0, why=why)


def test_a_key_in_the_query(warned: Callable[[], list[str]]) -> None:
    surprises = Surprises(PLATFORM, lambda endpoint: "")
    for query in ("wait=1", "ttl=5", "api_key=abcdefghijkl", "a&token=x", "%5Bapi_key=1"):
        surprises.refused(entry(status=401, query=query))
    (line,) = warned()
    assert line.startswith("ep: a key in the query (api_key): ")


def test_polls_that_are_refused_come_too_fast(warned: Callable[[], list[str]]) -> None:
    surprises = Surprises(PLATFORM, lambda endpoint: "")
    surprises.refused(entry("run", 429, why="run: 1000 in 10 s"))
    assert warned() == []
    for _ in range(2):
        surprises.refused(entry("status", 429, why="status: 2000 in 10 s"))
    (line,) = warned()
    assert line.startswith("ep: its jobs are polled faster than RunPod allows: status: 2000 in 10 s; ")
