"""One live server for all official clients, and the packages of the JavaScript one."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.servers import HANDLERS, Command, commands, until
from tests.conftest import require

PROJECT = Path(__file__).parent / "js"

RUNSYNC_WAIT = 2_000
"""What /runsync without `wait` waits in `live`, in ms; the service waits 90 s."""


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """`serve handlers`, ready, with an endpoint of their own for tests that count or purge."""
    mock = HANDLERS / "mock_worker.py"
    own = [part for client in ("python", "asyncio", "js", "curl") for part in ("--endpoint", f"own_{client}={mock}")]
    with commands(tmp_path_factory.mktemp("live")) as start:
        yield start("serve", HANDLERS, *own, "--port", 0, "--set", f"runsync_wait={RUNSYNC_WAIT}").ready()


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, with the packages that its lock names."""
    require("node", "npm")
    return install(tmp_path_factory, PROJECT, "js")


def install(tmp_path_factory: pytest.TempPathFactory, project: Path, name: str) -> Path:
    """A copy of a project under this name, with the packages that its lock names."""
    of_process = tmp_path_factory.getbasetemp()
    of_run = of_process.parent if "PYTEST_XDIST_WORKER" in os.environ else of_process
    folder = of_run / name
    with folder.with_suffix(".lock").open("w") as lock:  # the processes of a run share it, as npm takes seconds
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(project, folder)
    return folder


def _install(project: Path, folder: Path) -> None:
    unfinished = folder.with_suffix(".new")
    shutil.copytree(project, unfinished, ignore=shutil.ignore_patterns("node_modules"), dirs_exist_ok=True)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=unfinished, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    unfinished.rename(folder)


class Queue:
    """An endpoint whose three workers are busy and whose queue holds two jobs more."""

    def __init__(self, server: Command, endpoint: str) -> None:
        self._server = server
        self.endpoint = endpoint
        self.jobs = [self._ask("POST", "run", {"input": {"mock_delay": 600}})["id"] for _ in range(5)]
        until(lambda: self.counts() == (3, 2))

    def counts(self) -> tuple[int, int]:
        """How many jobs run, and how many wait."""
        jobs = self._ask("GET", "health")["jobs"]
        return jobs["inProgress"], jobs["inQueue"]

    def end(self) -> None:
        """Cancel every job."""
        for job in self.jobs:
            self._server.http.post(f"/{self.endpoint}/cancel/{job}")
        until(lambda: self.counts() == (0, 0))

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, object]:
        return self._server.http.request(method, f"/{self.endpoint}/{path}", json=body).json()


@pytest.fixture
def full_queue(live: Command, request: pytest.FixtureRequest) -> Iterator[Queue]:
    """Fill the endpoint that the test names with `@pytest.mark.parametrize("full_queue", [...], indirect=True)`."""
    queue = Queue(live, request.param)
    yield queue
    queue.end()
