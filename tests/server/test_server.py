"""A server: its port, when it is ready, and how it stops."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from runpod_emulator import __version__
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.errors import ConfigurationError, PortTaken
from runpod_emulator.http import connection
from runpod_emulator.server.server import Server

from tests.compat.servers import HANDLERS, LIMIT, Command, Starter, commands, until
from tests.gates import PASS, Gate
from tests.plain import PLAIN
from tests.workers.processes import PROC, needs_proc

ECHO = str(HANDLERS / "echo.py")
MOCK = str(HANDLERS / "mock_worker.py")

Opener = Callable[..., Server]


@pytest.fixture
async def server() -> AsyncIterator[Opener]:
    """Servers on free ports, stopped at the end."""
    opened: list[Server] = []

    def open_one(*handlers: str, **settings: Any) -> Server:
        opened.append(Server(read_settings(handlers=list(handlers), **{"port": 0, **settings})))
        return opened[-1]

    yield open_one
    for one in opened:
        if not one.is_closed:
            await asyncio.wait_for(one.stop(), LIMIT)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers={"Authorization": "key"}, timeout=LIMIT, **PLAIN) as one:
        yield one


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    with commands(tmp_path) as start:
        yield start


def write(folder: Path, source: str, name: str = "handler.py") -> str:
    (folder / name).write_text(textwrap.dedent(source))
    return str(folder / name)


# Getting ready


async def test_alive_at_once_and_ready_when_the_handlers_are_imported(
    server: Opener, client: httpx.AsyncClient, tmp_path: Path, gate: Gate
) -> None:
    waits = f"{PASS.format(repr(str(gate)))}\nhandler = print\n"
    port_file = tmp_path / "port"
    one = server(write(tmp_path, waits), ECHO, port_file=port_file)
    emulator = one.base_url.removesuffix("/v2") + "/__emulator"
    starting = asyncio.ensure_future(one.start())
    health = await client.get(f"{emulator}/health", headers={"Authorization": ""})
    assert (health.status_code, health.json()) == (200, {"status": "ok", "version": __version__})
    ready = await client.get(f"{emulator}/ready")
    assert (ready.status_code, ready.json()) == (503, {"ready": False})
    assert not starting.done()
    assert not port_file.exists()
    gate.open()
    await asyncio.wait_for(starting, LIMIT)
    ready = await client.get(f"{emulator}/ready")
    assert (ready.status_code, ready.json()) == (200, {"ready": True})
    assert port_file.read_text() == str(one.port)


async def test_a_job_waits_for_the_import(
    server: Opener, client: httpx.AsyncClient, tmp_path: Path, gate: Gate
) -> None:
    handler = f"""
        {PASS.format(repr(str(gate)))}
        def handler(job):
            return "late"
        """
    one = server(write(tmp_path, handler))
    starting = asyncio.ensure_future(one.start())
    job = (await client.post(f"{one.base_url}/handler/run", json={"input": {"a": 1}})).json()
    status = await client.get(f"{one.base_url}/handler/status/{job['id']}")
    assert status.json() == {"id": job["id"], "status": "IN_QUEUE"}
    workers = (await client.get(f"{one.base_url}/handler/health")).json()["workers"]
    assert (workers["initializing"], workers["idle"]) == (1, 0)
    gate.open()
    ended = (await client.get(f"{one.base_url}/handler/status-sync/{job['id']}")).json()
    assert (ended["status"], ended["output"]) == ("COMPLETED", "late")
    await asyncio.wait_for(starting, LIMIT)


async def test_the_port_file_is_replaced_as_a_whole(server: Opener, tmp_path: Path) -> None:
    folder = tmp_path / "ports"
    folder.mkdir()
    port_file = folder / "port"
    port_file.write_text("an older and longer text")
    with port_file.open() as old:
        one = server(ECHO, port_file=port_file)
        await one.start()
        assert old.read() == "an older and longer text", "it is another file now"
    assert port_file.read_text() == str(one.port)
    assert list(folder.iterdir()) == [port_file]


async def test_the_port_file_of_an_earlier_run_is_gone_at_once(server: Opener, tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    port_file.write_text("1")
    one = server(write(tmp_path, "import time\ntime.sleep(60)\n"), port_file=port_file)
    starting = asyncio.ensure_future(one.start())
    try:
        await one._http.listening.wait()
        assert not port_file.exists()
    finally:
        starting.cancel()


async def test_a_start_that_fails_takes_no_file_of_a_server_that_runs(server: Opener, tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    one = server(ECHO, port_file=port_file)
    await one.start()
    with pytest.raises(PortTaken):
        server(ECHO, port=one.port, port_file=port_file)
    broken = server(write(tmp_path, "import missing_module\n"), port_file=port_file)
    with pytest.raises(ConfigurationError, match="missing_module"):
        await broken.start()
    await broken.stop()
    assert port_file.read_text() == str(one.port)
    await one.stop()
    assert not port_file.exists()


async def test_a_broken_handler_stops_the_start(server: Opener, tmp_path: Path) -> None:
    port_file = tmp_path / "port"
    one = server(ECHO, write(tmp_path, "import missing_module\n"), port_file=port_file)
    with pytest.raises(ConfigurationError, match="No module named 'missing_module'"):
        await one.start()
    assert not port_file.exists()


async def test_a_taken_port_is_told_with_the_way_out(server: Opener) -> None:
    one = server(ECHO)
    with pytest.raises(PortTaken) as caught:
        server(ECHO, port=one.port)
    assert caught.value.exit_code == 3
    assert f"port {one.port} on 127.0.0.1 is in use" in str(caught.value)
    assert "--port" in str(caught.value)


async def test_a_port_is_free_again_after_the_stop(server: Opener, client: httpx.AsyncClient) -> None:
    one = server(ECHO)
    await one.start()
    assert (await client.post(f"{one.base_url}/echo/runsync", json={"input": {"a": 1}})).json()["output"] == {"a": 1}
    await one.stop()
    again = server(ECHO, port=one.port)
    await again.start()
    assert (await client.post(f"{again.base_url}/echo/runsync", json={"input": {"a": 2}})).json()["output"] == {"a": 2}


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("localhost", "localhost"),
        ("::1", "[::1]"),
        ("::", "[::1]"),
    ],
)
async def test_the_base_url_can_be_reached(server: Opener, client: httpx.AsyncClient, host: str, shown: str) -> None:
    if ":" in host and not has_ipv6():
        pytest.skip("needs IPv6 on the loopback interface")
    one = server(ECHO, host=host, workers_max=0)
    assert one.base_url == f"http://{shown}:{one.port}/v2"
    await one.start()
    assert (await client.get(f"{one.base_url}/echo/health")).status_code == 200


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


# What is served


async def test_every_form_of_a_handler(
    server: Opener, client: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "package").mkdir()
    write(tmp_path, "def chosen(job):\n    return 'function of a module'", "package/module.py")
    write(
        tmp_path, "def handler(job):\n    return 'file'\ndef chosen(job):\n    return 'function of a file'", "plain.py"
    )
    (tmp_path / "folder").mkdir()
    write(tmp_path, "def handler(job):\n    return 'folder'", "folder/inside.py")
    one = server(
        "plain.py", "package.module:chosen", "folder", endpoint=["function=plain.py:chosen", "named=folder/inside.py"]
    )
    assert list(one.emulator.endpoints) == ["function", "named", "plain", "module", "inside"]
    await one.start()
    outputs = {
        endpoint: (await client.post(f"{one.base_url}/{endpoint}/runsync", json={"input": {"a": 1}})).json()["output"]
        for endpoint in one.emulator.endpoints
    }
    assert outputs == {
        "function": "function of a file",
        "named": "folder",
        "plain": "file",
        "module": "function of a module",
        "inside": "folder",
    }


async def test_a_handler_can_call_its_own_server(server: Opener, client: httpx.AsyncClient, tmp_path: Path) -> None:
    handler = """
        import json, os, urllib.request

        def handler(job):
            if job["input"].get("deep"):
                return "reached"
            request = urllib.request.Request(
                os.environ["RUNPOD_ENDPOINT_BASE_URL"] + "/handler/runsync",
                b'{"input": {"deep": true}}',
                {"Authorization": "Bearer " + os.environ["RUNPOD_API_KEY"]},
            )
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)["output"]
        """
    one = server(write(tmp_path, handler), api_key=["secret"])
    await one.start()
    answer = await client.post(
        f"{one.base_url}/handler/runsync", json={"input": {"a": 1}}, headers={"Authorization": "Bearer secret"}
    )
    assert answer.json()["output"] == "reached"


NO_TOKEN, INVALID_KEY, LET_IN = (401, "no token provided"), (401, "invalid api key"), (200, None)


@pytest.mark.parametrize(
    ("settings", "callers"),
    [
        (
            {},
            {None: NO_TOKEN, "": NO_TOKEN, "Bearer": NO_TOKEN, "anything": LET_IN, "Bearer anything": LET_IN},
        ),
        (
            {"api_key": ["one", "two"]},
            {
                None: NO_TOKEN,
                "Bearer two": LET_IN,
                "one": LET_IN,
                "bearer one": LET_IN,
                "Bearer three": INVALID_KEY,
                "onetwo": INVALID_KEY,
            },
        ),
        ({"no_auth": True, "api_key": ["one"]}, {None: LET_IN, "Bearer three": LET_IN}),
    ],
    ids=["any key", "two keys", "no key"],
)
async def test_who_may_call(
    server: Opener, settings: dict[str, Any], callers: dict[str | None, tuple[int, str | None]]
) -> None:
    one = server(ECHO, workers_max=0, **settings)
    await one.start()
    assert one.key == settings.get("api_key", ["runpod-emulator"])[0]
    async with httpx.AsyncClient(**PLAIN) as client:
        for header, expected in callers.items():
            headers = {} if header is None else {"Authorization": header}
            answer = await client.get(f"{one.base_url}/echo/health", headers=headers)
            assert (answer.status_code, answer.json().get("detail")) == expected, header


@pytest.mark.parametrize(
    ("settings", "warns"),
    [({"host": "0.0.0.0"}, True), ({"host": "0.0.0.0", "api_key": ["k"]}, False), ({"host": "localhost"}, False)],
)
async def test_who_is_reached_by_others_is_told(
    server: Opener, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], warns: bool
) -> None:
    await server(mock=["llm"], **settings).start()
    told = [record.message for record in caplog.records if "To close it" in record.message]
    assert [("listening on 0.0.0.0" in text) for text in told] == [True] * warns


async def test_two_servers_know_nothing_of_each_other(server: Opener, client: httpx.AsyncClient) -> None:
    one, other = server(ECHO), server(ECHO)
    await asyncio.gather(one.start(), other.start())
    assert one.port != other.port
    job = (await client.post(f"{one.base_url}/echo/runsync", json={"input": {"a": 1}})).json()
    assert job["status"] == "COMPLETED"
    assert (await client.get(f"{one.base_url}/echo/status/{job['id']}")).status_code == 200
    assert (await client.get(f"{other.base_url}/echo/status/{job['id']}")).status_code == 404
    assert (await client.get(f"{other.base_url}/echo/health")).json()["jobs"]["completed"] == 0
    await one.stop()
    assert (await client.post(f"{other.base_url}/echo/runsync", json={"input": {"a": 1}})).json()["output"] == {"a": 1}


# Stopping


HELD = """
    import asyncio, signal, subprocess
    import runpod

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen(["sleep", "600"])

    async def handler(job):
        yield "first"
        await asyncio.sleep(600)

    runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: 4})
