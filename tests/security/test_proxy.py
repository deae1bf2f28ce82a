"""Clients of the proxy that are slow, endless, silent or many harm nobody else, and no page gets to the admin API."""

from __future__ import annotations

import re
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.servers import Command, Starter, until
from tests.security.sockets import MIB, PATIENCE, Bystander, memory, read_all, send_until_refused
from tests.timing import expect_within, timed

pytestmark = pytest.mark.compat

STALL = 0.25
"""Seconds that another client may have to wait on a machine with much else to do."""
CONNECT = b"CONNECT api.runpod.ai:443 HTTP/1.1\r\nHost: api.runpod.ai:443\r\n\r\n"
GET = b"GET http://api.runpod.ai/v2/far/health HTTP/1.1\r\nHost: x\r\nAuthorization: k\r\n\r\n"


@pytest.fixture
def server(start: Starter, tmp_path: Path) -> Command:
    """Serves `far`, whose workers are started elsewhere, with a proxy."""
    quiet = ("--log-level", "error", "--no-rate-limits")
    words = ("serve", "--endpoint", "far", "--port", 0, "--proxy", 0, "--tls-folder", tmp_path / "tls", *quiet)
    return start(*words).ready()


def dial(server: Command) -> socket.socket:
    """A connection to the proxy."""
    found = re.search(r"proxy +http://127\.0\.0\.1:(\d+)", server.out.text)
    assert found is not None
    return socket.create_connection(("127.0.0.1", int(found[1])), PATIENCE)


def asked(server: Command, data: bytes) -> bytes:
    """What the proxy answers."""
    with dial(server) as connection:
        connection.sendall(data)
        return read_all(connection)


def endless_head() -> Iterator[bytes]:
    yield b"GET http://api.runpod.ai/ HTTP/1.1\r\nHost: x\r\nLong: "
    yield from [b"y" * MIB] * 300


def endless_target() -> Iterator[bytes]:
    yield b"CONNECT "
    yield from [b"y" * MIB] * 300


def endless_nothing() -> Iterator[bytes]:
    yield from [b"\r\n" * (MIB // 2)] * 300


@timed
@pytest.mark.parametrize("parts", [endless_head, endless_target, endless_nothing])
def test_an_endless_head_is_cut_off(server: Command, parts: object) -> None:
    before = memory(server)
    with Bystander(server) as other, dial(server) as connection:
        assert callable(parts)
        assert send_until_refused(connection, parts()) < 64 * MIB  # most of it lies in the buffers of the system
    assert memory(server) - before < 16 * MIB
    expect_within(other.longest, STALL)
    assert asked(server, GET).startswith(b"HTTP/1.1 200 ")


@timed
def test_many_connections_leave_room_for_the_server_itself(server: Command) -> None:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[socket.socket] = []
    with Bystander(server) as other:
        for _ in range(min(400, max(16, limit // 4))):
            held.append(dial(server))
            held[-1].sendall(CONNECT)
    expect_within(other.longest, STALL)
    with Bystander(server) as still:
        pass
    assert still.answers
    for connection in held:
        connection.close()
    until(lambda: asked(server, GET).startswith(b"HTTP/1.1 200 "))


def test_slow_and_silent_clients_are_not_waited_for_at_the_end(server: Command) -> None:
    held = [dial(server) for _ in range(20)]
    for connection, said in zip(held, (b"", b"CONN", CONNECT, CONNECT + b"\x16\x03\x01", GET[:-2]) * 4, strict=True):
        connection.sendall(said)
    assert asked(server, GET).startswith(b"HTTP/1.1 200 ")
    assert server.stop(signal.SIGTERM) == 0
    for connection in held:
        read_all(connection)
        connection.close()
    assert "Traceback" not in server.err.whole()
    assert "never retrieved" not in server.err.text


@pytest.mark.parametrize(
    "head",
    [
        b"GET http://127.0.0.1:%d/__emulator/jobs HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n",
        b"GET http://localhost:%d/__emulator/jobs HTTP/1.1\r\nHost: localhost:%d\r\n\r\n",
        b"GET http://api.runpod.ai/__emulator/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nX: %d%d\r\n\r\n",
        b"GET http://api.runpod.ai/__emulator/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: x\r\nX: %d%d\r\n\r\n",
        b"GET /__emulator/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nX: %d%d\r\n\r\n",
    ],
)
@pytest.mark.parametrize("passes", [False, True])
def test_no_page_reaches_the_admin_api_through_it(start: Starter, tmp_path: Path, head: bytes, passes: bool) -> None:
    words = ("serve", "--mock", "m", "--port", 0, "--proxy", 0, "--tls-folder", tmp_path / "tls")
    server = start(*words, *(["--proxy-pass"] if passes else [])).ready()
    port = int(server.root_url.rpartition(":")[2])
    status = asked(server, head % (port, port)).split()[1]
    assert status in (b"400", b"403")


def test_it_is_on_this_machine_alone(start: Starter, tmp_path: Path) -> None:
    everywhere = ("--host", "0.0.0.0", "--api-key", "k")
    server = start("serve", "--mock", "m", *everywhere, "--port", 0, "--proxy", 0, "--tls-folder", tmp_path).ready()
    with dial(server) as connection:
        port = connection.getpeername()[1]
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert [
        address for address in listening if address.endswith(f":{port:04X}") and address.startswith("00000000")
    ] == []
    assert asked(server, GET.replace(b"/far/", b"/m/")).startswith(b"HTTP/1.1 200 ")
