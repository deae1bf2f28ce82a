"""Handlers for the official worker, and the sight of the processes that run them."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson

from tests.compat.servers import LIMIT, Command, commands, until

PLAIN = """
import os, time
import runpod


def handler(job):
    given = job["input"]
    case = given["case"]
    if case == "raised":
        raise ValueError("no luck: ☃")
    if case == "progress":
        runpod.serverless.progress_update(job, {"pct": 50, "text": "half ☃"})
        deadline = time.monotonic() + 60
        while not os.path.exists(given["gate"]) and time.monotonic() < deadline:
            time.sleep(0.01)
        return "after progress"
    if case == "pid":
        return os.getpid()
    if case == "refresh":
        return {"refresh_worker": True, "job_results": [1, 2]}
    if case == "crash":
        os._exit(3)
    if case == "nap":
        time.sleep(given["seconds"])
        return {"number": given["number"]}


runpod.serverless.start({"handler": handler})
"""

CONCURRENT = """
import asyncio, pathlib
import runpod

VALUES = {
    "dict": {"text": "ünï ☃", "float": 1.0, "big": 10**20, "small": 1e-7, "nested": {"a": [None, True]}},
    "text": 'quote " and \\\\ and \\n',
    "null": None,
    "false": False,
    "zero": 0,
    "list": [1, {"error": "inside"}],
    "empty": {},
    "empty list": [],
    "error": {"error": "no luck ☃"},
    "error and more": {"error": "no luck", "extra": 1},
    "falsy error": {"error": ""},
    "error object": {"error": {"code": 1.0, "text": "☃"}},
    "error list": {"error": ["a", 1]},
}
present = 0


async def handler(job):
    global present
    given = job["input"]
    case = given["case"]
    if case == "together":
        present += 1
        for _ in range(6000):
            if present == 4:
                break
            await asyncio.sleep(0.01)
        return {"present": present}
    if case == "wait":
        mark = pathlib.Path(given["mark"])
        mark.with_suffix(".began").touch()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            mark.with_suffix(".stopped").touch()
            raise
        mark.with_suffix(".over").touch()
    if case == "raised":
        raise ValueError("no luck: ☃")
    return VALUES[case]


runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda present: 4})
"""

GENERATOR = """
import runpod


KIND handler(job):
    case = job["input"]["case"]
    yield {"number": 1, "text": "☃"}
    yield "two"
    if case == "raised":
        raise ValueError("no luck: ☃")
    if case == "error":
        yield {"error": "no luck", "extra": 1}
    if case == "error object":
        yield {"error": {"code": 1}}
    yield None


runpod.serverless.start({"handler": handler, "return_aggregate_stream": AGGREGATE})
"""

SOURCES = {
    "plain": PLAIN,
    "parallel": CONCURRENT,
    "chunks": GENERATOR.replace("KIND", "def").replace("AGGREGATE", "False"),
    "gathered": GENERATOR.replace("KIND", "def").replace("AGGREGATE", "True"),
    "later": GENERATOR.replace("KIND", "async def").replace("AGGREGATE", "True"),
}


def write_handlers(folder: Path, *names: str) -> dict[str, Path]:
    """Handler files by name."""
    files = {name: folder / f"{name}_handler.py" for name in names or SOURCES}
    for name, file in files.items():
        file.write_text(SOURCES[name], encoding="utf-8")
    return files


def python_command(file: Path) -> str:
    """The command line of an image that holds this handler."""
    return f"{shlex.quote(sys.executable)} -u {shlex.quote(str(file))}"


class Jobs:
    """Jobs of a live server."""

    def __init__(self, server: Command) -> None:
        self._server = server

    def submit(self, endpoint: str, input: object, **more: object) -> str:
        """Hand a job in; returns its id."""
        answer = self._server.http.post(f"/{endpoint}/run", json={"input": input, **more})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def text(self, endpoint: str, job: str) -> str:
        """The body of /status."""
        answer = self._server.http.get(f"/{endpoint}/status/{job}")
        assert answer.status_code == 200, answer.text
        return answer.text

    def status(self, endpoint: str, job: str) -> dict[str, Any]:
        """The envelope."""
        envelope: dict[str, Any] = orjson.loads(self.text(endpoint, job))
        return envelope

    def is_over(self, endpoint: str, job: str) -> bool:
        """Whether the job has ended."""
        return self.status(endpoint, job)["status"] not in ("IN_QUEUE", "IN_PROGRESS")

    def ended(self, endpoint: str, job: str, limit: float = LIMIT) -> str:
        """The body of /status once the job has ended."""
        until(lambda: self.is_over(endpoint, job), limit)
        return self.text(endpoint, job)

    def runs(self, endpoint: str, job: str) -> str:
        """Wait until a worker has the job; returns the worker's id."""
        until(lambda: self.status(endpoint, job)["status"] != "IN_QUEUE")
        return str(self.status(endpoint, job)["workerId"])

    def cancel(self, endpoint: str, job: str) -> None:
        """Cancel the job."""
        assert self._server.http.post(f"/{endpoint}/cancel/{job}").json()["status"] == "CANCELLED"