"""
"""A handler that ends nothing by itself, in a worker with a child."""


def ask(server: Command, method: str, path: str, **headers: str) -> http.client.HTTPConnection:
    """Send a request, and leave its answer for later."""
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(server.base_url.split(":")[-1].split("/")[0]), timeout=LIMIT
    )
    body = b'{"input": {"a": 1}}' if method == "POST" else None
    connection.request(method, f"/v2/held/{path}", body, {"Authorization": "key", **headers})
    return connection


def answer(connection: http.client.HTTPConnection) -> tuple[int, bytes]:
    with contextlib.closing(connection):
        response = connection.getresponse()
        return response.status, response.read()


@needs_proc
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_held_requests_workers_and_the_server(
    start: Starter, tmp_path: Path, sign: signal.Signals
) -> None:
    server = start("serve", write(tmp_path, HELD, "held.py"), "--port", 0).ready()
    jobs = [server.http.post("/held/run", json={"input": {"a": 1}}).json()["id"] for _ in range(2)]
    assert server.http.get(f"/held/stream/{jobs[0]}").json()["stream"] == [{"output": "first"}]
    events = ask(server, "GET", f"stream/{jobs[1]}", Accept="text/event-stream").getresponse()
    assert events.readline() == b'data: {"output":"first"}\n'
    held = [
        ask(server, "POST", "runsync?wait=300000"),
        ask(server, "GET", f"status-sync/{jobs[0]}"),
        ask(server, "GET", f"stream/{jobs[0]}?wait=300000"),
    ]
    until(lambda: server.http.get("/held/health").json()["jobs"]["inProgress"] == 3)
    started = time.monotonic()
    assert server.stop(sign) == 0
    assert time.monotonic() - started < 5
    assert not server.processes()
    answers = [answer(one) for one in held]
    assert [status for status, _ in answers] == [200, 200, 200]
    assert [json.loads(body)["status"] for _, body in answers] == ["IN_PROGRESS"] * 3
    assert events.read().strip() == b""
    for word in ("Traceback", "ERROR", "WARNING"):
        assert word not in server.err.whole()


@needs_proc
def test_a_signal_in_the_middle_of_an_import(start: Starter, tmp_path: Path) -> None:
    server = start("serve", write(tmp_path, "import time\ntime.sleep(600)\n"), "--port", 0, "--port-file", "port")
    until(lambda: len(server.processes()) == 2)
    assert server.base_url
    started = time.monotonic()
    assert server.stop(signal.SIGINT) == 0
    assert time.monotonic() - started < 5
    assert not server.processes()
    assert "Ready." not in server.out.whole()
    assert not (tmp_path / "port").exists()


@needs_proc
def test_a_client_that_never_finishes_its_request_does_not_hold_the_server(start: Starter, tmp_path: Path) -> None:
    server = start("serve", ECHO, "--port", 0).ready()
    with socket.create_connection(("127.0.0.1", server.http.base_url.port or 0)) as silent:
        silent.sendall(b"POST /v2/echo/run HTTP/1.1\r\nHost: x\r\nAuthorization: k\r\nContent-Length: 100\r\n\r\n{")
        assert server.http.get("/echo/health").status_code == 200
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 5
    assert not server.processes()


async def test_a_request_that_is_cut_off_is_no_traceback(
    server: Opener, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection, "LAST_ANSWERS", 0.05)
    one = server(ECHO)
    await one.start()
    _, silent = await asyncio.open_connection("127.0.0.1", one.port)
    silent.write(b"POST /v2/echo/run HTTP/1.1\r\nHost: x\r\nAuthorization: k\r\nContent-Length: 100\r\n\r\n{")
    assert (await client.get(f"{one.base_url}/echo/health")).status_code == 200
    await one.stop()
    silent.close()
    assert [record.message for record in caplog.records if record.exc_info] == []


BUSY = """
    import os, re, subprocess, time
    import runpod

    def handler(job):
        if job["input"]["how"] == "sleeps":
            yield [os.getpid()]
            time.sleep(600)
        yield [os.getpid(), subprocess.Popen(["sleep", "600"]).pid]
        re.match("(a+)+$", "a" * 100 + "b")  # holds the interpreter's lock for years

    runpod.serverless.start({"handler": handler})
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Command, list[int]]]:
    """A server killed while one worker sleeps and another, which has a child, computes; with those three."""
    folder = tmp_path_factory.mktemp("killed")
    with commands(folder) as start:
        server = start("serve", write(folder, BUSY, "busy.py"), "--port", 0).ready()
        chunks = []
        for how in ("sleeps", "computes"):
            job = server.http.post("/busy/run", json={"input": {"how": how}}).json()["id"]
            (chunk,) = server.http.get(f"/busy/stream/{job}").json()["stream"]
            chunks += chunk["output"]
        until(lambda: server.processes() == {server.process.pid, *chunks})
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        yield server, chunks


