"""The proxy: what leads to the server, what is refused and how, and that nobody is harmed by anybody."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.errors import PortTaken
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.server import proxy as proxy_file
from runpod_emulator.server import proxy_head
from runpod_emulator.server.proxy import Caught
from runpod_emulator.server.server import Server
from runpod_emulator.server.tls import SERVICE, Authority
from runpod_emulator.testing import Emulator

from tests.compat.servers import LIMIT
from tests.tables import table
from tests.waits import until
from tests.workers.processes import needs_proc

Opener = Callable[..., Server]
GET = b"GET http://api.runpod.ai/v2/llm/health HTTP/1.1\r\nHost: api.runpod.ai\r\nAuthorization: k\r\n\r\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authority of all servers here."""
    return tmp_path_factory.mktemp("tls")


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[Opener]:
    """Servers of the mock endpoint `llm` with a proxy on a free port, stopped at the end."""
    opened: list[Server] = []

    def open_one(**settings: Any) -> Server:
        given = {"port": 0, "proxy": 0, "tls_folder": folder, "mock": ["llm"], "config": os.devnull, **settings}
        opened.append(Server(read_settings(**given)))
        return opened[-1]

    yield open_one
    for one in opened:
        if not one.is_closed:
            await asyncio.wait_for(one.stop(), LIMIT)


class Elsewhere(NamedTuple):
    """A web server that is none of ours; `heads` are what it was asked."""

    port: int
    heads: list[bytes]


@pytest.fixture
async def elsewhere(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Elsewhere]:
    """A server that `example.test` stands for; it answers each request, and says its bytes again in a tunnel."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(65536)
        heads.append(first)
        is_http = b" HTTP/1." in first
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello" if is_http else first)
        if not is_http:
            await reader.read(65536)
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    opening = asyncio.open_connection

    async def found(host: str, number: int, **options: Any) -> Any:
        return await opening("127.0.0.1" if host == "example.test" else host, number, **options)

    monkeypatch.setattr(asyncio, "open_connection", found)
    monkeypatch.setattr(proxy_file, "_is_here", lambda side: False)
    yield Elsewhere(port, heads)
    listening.close()


def port_of(server: Server) -> int:
    assert server.proxy_url is not None
    return int(server.proxy_url.rpartition(":")[2])


async def dial(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port_of(server))


async def said(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(), LIMIT)


async def ask(server: Server, data: bytes) -> bytes:
    """All that the proxy answers to these bytes."""
    reader, writer = await dial(server)
    writer.write(data)
    answer = await said(reader)
    writer.close()
    return answer


async def tunnel(
    server: Server, address: str = "api.runpod.ai:443"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A tunnel in which nothing was said yet."""
    reader, writer = await dial(server)
    writer.write(f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    assert (
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT) == b"HTTP/1.1 200 Connection established\r\n\r\n"
    )
    return reader, writer


def running(server: Server) -> int:
    """How many connections the proxy has."""
    proxy = server._listeners.proxy
    assert proxy is not None
    return len(proxy._tasks)


def client_of(server: Server, folder: Path, **options: Any) -> httpx.AsyncClient:
    """A client that goes through the proxy, and trusts the authority."""
    trusted = ssl.create_default_context(cafile=Authority(folder).ca_file)
    given = {"headers": {"Authorization": "k"}, "timeout": LIMIT, "trust_env": False, "verify": trusted, **options}
    return httpx.AsyncClient(proxy=server.proxy_url, **given)


def problem(answer: bytes) -> tuple[int, str]:
    """Status and detail of a refusal."""
    head, _, body = answer.partition(b"\r\n\r\n")
    found = json.loads(body)
    assert b"content-type: application/problem+json" in head
    assert int(head.split()[1]) == found["status"]
    assert set(found) == {"status", "title", "detail"}
    return found["status"], found["detail"]


# What leads to the server


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_the_address_of_production_leads_here(server: Opener, folder: Path, scheme: str) -> None:
    one = server()
    await one.start()
    async with client_of(one, folder) as client:
        url = f"{scheme}://api.runpod.ai/v2/llm"
        job = (await client.post(f"{url}/run", json={"input": {"a": 1}})).json()["id"]
        assert (await client.get(f"{url}/status/{job}")).json()["id"] == job
        assert (await client.get(f"{url}/health")).status_code == 200
    assert job in [found.id for found in (await one.emulator.store.recent("llm", 0, 9))[0]]