def leader(server: Command, worker: str) -> int | None:
    """The process of a worker itself, not its heartbeat."""
    for pid in server.processes():
        with contextlib.suppress(OSError):
            named = f"RUNPOD_POD_ID={worker}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if named and os.getsid(pid) == pid:
                return pid
    return None


class Calls:
    """A receiver of webhooks that counts the calls of each job."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.last: dict[str, dict[str, Any]] = {}
        counting = self

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
                counting.last[body["id"]] = body
                counting.count[body["id"]] += 1
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Receive no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(LIMIT)


@contextlib.contextmanager
def receiver() -> Iterator[Calls]:
    """Webhooks that are counted."""
    calls = Calls()
    try:
        yield calls
    finally:
        calls.close()


def killable(folder: Path, workers: int) -> Iterator[Command]:
    """A server whose endpoint `ep` is served by this many official workers."""
    command = f"ep={python_command(write_handlers(folder, 'plain')['plain'])}"
    with commands(folder) as start:
        yield start(
            "serve", "--command", command, "--port", 0, "--workers-min", workers, "--workers-max", workers,
            "--no-rate-limits", RUNPOD_LOG_LEVEL="ERROR",
        ).ready()  # fmt: skip


def endure(server: Command, endpoint: str, jobs: int, kills: int, seconds: float, limit: float) -> list[dict[str, Any]]:
    """Run jobs and meanwhile kill workers that hold one; returns the last envelopes.

    Asserts that each job completed, and that its webhook was called once.
    """
    table = Jobs(server)
    with receiver() as calls:
        naps = [{"case": "nap", "seconds": seconds, "number": number} for number in range(jobs)]
        ids = [table.submit(endpoint, nap, webhook=calls.url) for nap in naps]
        struck: set[str] = set()
        unhurt = list(ids)
        while len(struck) < kills:
            until(lambda: _strike(server, table, endpoint, unhurt, struck), limit)
        until(lambda: len(calls.count) == jobs, limit)
        assert set(calls.count) == set(ids)
        envelopes = [table.status(endpoint, job) for job in ids]
        assert [envelope["status"] for envelope in envelopes] == ["COMPLETED"] * jobs
        assert [envelope["output"] for envelope in envelopes] == [{"number": number} for number in range(jobs)]
        assert {job: envelope["id"] for job, envelope in zip(ids, envelopes, strict=True)} == {job: job for job in ids}
        for envelope in envelopes:
            assert envelope.get("retries", 0) == (envelope["id"] in struck), envelope
        counters = server.http.get(f"/{endpoint}/health").json()["jobs"]
        assert counters == {"completed": jobs, "failed": 0, "inProgress": 0, "inQueue": 0, "retried": kills}
        assert set(calls.count.values()) == {1}
    return envelopes


def _strike(server: Command, table: Jobs, endpoint: str, unhurt: list[str], struck: set[str]) -> bool:
    """Kill the worker of a running job that was never struck before."""
    for job in list(unhurt):
        shown = table.status(endpoint, job)
        if shown["status"] == "IN_QUEUE":
            return False
        if shown["status"] != "IN_PROGRESS":
            unhurt.remove(job)
            continue
        pid = leader(server, shown["workerId"])
        if pid is None:
            continue
        os.kill(pid, signal.SIGSTOP)  # so that it cannot report between the look and the blow
        if table.status(endpoint, job)["status"] == "IN_PROGRESS":
            os.kill(pid, signal.SIGKILL)
            unhurt.remove(job)
            struck.add(job)
            return True
        os.kill(pid, signal.SIGCONT)
    return False