@needs_proc
def test_a_killed_server_leaves_no_worker(killed: tuple[Command, list[int]]) -> None:
    server, (sleeping, computing, _) = killed
    until(lambda: not server.processes() & {sleeping, computing})
    assert sleeping != computing


@needs_proc
def test_a_killed_server_leaves_no_child_of_a_worker(killed: tuple[Command, list[int]]) -> None:
    server, chunks = killed
    until(lambda: not server.processes())
    assert len(chunks) == 3


@needs_proc
def test_a_server_killed_in_the_middle_of_an_import_leaves_no_process(start: Starter, tmp_path: Path) -> None:
    server = start("serve", write(tmp_path, "import time\ntime.sleep(600)\n"), "--port", 0)
    until(lambda: len(server.processes()) == 2)
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: not server.processes())


@needs_proc
async def test_a_stop_closes_everything(server: Opener, client: httpx.AsyncClient) -> None:
    first = server(ECHO)
    await first.start()
    await first.stop()
    before = sorted(os.listdir("/proc/self/fd"))
    one = server(ECHO)
    await one.start()
    await client.post(f"{one.base_url}/echo/runsync", json={"input": {"a": 1}})
    await client.aclose()
    await one.stop()
    assert sorted(os.listdir("/proc/self/fd")) == before


