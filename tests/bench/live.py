"""A live server for benchmarks, and a client that adds little of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench import servers
from tests.bench.servers import ECHO, ROOT


@contextmanager
def server(*arguments: str) -> Iterator[int]:
    """A server with the examples on a free port, which is what it gives."""
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        command = [sys.executable, "-m", "runpod_emulator", "serve", str(ECHO), "--port", "0"]
        process = subprocess.Popen(
            [*command, "--port-file", str(port_file), "--no-rate-limits", "--log-level", "error", *arguments],
            stdout=subprocess.DEVNULL,
            cwd=ROOT,
        )
        try:
            while not port_file.exists():
                if process.poll() is not None:
                    raise RuntimeError("the server did not start")
                time.sleep(0.01)
            yield int(port_file.read_text())
        finally:
            process.terminate()
            process.wait()


class Client:
    """One connection that is kept, and how long its requests take."""

    def __init__(self, port: int) -> None:
        self._kept = servers.Client(port, "")

    def post(self, path: str, body: dict[str, object]) -> float:
        """Seconds that one POST took."""
        return self.ask("POST", path, json.dumps(body).encode())

    def ask(self, method: str, path: str, body: bytes | None = None) -> float:
        """Seconds that one request took."""
        began = time.perf_counter()
        self._kept.ask(method, path, body)
        return time.perf_counter() - began

    def read(self, path: str) -> str:
        """What one GET answers."""
        return self._kept.ask("GET", path).decode()