@pytest.mark.parametrize(
    "url", ["https://api.runpod.io/v2/serverless", "https://rest.runpod.io/v1/pods", "https://own.test/"]
)
async def test_every_host_of_the_service_and_of_the_option_has_its_certificate(
    server: Opener, folder: Path, url: str
) -> None:
    one = server(proxy_host=["own.test"])
    await one.start()
    async with client_of(one, folder) as client:
        assert (await client.get(url)).status_code in (200, 404, 501)


async def test_one_label_names_a_load_balancing_endpoint(server: Opener, folder: Path) -> None:
    one = server(load_balancer=["lb=python -m http.server $PORT"], workers_max=0)
    await one.start()
    async with client_of(one, folder, headers={}) as client:
        answer = await client.get("https://lb.api.runpod.ai/whatever")
    assert (answer.status_code, answer.json()["detail"]) == (401, "no token provided")


async def test_a_url_of_https_is_served_without_a_tunnel_too(server: Opener) -> None:
    """Some libraries send the whole URL to a proxy whatever its scheme is."""
    one = server()
    await one.start()
    assert (await ask(one, GET.replace(b"http://", b"https://"))).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_tunnel_to_port_80_is_plain(server: Opener) -> None:
    one = server()
    await one.start()
    reader, writer = await tunnel(one, "api.runpod.ai:80")
    writer.write(GET.replace(b"http://api.runpod.ai", b"").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    assert (await said(reader)).startswith(b"HTTP/1.1 200 OK\r\n")
    writer.close()


async def test_the_first_words_in_a_tunnel_may_come_with_its_head(server: Opener) -> None:
    one = server()
    await one.start()
    inside = b"GET /v2/llm/health HTTP/1.1\r\nHost: api.runpod.ai\r\nAuthorization: k\r\nConnection: close\r\n\r\n"
    answer = await ask(one, b"CONNECT api.runpod.ai:80 HTTP/1.1\r\nHost: x\r\n\r\n" + inside)
    assert b"\r\n\r\nHTTP/1.1 200 OK\r\n" in answer


async def test_a_large_body_arrives_whole(server: Opener, folder: Path) -> None:
    one = server()
    await one.start()
    given = {"text": "x" * 5_000_000}
    async with client_of(one, folder) as client:
        for scheme in ("https", "http"):
            job = (await client.post(f"{scheme}://api.runpod.ai/v2/llm/run", json={"input": given})).json()["id"]
            kept = await one.emulator.store.get("llm", job)
            assert kept is not None and len(kept.input) > 5_000_000


@table(
    ("names", "host", "is_caught"),
    [
        (SERVICE, "api.runpod.ai", True),
        (SERVICE, "ep-1.api.runpod.ai", True),
        (SERVICE, "a.b.api.runpod.ai", False),
        (SERVICE, "runpod.ai", False),
        (SERVICE, "www.runpod.ai", False),
        (SERVICE, "api.runpod.ai.evil.test", False),
        (SERVICE, "xapi.runpod.ai", False),
        (("*.own.test",), "x.own.test", True),
        (("*.own.test",), "own.test", False),
    ],
)
def test_which_hosts_are_the_services(names: tuple[str, ...], host: str, is_caught: bool) -> None:
    assert Caught(names).have(host) is is_caught


# What is refused


REFUSED: list[tuple[bytes, int, str]] = [
    (b"CONNECT example.test:443 HTTP/1.1\r\nHost: x\r\n\r\n", 403, "--proxy-pass"),
    (b"GET http://example.test/ HTTP/1.1\r\nHost: x\r\n\r\n", 403, "--proxy-host NAME"),
    (b"CONNECT api.runpod.ai HTTP/1.1\r\nHost: x\r\n\r\n", 400, "api.runpod.ai:443"),
    (b"CONNECT api.runpod.ai: HTTP/1.1\r\nHost: x\r\n\r\n", 400, "names no host with a port"),
    (b"CONNECT :443 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "names no host with a port"),
    (b"CONNECT api.runpod.ai:99999 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "there is no port 99999"),
    (b"CONNECT api.runpod.ai:0 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "there is no port 0"),
    (b"CONNECT api.runpod.ai:8443 HTTP/1.1\r\nHost: x\r\n\r\n", 403, "served on 443"),
    (b"GET http://api.runpod.ai:8000/ HTTP/1.1\r\nHost: x\r\n\r\n", 403, "served on 443"),
    (b"CONNECT 127.0.0.1:8000 HTTP/1.1\r\nHost: x\r\n\r\n", 403, "NO_PROXY=127.0.0.1,localhost,::1"),
    (b"CONNECT [::1]:8000 HTTP/1.1\r\nHost: x\r\n\r\n", 403, "NO_PROXY"),
    (b"GET http://localhost:8000/__emulator/jobs HTTP/1.1\r\nHost: x\r\n\r\n", 403, "NO_PROXY"),
    (b"GET /v2/llm/health HTTP/1.1\r\nHost: x\r\n\r\n", 400, "is no URL with a host"),
    (b"GET http:/// HTTP/1.1\r\nHost: x\r\n\r\n", 400, "is no URL with a host"),
    (b"GET ftp://api.runpod.ai/ HTTP/1.1\r\nHost: x\r\n\r\n", 400, "is no URL with a host"),
    (b"GET http://api.runpod.ai/ HTTP/1.1\r\n\r\n", 400, "Missing mandatory Host"),
    (b"hello\r\n\r\n", 400, "no request of HTTP/1.1"),
    (b"\x00\x01\x02\x03\r\n\r\n", 400, "no request of HTTP/1.1"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "HTTP/2 is not spoken"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "HTTPS_PROXY=http://"),
    (b"GET http://api.runpod.ai/ HTTP/1.1\r\nHost: x\r\nLong: " + b"y" * 70_000, 431, "longer than 65536 bytes"),
    (b"POST http://api.runpod.ai/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "no request of HTTP/1.1"),
]


async def test_each_wrong_request_is_told_what_is_wrong(server: Opener, caplog: pytest.LogCaptureFixture) -> None:
    one = server()
    await one.start()
    for data, status, text in REFUSED:
        found, detail = problem(await ask(one, data))
        assert (found, text in detail) == (status, True), (data[:60], found, detail)
        assert detail in caplog.text


async def test_the_status_line_of_a_refused_tunnel_says_what_helps(server: Opener, folder: Path) -> None:
    """The only part of it that most clients show."""
    one = server()
    await one.start()
    async with client_of(one, folder) as client:
        with pytest.raises(httpx.ProxyError, match="403 Forbidden: not a host of RunPod, see --proxy-pass"):
            await client.get("https://example.test/")


async def test_a_slow_head_is_refused(server: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_head, "HEAD_TIME", 0.05)
    one = server()
    await one.start()
    assert problem(await ask(one, b"CONNECT api.runpod.ai:443 HT"))[0] == 408
    assert (await ask(one, GET)).startswith(b"HTTP/1.1 200 ")


async def test_the_admin_api_stays_shut(server: Opener, folder: Path) -> None:
    one = server(proxy_pass=True)
    await one.start()
    async with client_of(one, folder) as client:
        for url in ("https://api.runpod.ai/__emulator/jobs", "http://api.runpod.ai/__emulator/jobs"):
            assert (await client.get(url)).status_code == 403
        for host in ("127.0.0.1", "localhost", "x.localhost"):
            answer = await client.get(f"http://{host}:{one.port}/__emulator/jobs")
            assert (answer.status_code, "NO_PROXY" in answer.json()["detail"]) == (403, True)


async def test_a_name_that_leads_to_this_machine_is_refused(
    server: Opener, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening = asyncio.open_connection

    async def found(host: str, number: int, **options: Any) -> Any:
        return await opening("127.0.0.1" if host == "evil.test" else host, number, **options)

    monkeypatch.setattr(asyncio, "open_connection", found)
    one = server(proxy_pass=True)
    await one.start()
    answer = await ask(one, b"GET http://evil.test:%d/__emulator/jobs HTTP/1.1\r\nHost: x\r\n\r\n" % one.port)
    assert problem(answer)[0] == 403


async def test_a_certificate_that_a_client_does_not_trust_is_told_in_the_log(
    server: Opener, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = server()
    await one.start()
    async with client_of(one, folder, verify=ssl.create_default_context()) as stranger:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await stranger.get("https://api.runpod.ai/v2/llm/health")
    await until(lambda: "does not trust the local CA" in caplog.text)
    caplog.clear()
    async with client_of(one, folder) as client:
        assert (await client.get("https://api.runpod.ai/v2/llm/health")).status_code == 200
    await until(lambda: not running(one))
    assert caplog.text == ""


async def test_a_taken_port_is_told_and_gives_the_others_back(server: Opener) -> None:
    one = server()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(PortTaken, match=f"port {port_of(one)} on 127.0.0.1 is in use.* with --proxy "):
        server(port=port, proxy=port_of(one))
    assert server(port=port).port == port


# What is passed on


async def test_other_hosts_are_reached_where_that_is_wanted(server: Opener, elsewhere: Elsewhere) -> None:
    one = server(proxy_pass=True)
    await one.start()
    reader, writer = await tunnel(one, f"example.test:{elsewhere.port}")
    writer.write(b"\x16\x03 as it is")
    assert await reader.read(100) == b"\x16\x03 as it is"
    writer.close()


async def test_a_url_is_passed_on_without_what_is_for_the_proxy(server: Opener, elsewhere: Elsewhere) -> None:
    one = server(proxy_pass=True)
    await one.start()
    lines = [
        b"POST http://user:word@example.test:%d?a=b HTTP/1.1" % elsewhere.port, b"Host: other", b"X-Kept: 1",
        b"Connection: keep-alive, X-Hop", b"X-Hop: 1", b"Proxy-Authorization: Basic eA==", b"Proxy-Connection: x",
        b"Keep-Alive: 5", b"TE: trailers", b"Upgrade: h2c", b"Content-Length: 2", b"", b"hi",
    ]  # fmt: skip
    assert (await ask(one, b"\r\n".join(lines))).endswith(b"hello")
    expected = [
        b"POST /?a=b HTTP/1.1", b"Host: example.test:%d" % elsewhere.port, b"Connection: close", b"X-Kept: 1",
        b"Content-Length: 2", b"", b"hi",
    ]  # fmt: skip
    assert elsewhere.heads == [b"\r\n".join(expected)]


async def test_a_host_that_cannot_be_reached_is_told(server: Opener) -> None:
    one = server(proxy_pass=True)
    await one.start()
    status, detail = problem(await ask(one, b"CONNECT none.invalid:443 HTTP/1.1\r\nHost: x\r\n\r\n"))
    assert (status, "none.invalid:443 cannot be reached" in detail) == (502, True)


async def test_a_host_of_the_service_never_gets_anything(server: Opener) -> None:
    one = server(proxy_pass=True)
    await one.start()
    for address in (b"api.runpod.ai:8080", b"api.runpod.io:22"):
        assert problem(await ask(one, b"CONNECT %b HTTP/1.1\r\nHost: x\r\n\r\n" % address))[0] == 403


# Nobody harms anybody


async def test_there_is_a_limit_to_connections(server: Opener, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_file, "_most_connections", lambda: 3)
    one = server()
    await one.start()
    held = [await dial(one) for _ in range(3)]
    await until(lambda: running(one) == 3)
    assert problem(await ask(one, GET))[0] == 503
    for _, writer in held:
        writer.close()
    await until(lambda: not running(one))
    assert (await ask(one, GET)).startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_does_not_read_holds_nothing_but_its_own_answer(
    server: Opener, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        try:
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536
        except OSError:
            writer.close()

    listening = await asyncio.start_server(pour, "127.0.0.1", 0)
    one = server(proxy_pass=True)
    await one.start()
    _, writer = await tunnel(one, f"example.test:{listening.sockets[0].getsockname()[1]}")
    reading: Any = writer.transport
    reading.pause_reading()
    before = -1
    while sent != before:
        before = sent
        assert (await ask(one, GET)).startswith(b"HTTP/1.1 200 ")
    assert sent < 64 << 20, "the systems' buffers, and no more"
    writer.transport.abort()
    await until(lambda: not running(one))
    listening.close()


async def test_a_client_that_leaves_is_noticed_by_the_server(server: Opener) -> None:
    one = server(mock=[], endpoint=["held"])
    await one.start()
    _, writer = await dial(one)
    head = b"POST http://api.runpod.ai/v2/held/runsync?wait=300000 HTTP/1.1\r\nHost: x\r\nAuthorization: k\r\n"
    writer.write(head + b'Content-Length: 18\r\n\r\n{"input":{"a": 1}}')
    await until(lambda: one.emulator.room.held())
    writer.close()
    await until(lambda: not one.emulator.room.held())
    await until(lambda: not running(one))


async def test_a_fault_breaks_the_connection_of_the_client(server: Opener) -> None:
    one = server()
    await one.start()
    one.emulator.faults.add(Fault("", FaultKind.CONNECTION_RESET, times=1))
    with pytest.raises(ConnectionResetError):
        await ask(one, GET)


async def test_half_a_body_stays_half(server: Opener) -> None:
    one = server()
    await one.start()
    whole = (await ask(one, GET)).partition(b"\r\n\r\n")[2]
    one.emulator.faults.add(Fault("", FaultKind.TRUNCATED_BODY, times=1))
    assert (await ask(one, GET)).partition(b"\r\n\r\n")[2] == whole[: len(whole) // 2]


# The end


async def test_a_stop_answers_what_is_held_and_ends_tunnels_at_once(
    server: Opener, folder: Path, elsewhere: Elsewhere
) -> None:
    one = server(mock=[], endpoint=["held"], proxy_pass=True)
    await one.start()
    foreign, its_writer = await tunnel(one, f"example.test:{elsewhere.port}")
    silent, other_writer = await tunnel(one)
    async with client_of(one, folder) as client:
        job = (await client.post("https://api.runpod.ai/v2/held/run", json={"input": {"a": 1}})).json()["id"]
        url = f"api.runpod.ai/v2/held/status-sync/{job}"
        held = [asyncio.ensure_future(client.get(f"{scheme}://{url}")) for scheme in ("https", "http")]
        await until(lambda: len(one.emulator.room.held()) == 2)
        await asyncio.wait_for(one.stop(), LIMIT)
        assert [(await answer).json()["status"] for answer in held] == ["IN_QUEUE"] * 2
    for reader, writer in ((foreign, its_writer), (silent, other_writer)):
        assert await said(reader) == b""
        writer.close()


@needs_proc
async def test_a_stop_closes_everything(server: Opener) -> None:
    first = server()
    await first.start()
    await first.stop()
    before, tasks = sorted(os.listdir("/proc/self/fd")), len(asyncio.all_tasks())
    one = server()
    await one.start()
    await ask(one, GET)
    held = [await tunnel(one) for _ in range(5)]
    await one.stop()
    for _, writer in held:
        writer.close()
        await writer.wait_closed()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert len(asyncio.all_tasks()) == tasks


# In a Python program


def test_the_emulator_of_a_program_has_a_proxy(folder: Path) -> None:
    with Emulator("llm", proxy=True, tls_folder=folder) as emu:
        environment = emu.environment
        assert environment["HTTPS_PROXY"].startswith("http://127.0.0.1:")
        assert environment["SSL_CERT_FILE"] == str(emu.ca_file)
        emu.stub(respond={"output": 1})
        trusted = ssl.create_default_context(cafile=str(emu.ca_file))
        with httpx.Client(
            proxy=environment["HTTPS_PROXY"], verify=trusted, headers={"authorization": emu.key}
        ) as client:
            answer = client.post("https://api.runpod.ai/v2/llm/runsync", json={"input": {"a": 1}})
        assert answer.json()["output"] == 1


def test_a_refusal_cannot_forge_a_line_of_the_log(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with Emulator("llm", proxy=True, tls_folder=folder) as emu:
        port = int(emu.environment["HTTPS_PROXY"].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), LIMIT) as connection:
            connection.sendall(b"CONNECT a\x1b[31m\xe2\x80\xa8b HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 400 ")
    assert not [record for record in caplog.records if "\x1b" in record.getMessage()]
