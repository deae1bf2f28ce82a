"""One connection can make the server neither big nor slow, and a client that has said all it has to say is answered."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator
from threading import Thread

import pytest

from tests.compat.servers import Command, Starter, until
from tests.security.sockets import MIB, Bystander, connect, memory, read_all, request, send_until_refused
from tests.timing import expect_within, timed

pytestmark = pytest.mark.compat

STALL = 0.25
"""Seconds that another client may have to wait on a machine with much else to do; seen: 0.01."""
TOO_LONG = b"HTTP/1.1 431 "
JOB = b'{"input":{"x":1}}'


@pytest.fixture
def server(start: Starter) -> Command:
    """Serves `far`, whose workers are started elsewhere."""
    return start("serve", "--endpoint", "far", "--port", 0, "--log-level", "error", "--no-rate-limits").ready()


def one_long_header() -> Iterator[bytes]:
    yield b"GET / HTTP/1.1\r\nhost: x\r\nlong: "
    yield from [b"y" * MIB] * 300


def many_headers() -> Iterator[bytes]:
    yield b"GET / HTTP/1.1\r\nhost: x\r\n"
    for number in range(300):
        yield b"".join(b"x-%d-%d: some value\r\n" % (number, one) for one in range(50_000))


def a_long_line() -> Iterator[bytes]:
    yield b"GET /"
    yield from [b"y" * MIB] * 300


def a_long_method() -> Iterator[bytes]:
    yield from [b"Y" * MIB] * 300


def empty_lines() -> Iterator[bytes]:
    yield from [b"\r\n" * (MIB // 2)] * 300


def trailers() -> Iterator[bytes]:
    yield b"POST /v2/far/run HTTP/1.1\r\nhost: x\r\nauthorization: k\r\ntransfer-encoding: chunked\r\n\r\n"
    yield b"2\r\n{}\r\n0\r\n"
    for number in range(300):
        yield b"".join(b"x-%d-%d: some value\r\n" % (number, one) for one in range(50_000))


def an_upgrade() -> Iterator[bytes]:
    yield b"GET /lb/web/ HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
    yield b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nlong: "
    yield from [b"y" * MIB] * 300


HEADS = [one_long_header, many_headers, a_long_line, a_long_method, empty_lines, trailers, an_upgrade]


@timed
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.__name__)
def test_300_mb_of_head_are_refused_at_once(server: Command, head: Callable[[], Iterator[bytes]]):
    before = memory(server)
    with Bystander(server) as other, connect(server) as connection:
        sent = send_until_refused(connection, head())
        answer = read_all(connection)
    assert answer == b"" or answer.startswith((TOO_LONG, b"HTTP/1.1 400 "))
    assert sent < 50 * MIB
    assert memory(server) - before < 20 * MIB
    expect_within(other.longest, STALL)


def head_of(length: int, shape: str) -> bytes:
    """A head of so many bytes, which asks for the health of an endpoint."""
    begin, end = b"GET /v2/far/health?%b HTTP/1.1\r\nhost: x\r\nauthorization: k\r\n", b"\r\n"
    room = length - len(begin % b"") - len(end)
    if shape == "line":
        return begin % (b"y" * room) + end
    if shape == "header":
        return begin % b"" + b"long: " + b"y" * (room - 8) + b"\r\n" + end
    count, rest = divmod(room, 100)
    return begin % b"" + b"n: " + b"y" * (95 + rest) + b"\r\n" + (b"n: " + b"y" * 95 + b"\r\n") * (count - 1) + end


@pytest.mark.parametrize("shape", ["line", "header", "headers"])
def test_64_kib_of_head_are_the_most(server: Command, shape: str):
    for length, status in ((65_536, b"200"), (65_537, b"431"), (200_000, b"431")):
        for size in (len(head_of(length, shape)), 1_000):
            with connect(server) as connection:
                head = head_of(length, shape)
                pieces = (head[start : start + size] for start in range(0, len(head), size))
                send_until_refused(connection, pieces)
                connection.shutdown(socket.SHUT_WR)
                answer = read_all(connection)
            assert answer.startswith(b"HTTP/1.1 " + status), (length, size, answer[:100])


def test_what_is_refused_waits_for_the_answers_before_it(server: Command):
    with connect(server) as connection:
        connection.sendall(request("POST", "/v2/far/runsync?wait=1000", JOB) + head_of(66_000, "header"))
        answers = read_all(connection)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"431"]
    with connect(server) as connection:
        connection.sendall(request("GET", "/v2/far/health") * 3 + b"nonsense\r\n\r\n")
        answers = read_all(connection)
    assert re.findall(rb"HTTP/1.1 (\d+)", answers) == [b"200", b"200", b"200", b"400"]


@timed
@pytest.mark.parametrize("path", ["/v2/far/health", "/openapi.json"])
def test_answers_that_nobody_reads_stop_the_reading(server: Command, path: str):
    server.http.get(server.root_url + path)
    before = memory(server)
    flood = request("GET", path) * 1_000
    with Bystander(server) as other, connect(server) as connection:
        connection.settimeout(1)
        sent = send_until_refused(connection, (flood for _ in range(2_000)))
    assert sent < 30 * MIB  # what the system's own buffers hold
    assert memory(server) - before < 30 * MIB
    expect_within(other.longest, STALL)


@timed
@pytest.mark.parametrize("body", [b"", b"x" * 8 * MIB], ids=["many", "large"])
def test_requests_behind_a_held_one_are_not_taken_without_end(server: Command, body: bytes):
    before = memory(server)
    flood = request("POST", "/v2/far/run", body) * (1 if body else 5_000)
    with Bystander(server) as other, connect(server) as connection:
        connection.sendall(request("POST", "/v2/far/runsync", JOB))
        connection.settimeout(1)
        sent = send_until_refused(connection, (flood for _ in range(50)))
    assert sent < 30 * MIB
    assert memory(server) - before < 30 * MIB
    expect_within(other.longest, STALL)


@pytest.mark.parametrize("size", [1, 100, 10_000, 10_000_000])
def test_10_000_requests_on_one_connection_are_all_answered_in_order(server: Command, size: int):
    count = 50 if size == 1 else 300 if size == 100 else 10_000
    paths = [f"/v2/far/status/{number:05}" for number in range(count)]
    sent = b"".join(request("GET", path) for path in paths)
    with connect(server) as connection:

        def write() -> None:
            for start in range(0, len(sent), size):
                connection.sendall(sent[start : start + size])
            connection.shutdown(socket.SHUT_WR)

        writer = Thread(target=write)
        writer.start()
        answers = read_all(connection)
        writer.join(20)
    assert answers.count(b"HTTP/1.1 404 ") == count


def test_large_bodies_in_a_row_arrive_whole(server: Command):
    bodies = [b'{"input":{"x":"%b"}}' % (b"%d" % number * 3 * MIB) for number in range(3)]
    with connect(server) as connection:
        connection.sendall(b"".join(request("POST", "/v2/far/run", body) for body in bodies))
        until(lambda: server.http.get("/far/health").json()["jobs"]["inQueue"] == 3)
    taken = [server.http.get("/far/job-take/w").json()["input"] for _ in bodies]
    assert [json.dumps({"input": one}, separators=(",", ":")).encode() for one in taken] == bodies


def take(server: Command) -> str:
    """The id of the job that a worker gets."""
    return str(server.http.get("/far/job-take/w").json()["id"])


def queued(server: Command) -> int:
    """Jobs that wait."""
    return int(server.http.get("/far/health").json()["jobs"]["inQueue"])


@pytest.mark.parametrize("before", [0, 2])
@pytest.mark.parametrize("path", ["/v2/far/runsync", "/v2/far/status-sync/", "/v2/far/stream/", "/v2/far/openai/v1/x"])
def test_a_client_that_sends_no_more_gets_its_answer(server: Command, path: str, before: int):
    job = "" if not path.endswith("/") else server.http.post("/far/run", content=JOB).json()["id"]
    with connect(server) as connection:
        body = b"" if job else JOB
        connection.sendall(
            request("GET", "/v2/far/health") * before + request("GET" if job else "POST", path + job, body)
        )
        connection.shutdown(socket.SHUT_WR)
        until(lambda: queued(server) == 1)
        taken = take(server)
        server.http.post(f"/far/job-stream/w/{taken}", content=b'{"output": "part"}')
        server.http.post(f"/far/job-done/w/{taken}", content=b'{"output": ["the result"]}')
        answer = read_all(connection)
    assert answer.count(b"HTTP/1.1 200 ") == before + 1
    assert b"the result" in answer or (b"part" in answer and "stream" in path)


def test_a_client_of_http_1_0_that_sends_no_more_gets_its_answer(server: Command):
    with connect(server) as connection:
        connection.sendall(b"GET /v2/far/health HTTP/1.0\r\nauthorization: k\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")


def test_half_a_request_is_not_waited_for(server: Command):
    for part in (b"GET /v2/far/heal", request("POST", "/v2/far/run", JOB)[:-3]):
        with connect(server) as connection:
            connection.sendall(part)
            connection.shutdown(socket.SHUT_WR)
            assert read_all(connection) == b""


@pytest.mark.parametrize("leave", [socket.socket.close, lambda one: one.shutdown(socket.SHUT_WR)], ids=["gone", "half"])
def test_a_worker_that_sends_no_more_gets_no_job(server: Command, leave: Callable[[socket.socket], None]):
    connection = connect(server)
    connection.sendall(request("GET", "/v2/far/job-take/w1"))
    until(lambda: server.http.get("/far/metrics").json()["readyWorkers"] == ["w1"])
    leave(connection)
    with connect(server) as other:  # what follows on the loop comes after the leaving
        other.sendall(request("GET", "/v2/far/health"))
        assert other.recv(MIB)
    server.http.post("/far/run", content=JOB)
    assert queued(server) == 1
    connection.close()


def test_a_client_that_has_left_is_not_waited_for(server: Command):
    job = server.http.post("/far/run", content=JOB).json()["id"]
    with connect(server) as connection:
        connection.sendall(request("GET", f"/v2/far/stream/{job}"))
        with connect(server) as other:
            other.sendall(request("GET", "/v2/far/health"))
            assert other.recv(MIB)
    taken = take(server)
    server.http.post(f"/far/job-stream/w/{taken}", content=b'{"output": "part"}')
    assert server.http.get(f"/far/stream/{job}").json()["stream"] == [{"output": "part"}]


def test_who_is_refused_is_not_waited_for(start: Starter):
    server = start("serve", "--endpoint", "far", "--port", 0, "--api-key", "k").ready()
    with connect(server) as slow:
        slow.sendall(b"POST /v2/far/run HTTP/1.1\r\nhost: localhost\r\ncontent-length: 60000\r\n\r\n" + b"x" * 1000)
        slow.settimeout(5)
        assert slow.recv(MIB).startswith(b"HTTP/1.1 401 ")
        (entry,) = server.http.get(server.root_url + "/__emulator/requests?limit=1").json()["requests"]
        reason = "it had not come when the request was answered"
        assert entry["bodyCut"] == {"bytes": 60_000, "kept": 1_000, "reason": reason}
        slow.sendall(b"x" * 59_000 + b"GET /v2/far/health HTTP/1.1\r\nhost: localhost\r\nauthorization: k\r\n\r\n")
        assert slow.recv(MIB).startswith(b"HTTP/1.1 200 ")
