"""Jobs that block their worker longer than web servers keep idle connections: the result must arrive all the same.

The official worker keeps its connections for 15 s and cannot see that one was closed while a job blocks its event loop.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.sdk_workers import Jobs
from tests.compat.sdks import PYTHONS, interpreter, sdk_command
from tests.compat.servers import ROOT, Command, commands, until

pytestmark = pytest.mark.compat

SECONDS = (14, 20)
"""Just within, and beyond, what the official worker keeps an idle connection."""
LATEST = 150.0
HANDLERS = {
    "plain": """
        def handler(job):
            time.sleep(job["input"]["seconds"])
            return job["input"]["seconds"]
    """,
    "async": """
        async def handler(job):
            time.sleep(job["input"]["seconds"])
            return job["input"]["seconds"]
    """,
    "generator": """
        def handler(job):
            for part in range(3):
                yield part
                time.sleep(job["input"]["seconds"] / 2 if part < 2 else 0)
    """,
    "progress": """
        def handler(job):
            time.sleep(job["input"]["seconds"] / 2)
            runpod.serverless.progress_update(job, "half")
            time.sleep(job["input"]["seconds"] / 2)
            return job["input"]["seconds"]
    """,
}
WAYS = [*((kind, version) for kind in HANDLERS for version in PYTHONS), ("plain", "elsewhere")]


def name(kind: str, way: str) -> str:
    return f"{kind}-{way}".replace(".", "_")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("blocking")
    found = {}
    for kind, body in HANDLERS.items():
        lines = [line.removeprefix("        ") for line in body.strip("\n").split("\n")]
        start = 'runpod.serverless.start({"handler": handler, "return_aggregate_stream": True})'
        found[kind] = folder / f"{kind}_handler.py"
        found[kind].write_text("\n".join(("import time", "import runpod", "", *lines, "", start, "")))
    return found


@pytest.fixture(scope="module")
def server(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    programs = [
        part
        for kind, file in files.items()
        for version in PYTHONS
        for part in ("--command", f"{name(kind, version)}={sdk_command(version, file)}")
    ]
    with commands(tmp_path_factory.mktemp("server")) as start:
        yield start(
            "serve", *programs, "--endpoint", name("plain", "elsewhere"), "--port", 0, "--workers-max", 1,
            "--max-processes", 20, "--no-rate-limits", "--set", "idle_timeout=600000", RUNPOD_LOG_LEVEL="INFO",
        ).ready()  # fmt: skip


@pytest.fixture(scope="module")
def worker_elsewhere(server: Command, files: dict[str, Path]) -> Iterator[None]:
    """An official worker, started by hand from what `worker-env` prints."""
    worker = by_hand(server, name("plain", "elsewhere"), files["plain"])
    yield
    worker.kill()
    worker.wait()


def by_hand(server: Command, endpoint: str, file: Path) -> subprocess.Popen[bytes]:
    words = ("worker-env", endpoint, "--url", server.root_url)
    printed = subprocess.run(
        [interpreter("1.12"), "-m", "runpod_emulator", *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return subprocess.Popen(
        ["sh", "-c", f"{printed}\nexec {sdk_command('1.12', file)}"], env={**os.environ, **server.mark},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def ended(server: Command, worker_elsewhere: None) -> dict[tuple[str, str, int], dict[str, Any]]:
    """The last envelope of each job; those of one endpoint come to one worker, one after the other."""
    jobs = Jobs(server)
    ids = {
        (kind, way, seconds): jobs.submit(name(kind, way), {"seconds": seconds})
        for kind, way in WAYS
        for seconds in SECONDS
    }
    with contextlib.suppress(AssertionError):  # each test tells of its own job
        until(lambda: all(jobs.is_over(name(*key[:2]), job) for key, job in ids.items()), LATEST)
    return {key: jobs.status(name(*key[:2]), job) for key, job in ids.items()}


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize(("kind", "way"), WAYS)
def test_a_job_that_blocks_keeps_its_result(
    ended: dict[tuple[str, str, int], dict[str, Any]], kind: str, way: str, seconds: int
) -> None:
    envelope = ended[kind, way, seconds]
    assert envelope["status"] == "COMPLETED", envelope
    assert envelope["output"] == ([0, 1, 2] if kind == "generator" else seconds)
    assert "retries" not in envelope
