"""Load on a server: `wrk`, or an asyncio client where that is missing."""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

_SCRIPT = Path(__file__).with_name("load.lua")
_WRK = shutil.which("wrk")
_LONGEST = 600
"""Seconds after which load that waits for a number of answers is given up."""


def client() -> str:
    """What makes the load, for the report."""
    if _WRK is None:
        return "an asyncio client of our own (`wrk` is missing)"
    told = subprocess.run([_WRK, "--version"], stdout=subprocess.PIPE, text=True, check=False).stdout
    return " ".join(told.split()[:2])


class Load(NamedTuple):
    """What came of it."""

    answers: int
    seconds: float
    median: float
    """Seconds that one answer took."""

    @property
    def rate(self) -> float:
        """Answers in a second."""
        return self.answers / self.seconds


def load(url: str, body: bytes | None = None, *, connections: int, seconds: float = _LONGEST, count: int = 0) -> Load:
    """POST `body`, or GET without one, over and over; stops early after `count` answers, if that is given.

    Raises RuntimeError when an answer was no success, or a connection broke.
    """
    if _WRK is None:
        return asyncio.run(_asyncio_load(url, body, connections, seconds, count))
    with tempfile.NamedTemporaryFile() as file:
        file.write(body or b"")
        file.flush()
        return _wrk(url, [] if body is None else [file.name], connections, seconds, count)


def _wrk(url: str, body_file: list[str], connections: int, seconds: float, count: int) -> Load:
    assert _WRK is not None
    command = [_WRK, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "-s", str(_SCRIPT)]
    arguments = ["POST" if body_file else "GET", *(body_file or ["-"]), str(count)]
    told = subprocess.run([*command, url, "--", *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout
    result = json.loads(told.splitlines()[-1])
    if result["refused"] or result["broken"]:
        raise RuntimeError(f"{url}: {result['refused']} answers were errors, {result['broken']} never came")
    return Load(result["answers"], result["seconds"], result["median"])


class _Connection(asyncio.Protocol):
    """Asks again as soon as it has its answer. Answers must have a content-length."""

    def __init__(self, request: bytes, enough: asyncio.Event, count: int, times: list[float]) -> None:
        self._request = request
        self._enough = enough
        self._count = count
        self._times = times
        self._data = b""
        self._began = 0.0
        self._transport: asyncio.Transport | None = None
        self.problem = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, gap, content = self._data.partition(b"\r\n\r\n")
        if not gap or len(content) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            return
        self._data = b""
        self._times.append(time.perf_counter() - self._began)
        if not head.startswith(b"HTTP/1.1 200"):
            self.problem = head.partition(b"\r\n")[0].decode()
            self._enough.set()
        elif len(self._times) == self._count:
            self._enough.set()
        elif not self._enough.is_set():
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._enough.is_set():
            self.problem = f"the connection broke: {exc}"
            self._enough.set()

    def close(self) -> None:
        """Ask no more."""
        assert self._transport is not None
        self._transport.close()


async def _asyncio_load(url: str, body: bytes | None, connections: int, seconds: float, count: int) -> Load:
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    method, content = ("GET", b"") if body is None else ("POST", body)
    head = f"{method} /{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer bench\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    enough, times = asyncio.Event(), list[float]()
    loop = asyncio.get_running_loop()
    opened: list[_Connection] = []
    began = time.perf_counter()
    for _ in range(connections):
        connection = _Connection(head.encode() + content, enough, count, times)
        await loop.create_connection(lambda connection=connection: connection, name, int(port))  # type: ignore[misc]
        opened.append(connection)
    try:
        await asyncio.wait_for(enough.wait(), seconds)
    except asyncio.TimeoutError:
        enough.set()
    took = time.perf_counter() - began
    for connection in opened:
        connection.close()
    problems = [connection.problem for connection in opened if connection.problem]
    if problems:
        raise RuntimeError(f"{url}: {problems[0]}")
    return Load(len(times), took, statistics.median(times))