# Crashes and cancels over HTTP, on the loop of the command line


def test_a_crash_and_a_cancel_cost_one_worker_each(start: Starter) -> None:
    server = start("serve", MOCK, "--port", 0, "--workers-max", 1).ready()
    crash = server.http.post("/mock_worker/runsync", json={"input": {"mock_crash": True}}).json()
    assert (crash["status"], crash["error"], crash["retries"]) == ("FAILED", "job timed out after 1 retries", 1)
    job = server.http.post("/mock_worker/run", json={"input": {"mock_delay": 600}}).json()["id"]
    until(lambda: server.http.get(f"/mock_worker/status/{job}").json()["status"] == "IN_PROGRESS")
    assert server.http.post(f"/mock_worker/cancel/{job}").json() == {"id": job, "status": "CANCELLED"}
    after = server.http.post("/mock_worker/runsync", json={"input": {"mock_return": "next"}}).json()
    assert (after["status"], after["output"]) == ("COMPLETED", "next")
    if PROC:
        until(lambda: len(server.processes()) == 2)


def test_the_start_loads_no_reader_that_it_does_not_need():
    heavy = "'jinja2', 'yaml', 'aiohttp', 'runpod_emulator.mocking.models', 'trustme', 'runpod_emulator.server.tls'"
    code = f"import sys, runpod_emulator.server.server; print([name for name in ({heavy}) if name in sys.modules])"
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout == "[]\n"
