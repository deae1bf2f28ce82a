"""Servers in processes of their own: the emulator, and the peers that it is measured against."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.load import Load, load

ROOT = Path(__file__).resolve().parents[2]
ECHO = ROOT / "handlers" / "echo.py"
STUB = Path(__file__).with_name("served") / "stub.yaml"
"""Answers every job of endpoint `stub`."""
BODY = b'{"input": {"message": "hello"}}'
LIMIT = 60.0
"""Seconds that a server may take to start, or to be through with its jobs."""
_HEADERS = {"Authorization": "Bearer bench", "Content-Type": "application/json"}


class Client:
    """One that keeps its connection, as clients with a session do."""

    def __init__(self, port: int, path: str) -> None:
        self.path = path
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The content of one answer, which must be 200."""
        self._connection.request(method, path, body, _HEADERS)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {content[:200]!r}")
        return content

    def ask_json(self, method: str, path: str, body: Any = None) -> Any:
        """The same in Python objects."""
        return json.loads(self.ask(method, path, None if body is None else json.dumps(body).encode()))

    def close(self) -> None:
        """Give the connection up."""
        self._connection.close()


@dataclass(frozen=True)
class Server:
    """One that answers."""

    pid: int
    port: int
    path: str = ""
    """Where a job, or what stands for one, is handed in."""

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client that keeps its connection."""
        client = Client(self.port, self.path)
        try:
            yield client
        finally:
            client.close()

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """The content of one answer, which must be 200."""
        with self.client() as client:
            return client.ask(method, path, body)

    def ask_json(self, method: str, path: str, body: Any = None) -> Any:
        """The same in Python objects."""
        with self.client() as client:
            return client.ask_json(method, path, body)

    def load(self, path: str = "", body: bytes | None = BODY, *, warm: bool = True, **options: Any) -> Load:
        """Load on one path, which is tried once; `warm` is for a second of load before, whose jobs are waited for."""
        path = path or self.path
        self.ask("GET" if body is None else "POST", path, body)
        if warm:
            load(self.url(path), body, connections=options["connections"], seconds=1)
            self.until_idle(path)
        return load(self.url(path), body, **options)

    def url(self, path: str) -> str:
        """The whole URL of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def until_idle(self, path: str) -> int:
        """Wait until every job of the path's endpoint has ended; returns how many have. Other servers have none."""
        if not path.startswith("/v2/"):
            return 0
        until = time.monotonic() + 10 * LIMIT
        while time.monotonic() < until:
            jobs = self.ask_json("GET", f"/v2/{path.split('/')[2]}/health")["jobs"]
            if not jobs["inQueue"] and not jobs["inProgress"]:
                return int(jobs["completed"])
            time.sleep(0.02)
        raise RuntimeError("jobs are left")


@contextmanager
def process(*command: str, quiet: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A command in the project's folder, ended afterwards; `quiet` is for one whose log nobody reads."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
    running = subprocess.Popen(
        command, cwd=ROOT, env={**clean, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if quiet else None,
    )  # fmt: skip
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def free_port() -> int:
    """A port that nobody has just now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def until_answer(port: int, path: str) -> None:
    """Wait for the first 200 of a path, asked for every 2 ms."""
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.002)
    raise RuntimeError(f"no answer from port {port}")


def emulator_command(*arguments: str) -> list[str]:
    """`serve` with these arguments, and without limits on the number of requests and jobs."""
    command = [sys.executable, "-m", "runpod_emulator", "serve", "--config", os.devnull]
    return [*command, "--no-rate-limits", "--set", "queue_limit_rule=false", *arguments]


def peer_command(name: str, port: int) -> list[str]:
    """A peer of `peers.py`."""
    return [sys.executable, "-m", "tests.bench.peers", name, str(port)]


def sdk_command(port: int) -> list[str]:
    """The official SDK's own local server."""
    return [sys.executable, str(ECHO), "--rp_serve_api", "--rp_api_host", "127.0.0.1", "--rp_api_port", str(port)]


@contextmanager
def emulator(*arguments: str, path: str = "", log: str = "error") -> Iterator[Server]:
    """The emulator, ready, with the handlers that the arguments name."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "port"
        where = ["--port", "0", "--port-file", str(file), "--log-level", log]
        with process(*emulator_command(*arguments, *where), quiet=log == "info") as running:
            while not file.exists():
                if running.poll() is not None:
                    raise RuntimeError("the emulator did not start")
                time.sleep(0.01)
            yield Server(running.pid, int(file.read_text()), path)


def worker(verb: str, log: str = "error") -> AbstractContextManager[Server]:
    """The emulator with one worker process that echoes."""
    return emulator(str(ECHO), "--workers-min", "1", "--workers-max", "1", path=f"/v2/echo/{verb}", log=log)


def stub(verb: str) -> AbstractContextManager[Server]:
    """The emulator with a stub."""
    return emulator("--mock", "stub", "--stubs", str(STUB), path=f"/v2/stub/{verb}")


@contextmanager
def _peer(command: Callable[[int], list[str]], ready: str, path: str) -> Iterator[Server]:
    port = free_port()
    with process(*command(port), quiet=True) as running:
        until_answer(port, ready)
        yield Server(running.pid, port, path)


def peer(name: str) -> AbstractContextManager[Server]:
    """The bare route of `starlette` or `fastapi`, or the `receiver` of webhooks."""
    return _peer(lambda port: peer_command(name, port), "/", "/run")


def sdk() -> AbstractContextManager[Server]:
    """The official SDK's own local server: the handler in its process, no queue."""
    return _peer(sdk_command, "/", "/runsync")
