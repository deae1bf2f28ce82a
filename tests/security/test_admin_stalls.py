"""What the admin API is asked, with much to tell: nobody else waits for it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from runpod_emulator.doors.admin.happenings import KINDS

from tests.compat.servers import Command, Starter, commands
from tests.security.stalls import LONGEST, Prober
from tests.timing import expect_within, timed

pytestmark = pytest.mark.compat
JOBS, REQUESTS = 100_000, 10_000


def flood(server: Command, endpoint: str, count: int, body: bytes) -> None:
    """Hand in so many jobs, many at a time."""
    host, _, port = server.root_url.removeprefix("http://").partition(":")
    head = (
        f"POST /v2/{endpoint}/run HTTP/1.1\r\nHost: {host}\r\nAuthorization: k\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    one, left = head.encode() + body, count
    with socket.create_connection((host, int(port)), 60) as connection:
        while left:
            batch = min(left, max(1, min(50, 60_000 // len(body))))
            connection.sendall(one * batch)
            told = b""
            while told.count(b"HTTP/1.1 200") < batch or not told.endswith(b"}"):
                part = connection.recv(1 << 20)
                assert part, "the server has hung up"
                told += part
            left -= batch


def ask(url: str, body: object) -> str:
    """The status of an answer that another process reads: here it would hold up the prober."""
    told = [] if body is None else ["-H", "Content-Type: application/json", "-d", json.dumps(body)]
    asked = ["curl", "-s", "-o", os.devnull, "-w", "%{http_code}", *told, url]
    return subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True).stdout


@timed
@pytest.mark.parametrize("path", ["/__emulator/stubs", "/docs", "/openapi.json"])
def test_the_first_request_holds_up_nobody(start: Starter, path: str):
    server = start("serve", "--mock", "ep", "--port", "0").ready()
    with Prober(server.root_url, "ep") as prober:
        answers = [server.http.get(server.root_url + path) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    expect_within(prober.longest, LONGEST)
    print(f"{path}: longest stall {prober.longest * 1000:.0f} ms")


class TestWithManyJobs:
    @pytest.fixture(scope="class")
    @classmethod
    def server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
        with commands(tmp_path_factory.mktemp("many")) as start:
            server = start("serve", "--mock", "ep", "--port", "0", "--no-rate-limits", "--log-level", "warning").ready()
            server.http.get(f"{server.root_url}/__emulator/stubs")
            server.http.post(f"{server.root_url}/__emulator/stubs", json={"endpoint": "ep", "respond": {"never": True}})
            flood(server, "ep", JOBS - REQUESTS, b'{"input":{"a":1}}')
            flood(server, "ep", REQUESTS, json.dumps({"input": {"text": "x" * 60_000}}).encode())
            yield server

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/jobs?limit=1", None),
            ("/jobs?limit=1&offset=99999", None),
            ("/jobs?limit=100000", None),
            ("/jobs?status=COMPLETED", None),
            ("/requests?limit=10000", None),
            ("/requests?operation=status", None),
            ("/requests/find", {"body": {"input": {"text": "y"}}}),
            ("/requests/verify", {"match": {"body": {"input": {"text": "y"}}, "headers": {"x": "y"}}}),
            ("/wait", {"status": "COMPLETED", "timeout": 100}),
            ("/webhooks", None),
            ("/hooks", None),
            ("/reset", {}),
        ],
    )
    def test_no_question_holds_up_others(self, server: Command, path: str, body: object):
        url = f"{server.root_url}/__emulator{path}"
        longest = []
        for _ in range(1 if path == "/reset" else 3):  # a busy machine stalls anybody now and then, a fault each time
            with Prober(server.root_url, "ep") as prober:
                assert ask(url, body) in ("200", "204")
            longest.append(prober.longest)
            if prober.longest < LONGEST:
                break
        print(f"{path}: longest stall {min(longest) * 1000:.0f} ms")
        assert min(longest) < LONGEST


@pytest.mark.parametrize("count", [20])
def test_a_stop_with_unread_event_feeds_is_quick_and_quiet(start: Starter, count: int):
    server = start("serve", "--mock", "ep", "--port", "0", "--no-rate-limits", "--log-level", "warning").ready()
    server.http.post(f"{server.root_url}/__emulator/stubs", json={"endpoint": "ep", "respond": {"output": 1}})
    host, _, port = server.root_url.removeprefix("http://").partition(":")
    feeds = [socket.create_connection((host, int(port)), 60) for _ in range(count)]
    for feed in feeds:
        feed.sendall(f"GET /__emulator/events?kinds={','.join(KINDS)} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert feed.recv(1)  # it has begun
    flood(server, "ep", 10_000, b'{"input":{"a":1}}')
    began = time.monotonic()
    assert server.stop() == 0
    print(f"stop: {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 5
    assert "Traceback" not in server.err.whole()
    for feed in feeds:
        feed.close()


def test_a_stop_with_an_unread_stream_is_quick_and_quiet(start: Starter):
    server = start("serve", "--mock", "ep", "--port", "0", "--no-rate-limits", "--log-level", "warning").ready()
    stub = {"endpoint": "ep", "respond": {"stream": ["x" * 900_000] * 40, "never": True}}
    server.http.post(f"{server.root_url}/__emulator/stubs", json=stub)
    host, _, port = server.root_url.removeprefix("http://").partition(":")
    readers = []
    for _ in range(5):
        job = server.http.post("/ep/run", json={"input": {}}).json()["id"]
        for path, accept in ((f"stream/{job}", "text/event-stream"), (f"stream/{job}", "*/*")):
            reader = socket.create_connection((host, int(port)), 60)
            lines = f"Host: {host}\r\nAuthorization: k\r\nAccept: {accept}\r\n\r\n"
            reader.sendall(f"GET /v2/ep/{path} HTTP/1.1\r\n{lines}".encode())
            readers.append(reader)
        assert readers[-2].recv(1)
    began = time.monotonic()
    assert server.stop() == 0
    print(f"stop: {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 5
    assert "Traceback" not in server.err.whole()
    for reader in readers:
        reader.close()
