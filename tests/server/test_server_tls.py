"""A server with HTTPS: the same emulator on two ports, and how both end."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result
from runpod_emulator.cli import main as cli
from runpod_emulator.cli.probe import until_ready
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.errors import ConfigurationError, PortTaken
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.faults import Fault
from runpod_emulator.server.app import Application
from runpod_emulator.server.server import Server
from runpod_emulator.server.tls import Authority, trust
from runpod_emulator.testing import Emulator
from runpod_emulator.workers.environment import client_urls
from starlette.types import Receive, Scope, Send

from tests.compat.servers import HANDLERS, LIMIT, Command, Starter, commands
from tests.waits import until
from tests.workers.processes import needs_proc

ECHO = str(HANDLERS / "echo.py")

Opener = Callable[..., Server]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authority of all servers here."""
    return tmp_path_factory.mktemp("tls")


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[Opener]:
    """Servers with HTTPS on free ports, stopped at the end; of the mock endpoint `llm` unless they are told more."""
    opened: list[Server] = []

    def open_one(**settings: Any) -> Server:
        given = {"port": 0, "tls": True, "tls_port": 0, "tls_folder": folder, "config": os.devnull, **settings}
        opened.append(Server(read_settings(**({"mock": ["llm"]} | given))))
        return opened[-1]

    yield open_one
    for one in opened:
        if not one.is_closed:
            await asyncio.wait_for(one.stop(), LIMIT)


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client that trusts the authority."""
    headers = {"Authorization": "key"}
    async with httpx.AsyncClient(headers=headers, verify=trusting(folder), timeout=LIMIT, trust_env=False) as one:
        yield one


def trusting(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=Authority(folder).ca_file)


async def connect(
    server: Server, folder: Path, request: str = "GET /v2/llm/health", **headers: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare connection over TLS with one request on its way."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.tls_port, ssl=trusting(folder))
    told = {"Host": "emulator", "Authorization": "key", **headers}
    lines = [f"{request} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    return reader, writer


async def until_end(reader: asyncio.StreamReader) -> tuple[bytes, type[BaseException] | None]:
    """What comes until the connection ends, and how it ends."""
    received = b""
    try:
        while part := await asyncio.wait_for(reader.read(65536), LIMIT):
            received += part
    except ConnectionResetError as error:
        return received, type(error)
    return received, None


# Both ports


async def test_one_emulator_answers_on_both_ports(
    server: Opener, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = server()
    seen: list[tuple[str, str]] = []
    call = Application.__call__

    async def recorded(app: Application, scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope["scheme"], scope["path"]))
        await call(app, scope, receive, send)

    monkeypatch.setattr(Application, "__call__", recorded)
    await one.start()
    assert one.tls_base_url == f"https://127.0.0.1:{one.tls_port}/v2"
    job = (await client.post(f"{one.tls_base_url}/llm/run", json={"input": {"a": 1}})).json()["id"]
    assert (await client.get(f"{one.base_url}/llm/status/{job}")).json()["id"] == job
    assert seen == [("https", "/v2/llm/run"), ("http", f"/v2/llm/status/{job}")]


async def test_without_tls_there_is_one_port(server: Opener, tmp_path: Path) -> None:
    one = server(tls=False, tls_folder=tmp_path / "none")
    assert (one.tls_base_url, one.tls_port, one.ca_file) == (None, None, None)
    assert set(one.client_environment()) == {*client_urls(""), "RUNPOD_API_KEY"}
    assert not (tmp_path / "none").exists()


async def test_clients_are_pointed_at_https_and_workers_are_not(
    server: Opener, client: httpx.AsyncClient, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in trust(folder):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "tells.py").write_text("import os\n\ndef handler(job):\n    return dict(os.environ)\n")
    one = server(mock=[], handlers=[str(tmp_path / "tells.py")])
    await one.start()
    clients = one.client_environment()
    assert client_urls(str(one.tls_base_url)).items() <= clients.items()
    assert clients["RUNPOD_API_BASE_URL"] == f"https://127.0.0.1:{one.tls_port}"
    assert trust(folder / "ca.pem").items() <= clients.items()
    workers = (await client.post(f"{one.tls_base_url}/tells/runsync", json={"input": {"a": 1}})).json()["output"]
    assert workers["RUNPOD_ENDPOINT_BASE_URL"] == one.base_url
    assert not set(trust(folder)) & set(workers)
    assert one._worker_environment("", "llm", "w1")["RUNPOD_ENDPOINT_BASE_URL"] == one.base_url


async def test_a_taken_https_port_is_told_and_gives_the_other_back(server: Opener) -> None:
    one = server()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(PortTaken, match=f"port {one.tls_port} on 127.0.0.1 is in use.* with --tls-port"):
        server(port=port, tls_port=one.tls_port)
    assert server(port=port).port == port


async def test_a_broken_authority_takes_no_port(server: Opener, tmp_path: Path) -> None:
    (tmp_path / "ca-key.pem").write_text("hello")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConfigurationError, match=r"ca-key\.pem does not hold a key"):
        server(port=port, tls_folder=tmp_path)
    assert server(port=port).port == port


async def test_who_speaks_http_to_the_https_port_is_sent_away(
    server: Opener, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    one = server()
    await one.start()
    with pytest.raises(httpx.TransportError):
        await client.get(f"http://127.0.0.1:{one.tls_port}/v2/llm/health")
    assert (await client.get(f"{one.tls_base_url}/llm/health")).status_code == 200
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


# Faults


async def test_a_reset_over_tls_is_a_true_one(server: Opener, client: httpx.AsyncClient, folder: Path) -> None:
    one = server()
    await one.start()
    one.emulator.faults.add(Fault("", FaultKind.CONNECTION_RESET, times=2))
    reader, writer = await connect(one, folder)
    assert await until_end(reader) == (b"", ConnectionResetError)
    writer.close()
    with pytest.raises(httpx.ReadError):
        await client.post(f"{one.tls_base_url}/llm/run", json={"input": {"a": 1}})
    assert (await client.get(f"{one.tls_base_url}/llm/health")).status_code == 200


async def test_half_a_body_over_tls(server: Opener, client: httpx.AsyncClient, folder: Path) -> None:
    one = server()
    await one.start()
    whole = (await client.get(f"{one.tls_base_url}/llm/health")).content
    one.emulator.faults.add(Fault("", FaultKind.TRUNCATED_BODY, times=2))
    reader, writer = await connect(one, folder)
    received, how = await until_end(reader)
    assert (received.partition(b"\r\n\r\n")[2], how) == (whole[: len(whole) // 2], None)
    writer.close()
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(f"{one.tls_base_url}/llm/health")
    assert (await client.get(f"{one.tls_base_url}/llm/health")).content == whole


# The end


async def test_held_requests_are_answered_at_the_stop(
    server: Opener, client: httpx.AsyncClient, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = server(mock=[], endpoint=["held"])
    await one.start()
    base = f"{one.tls_base_url}/held"
    jobs = [(await client.post(f"{base}/run", json={"input": {"a": 1}})).json()["id"] for _ in range(3)]
    held = [
        asyncio.ensure_future(client.get(f"{base}/status-sync/{jobs[0]}")),
        asyncio.ensure_future(client.get(f"{base}/stream/{jobs[1]}", params={"wait": 300_000})),
    ]
    reader, writer = await connect(one, folder, f"GET /v2/held/stream/{jobs[2]}", Accept="text/event-stream")
    assert b"text/event-stream" in await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT)
    await until(lambda: len(one.emulator.room.held()) == 3)
    await asyncio.wait_for(one.stop(), LIMIT)
    answers = [await asyncio.wait_for(answer, LIMIT) for answer in held]
    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(200, "IN_QUEUE")] * 2
    assert await until_end(reader) == (b"0\r\n\r\n", None)
    writer.close()
    assert "graceful" not in caplog.text


async def test_a_stop_does_not_wait_for_clients_that_read_nothing(
    server: Opener, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As connections in the pool of `requests` do, of which nobody reads the goodbye."""
    one = server()
    await one.start()
    context = trusting(folder)

    def idle() -> ssl.SSLSocket:
        bare = context.wrap_socket(socket.create_connection(("127.0.0.1", one.tls_port)), server_hostname="localhost")
        bare.sendall(b"GET /v2/llm/health HTTP/1.1\r\nHost: emulator\r\nAuthorization: key\r\n\r\n")
        assert bare.recv(65536).startswith(b"HTTP/1.1 200 OK")
        return bare

    connections = [await asyncio.to_thread(idle) for _ in range(3)]
    await asyncio.wait_for(one.stop(), LIMIT)
    for connection in connections:
        connection.close()
    assert "graceful" not in caplog.text


