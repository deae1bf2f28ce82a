"""The released official worker joins as it is, and its results are those of our own worker process."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.sdk_workers import SOURCES, Jobs, write_handlers
from tests.compat.sdks import PYTHONS, interpreter, sdk_command
from tests.compat.servers import LIMIT, ROOT, Command, commands, until
from tests.workers.processes import needs_proc

pytestmark = pytest.mark.compat

KINDS = ("process", "sdk")
PLAIN_CASES = ("raised", "progress", "refresh", "crash")
PARALLEL_CASES = (
    "dict", "text", "null", "false", "zero", "list", "empty", "empty list", "error", "error and more", "falsy error",
    "error object", "error list", "raised",
)  # fmt: skip
GENERATORS = ("chunks", "gathered", "later")
GENERATOR_CASES = ("good", "raised", "error", "error object")
CASES = [
    *(("plain", case) for case in PLAIN_CASES),
    *(("parallel", case) for case in PARALLEL_CASES),
    *((name, case) for name in GENERATORS for case in GENERATOR_CASES),
    *(("parallel", f"together {number}") for number in range(4)),
    ("parallel", "cancel"),
    ("parallel", "timeout"),
]
EXPECTED: dict[tuple[str, str], tuple[str, Any]] = {
    ("plain", "raised"): ("FAILED", None),
    ("plain", "progress"): ("COMPLETED", "after progress"),
    ("plain", "refresh"): ("COMPLETED", {"job_results": [1, 2]}),
    ("plain", "crash"): ("FAILED", None),
    ("parallel", "empty"): ("COMPLETED", None),
    ("parallel", "error"): ("FAILED", None),
    ("parallel", "error and more"): ("FAILED", {"extra": 1}),
    ("parallel", "together 0"): ("COMPLETED", {"present": 4}),
    ("parallel", "cancel"): ("CANCELLED", None),
    ("parallel", "timeout"): ("FAILED", None),
    ("chunks", "good"): ("COMPLETED", []),
    ("gathered", "good"): ("COMPLETED", [{"number": 1, "text": "☃"}, "two", None]),
    ("later", "error"): ("FAILED", None),
}
LATEST = 60.0


class Run:
    """One handler file behind one kind of worker, and what came of its jobs."""

    def __init__(self, server: Command, name: str, kind: str, folder: Path) -> None:
        self.jobs = Jobs(server)
        self._server = server
        self.endpoint = f"{name}-{kind}"
        self.ids: dict[str, str] = {}
        self._folder = folder

    def submit(self, case: str, key: str | None = None, **more: Any) -> str:
        mark = str(self._folder / f"{self.endpoint}-{key or case}".replace(" ", "-"))
        job = self.jobs.submit(self.endpoint, {"case": case, "gate": f"{mark}.gate", "mark": mark}, **more)
        self.ids[key or case] = job
        return job

    def mark(self, key: str, what: str) -> Path:
        return self._folder / f"{self.endpoint}-{key}.{what}".replace(" ", "-")

    def envelope(self, key: str) -> str:
        """The body of /status at the end, without what differs from run to run."""
        return self._plain(self.jobs.ended(self.endpoint, self.ids[key], LATEST))

    def now(self, key: str) -> str:
        """The same, as it is now."""
        return self._plain(self.jobs.text(self.endpoint, self.ids[key]))

    def output(self, key: str) -> Any:
        return json.loads(self.jobs.ended(self.endpoint, self.ids[key], LATEST))["output"]

    def stream(self, key: str) -> str:
        """The body of /stream after the end."""
        return self._server.http.get(f"/{self.endpoint}/stream/{self.ids[key]}").text

    @staticmethod
    def _plain(body: str) -> str:
        shown = json.loads(body)
        for name in ("id", "workerId"):
            if name in shown:
                body = body.replace(shown[name], name.upper())
        body = re.sub(r'"(delayTime|executionTime)":\d+', r'"\1":0', body)
        body = re.sub(r'(\\"error_traceback\\": \\").*?(\\", \\"hostname)', r"\1TRACEBACK\2", body)
        return re.sub(r'(\\ntraceback: )(?:\\.|[^"\\])*', r"\1TRACEBACK", body)


def work(runs: dict[tuple[str, str], Run]) -> None:
    """Submit the jobs of all cases at once, and lead those that need a hand to their end."""
    each = [runs["plain", kind] for kind in KINDS]
    many = [runs["parallel", kind] for kind in KINDS]
    for run in each:
        for key in ("raised", "progress", "pid", "refresh", "pid", "crash", "pid"):
            run.submit(key, f"pid {len(run.ids)}" if key == "pid" else key)
    for run in many:
        for number in range(4):
            run.submit("together", f"together {number}")
        for case in PARALLEL_CASES:
            run.submit(case)
    for name in GENERATORS:
        for kind in KINDS:
            for case in GENERATOR_CASES:
                runs[name, kind].submit(case)
    for run in many:
        run.submit("wait", "cancel")
        run.submit("wait", "timeout", policy={"executionTimeout": 5_000})
    for run in each:
        job = run.ids["progress"]
        until(lambda run=run, job=job: "output" in run.jobs.status(run.endpoint, job), LATEST)
    for run in many:
        until(run.mark("cancel", "began").exists, LATEST)
        run.jobs.cancel(run.endpoint, run.ids["cancel"])


@pytest.fixture(scope="module", params=list(PYTHONS))
def sdk(request: pytest.FixtureRequest) -> str:
    """The official SDK that both kinds of worker follow."""
    return str(request.param)


@pytest.fixture(scope="module")
def folder(sdk: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sdk")


@pytest.fixture(scope="module")
def server(sdk: str, folder: Path) -> Iterator[Command]:
    """Each handler twice: in our worker process, and as a program that runs the official worker."""
    files = write_handlers(folder)
    endpoints = [part for name, file in files.items() for part in ("--endpoint", f"{name}-process={file}")]
    programs = [part for name, file in files.items() for part in ("--command", f"{name}-sdk={sdk_command(sdk, file)}")]
    with commands(folder) as start:
        yield start(
            "serve", *endpoints, *programs, "--endpoint", "far", "--python", interpreter(sdk), "--port", 0,
            "--workers-max", 1, "--no-rate-limits",
            "--set", "idle_timeout=600000", "--set", "worker_poll_hold=2000", "--worker-key", "worker-secret",
            RUNPOD_LOG_LEVEL="INFO", RUNPOD_PING_INTERVAL="1000",
        ).ready()  # fmt: skip


@pytest.fixture(scope="module")
def runs(server: Command, folder: Path) -> dict[tuple[str, str], Run]:
    runs = {(name, kind): Run(server, name, kind, folder) for name in SOURCES for kind in KINDS}
    work(runs)
    return runs


def test_progress_is_shown_alike(runs: dict[tuple[str, str], Run]) -> None:
    ours, theirs = (runs["plain", kind] for kind in KINDS)
    shown = [run.now("progress") for run in (ours, theirs)]
    for run in (ours, theirs):
        run.mark("progress", "gate").touch()
    assert shown[0] == shown[1]
    assert '"output":{"pct": 50, "text": "half ☃"},"status":"IN_PROGRESS"' in shown[0]


@pytest.mark.parametrize(("name", "case"), CASES, ids=lambda part: part.replace(" ", "-"))
def test_both_kinds_of_worker_give_the_same_bytes(runs: dict[tuple[str, str], Run], name: str, case: str) -> None:
    ours, theirs = (runs[name, kind].envelope(case) for kind in KINDS)
    assert ours == theirs
    if (name, case) in EXPECTED:
        status, output = EXPECTED[name, case]
        shown = json.loads(ours)
        assert (shown["status"], shown.get("output")) == (status, output)


@pytest.mark.parametrize("case", GENERATOR_CASES, ids=lambda case: case.replace(" ", "-"))
@pytest.mark.parametrize("name", GENERATORS)
def test_both_kinds_of_worker_stream_the_same_bytes(runs: dict[tuple[str, str], Run], name: str, case: str) -> None:
    for kind in KINDS:
        runs[name, kind].envelope(case)
    ours, theirs = (runs[name, kind].stream(case) for kind in KINDS)
    assert ours == theirs
    assert '{"output":{"number": 1, "text": "☃"}},{"output":"two"}' in ours


@pytest.mark.parametrize("kind", KINDS)
def test_a_refresh_and_a_crash_give_a_fresh_process(runs: dict[tuple[str, str], Run], kind: str) -> None:
    run = runs["plain", kind]
    pids = [run.output(key) for key in run.ids if key.startswith("pid")]
    assert len(pids) == len(set(pids)) == 3
    assert json.loads(run.envelope("crash"))["retries"] == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["cancel", "timeout"])
def test_a_stopped_handler_is_told_and_its_worker_goes_on(
    runs: dict[tuple[str, str], Run], case: str, kind: str
) -> None:
    run = runs["parallel", kind]
    run.envelope(case)
    until(run.mark(case, "stopped").exists, LATEST)
    assert not run.mark(case, "over").exists()
    workers = {run.jobs.status(run.endpoint, run.ids[key])["workerId"] for key in ("together 0", "dict", case)}
    assert len(workers) == 1


def test_a_cancel_at_the_moment_a_job_runs_stops_it(runs: dict[tuple[str, str], Run]) -> None:
    run = runs["parallel", "sdk"]
    for case in ("cancel", "timeout"):
        run.envelope(case)
    for number in range(3):
        key = f"early {number}"
        job = run.submit("wait", key)
        worker = run.jobs.runs(run.endpoint, job)
        run.jobs.cancel(run.endpoint, job)
        until(run.mark(key, "stopped").exists)
        assert run.jobs.status(run.endpoint, job)["workerId"] == worker
    after = run.submit("dict", "after")
    assert json.loads(run.jobs.ended(run.endpoint, after))["workerId"] == worker


@needs_proc
def test_a_worker_started_by_hand_serves_and_leaves(sdk: str, server: Command, tmp_path: Path) -> None:
    script = write_handlers(tmp_path, "plain")["plain"]
    printed = subprocess.run(
        [sys.executable, "-m", "runpod_emulator", "worker-env", "far", "--url", server.root_url, "--worker", "by-hand",
         "--worker-key", "worker-secret"],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=LIMIT,
    ).stdout  # fmt: skip
    shell = shutil.which("sh")
    assert shell is not None
    worker = subprocess.Popen(
        [shell, "-c", f"{printed}\nexec {sdk_command(sdk, script)}"],
        env={"PATH": os.defpath, "HOME": str(tmp_path), **server.mark},
        cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        jobs = Jobs(server)
        first = jobs.submit("far", {"case": "nap", "seconds": 0, "number": 1})
        shown = json.loads(jobs.ended("far", first))
        assert (shown["output"], shown["workerId"]) == ({"number": 1}, "by-hand")
        assert server.http.get("/far/health").json()["workers"]["idle"] == 1
        gate = tmp_path / "gate"
        last = jobs.submit("far", {"case": "progress", "gate": str(gate)})
        until(
            lambda: jobs.status("far", last).get("output")
        )  # before that it may drop the job when it is told to leave
        worker.send_signal(signal.SIGTERM)
        left = jobs.submit("far", {"case": "nap", "seconds": 0, "number": 3})
        gate.touch()
        assert json.loads(jobs.ended("far", last))["output"] == "after progress"
        assert worker.wait(LIMIT) == 0
        assert jobs.status("far", left)["status"] == "IN_QUEUE"
    finally:
        worker.kill()
        worker.wait(LIMIT)