def test_a_stop_does_not_wait_for_a_handshake(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """On the loop of the commands: where there is only Python's own, it does, for as long as open requests may take."""
    with Emulator("llm", tls=True, tls_folder=folder) as emu:
        silent = socket.create_connection(("127.0.0.1", httpx.URL(emu.base_url).port or 0))
        with httpx.Client(verify=trusting(folder), trust_env=False, headers={"authorization": emu.key}) as client:
            assert client.get(f"{emu.base_url}/llm/health").status_code == 200
    silent.close()
    assert "graceful" not in caplog.text


@needs_proc
async def test_a_stop_closes_everything(server: Opener, client: httpx.AsyncClient) -> None:
    first = server()
    await first.start()
    await first.stop()
    before = sorted(os.listdir("/proc/self/fd"))
    one = server()
    await one.start()
    await client.post(f"{one.tls_base_url}/llm/runsync", json={"input": {"a": 1}})
    await client.get(f"{one.base_url}/llm/health")
    await client.aclose()
    await one.stop()
    assert sorted(os.listdir("/proc/self/fd")) == before


# The commands


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    with commands(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Command]:
    """`serve handlers/echo.py --tls`, ready."""
    with commands(tmp_path_factory.mktemp("echo")) as start:
        yield start("serve", ECHO, "--port", 0, "--tls", "--tls-port", 0, "--tls-folder", folder).ready()


def https(command: Command) -> str:
    """The HTTPS base URL that the banner says."""
    (found,) = re.findall(r"(https://127\.0\.0\.1:\d+/v2)", command.out.text)
    return str(found)


def run(*words: object) -> Result:
    return CliRunner().invoke(cli.cli, list(map(str, words)), prog_name="runpod-emulator")


@pytest.fixture
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No option in the environment, no file, and the user's own folder below `tmp_path`."""
    for name in [name for name in os.environ if name.startswith("RUNPOD_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def test_the_banner_tells_of_https_and_what_it_is_good_for(echo: Command, folder: Path) -> None:
    port = https(echo).split(":")[-1]
    assert f"HTTPS      https://127.0.0.1:{port}, or https://api.localhost:{port}\n" in echo.out.text
    assert f'eval "$(runpod-emulator tls --format shell --tls-folder {folder})"\n' in echo.out.text
    assert "raises it at once, as in production" in echo.out.text
    assert echo.base_url.startswith("http://127.0.0.1:"), "the plain port stays"
    with httpx.Client(verify=trusting(folder), trust_env=False) as client:
        answer = client.post(f"{https(echo)}/echo/runsync", json={"input": {"a": 1}}, headers={"authorization": "k"})
    assert answer.json()["output"] == {"a": 1}


def test_a_banner_without_tls_does_not_speak_of_it(start: Starter) -> None:
    assert "HTTPS" not in start("serve", ECHO, "--port", 0).ready().out.text


@pytest.mark.usefixtures("nothing_set")
def test_wait_asks_over_https(echo: Command, folder: Path, tmp_path: Path) -> None:
    told = run("wait", "-t", "20", "--url", https(echo), "--ca-file", folder / "ca.pem")
    assert (told.exit_code, told.output) == (0, "")
    untrusted = run("wait", "-t", "0", "--url", https(echo))
    assert (untrusted.exit_code, "CERTIFICATE_VERIFY_FAILED" in untrusted.output) == (1, True)
    own = tmp_path / "home" / "runpod-emulator" / "tls"
    if sys.platform == "linux":
        own.mkdir(parents=True)
        (own / "ca.pem").write_bytes((folder / "ca.pem").read_bytes())
        assert until_ready(https(echo), 20) == ""
    with pytest.raises(ConfigurationError, match="--ca-file none: No such file"):
        until_ready(https(echo), 0, "none")


@pytest.mark.usefixtures("nothing_set")
def test_tls_makes_the_authority_and_tells_how_to_trust_it(tmp_path: Path) -> None:
    page = run("tls", "--tls-folder", "mine", "--tls-port", "9443")
    assert page.exit_code == 0
    ca_file = tmp_path / "mine" / "ca.pem"
    made = ca_file.read_bytes()
    for line in (
        f"CA file    {ca_file}",
        *(f"  export {name}={value}" for name, value in trust(ca_file).items()),
        "  https://127.0.0.1:9443/v2",
        "  127.0.0.1 api.localhost ENDPOINT.api.localhost",
    ):
        assert line in page.output.splitlines()
    assert "https://ENDPOINT.api.localhost:9443" in page.output
    assert "trust no other HTTPS server" in page.output
    run("tls", "--tls-folder", "mine")
    assert ca_file.read_bytes() == made


@pytest.mark.usefixtures("nothing_set")
def test_tls_prints_lines_for_a_shell(tmp_path: Path) -> None:
    lines = run("tls", "--tls-folder", "it's mine", "--format", "shell").output.splitlines()
    words = [shlex.split(line) for line in lines]
    ca_file = tmp_path / "it's mine" / "ca.pem"
    assert words == [["export", f"{name}={value}"] for name, value in trust(ca_file).items()]


@pytest.mark.usefixtures("nothing_set")
def test_tls_takes_folder_and_port_from_where_serve_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_EMULATOR_TLS_FOLDER", "elsewhere")
    (tmp_path / "runpod-emulator.toml").write_text("[server]\ntls_port = 7443\n")
    page = run("tls").output
    assert f"CA file    {tmp_path}/elsewhere/ca.pem\n" in page
    assert "https://127.0.0.1:7443/v2" in page
    assert "https://127.0.0.1:PORT/v2" in run("tls", "--tls-port", "0").output


@pytest.mark.usefixtures("nothing_set")
def test_tls_refuses_a_folder_that_it_cannot_use(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = run("tls", "--tls-folder", "file")
    assert isinstance(refused.exception, ConfigurationError)
    assert "Not a directory: choose a folder" in str(refused.exception)


CLIENT = """
import json, os, urllib.request

request = urllib.request.Request(
    os.environ["RUNPOD_ENDPOINT_BASE_URL"] + "/echo/runsync",
    b'{"input": {"a": 1}}',
    {"Authorization": os.environ["RUNPOD_API_KEY"]},
)
print(json.load(urllib.request.urlopen(request))["output"], request.full_url)
"""


def test_exec_points_its_command_at_https(start: Starter, folder: Path) -> None:
    serve_echo = ("--endpoint", f"echo={ECHO}", "--tls", "--tls-folder", folder)
    command = start("exec", *serve_echo, "--", sys.executable, "-c", CLIENT)
    assert command.code() == 0, command.err.whole()
    assert re.fullmatch(r"\{'a': 1\} https://127\.0\.0\.1:\d+/v2/echo/runsync\n", command.out.whole())


# In a Python program


def test_the_emulator_of_a_program_is_reached_over_https(folder: Path) -> None:
    with Emulator("llm", tls=True, tls_folder=folder) as emu:
        assert emu.base_url.startswith("https://127.0.0.1:")
        assert emu.ca_file == folder / "ca.pem"
        assert emu.environment["RUNPOD_ENDPOINT_BASE_URL"] == emu.base_url
        assert emu.environment["REQUESTS_CA_BUNDLE"] == str(emu.ca_file)
        emu.stub(respond={"output": 1})
        body = {"input": {"a": 1}, "webhook": emu.webhooks.url}
        with httpx.Client(verify=trusting(folder), trust_env=False, headers={"authorization": emu.key}) as client:
            assert client.post(f"{emu.base_url}/llm/runsync", json=body).json()["output"] == 1
        emu.wait_for(webhooks=1, timeout=LIMIT)
        assert [call.json["output"] for call in emu.webhooks.received] == [1], "over plain HTTP"


def test_the_emulator_of_a_program_without_tls_has_no_ca() -> None:
    with Emulator("llm") as emu:
        assert emu.ca_file is None
        assert set(emu.environment) == {*client_urls(""), "RUNPOD_API_KEY"}
