"""Whoever follows docs/load-balancing.md gets what it says: every command and snippet of it runs here."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from runpod_emulator.config.options import all_options, flag
from runpod_emulator.core.platform import MIB, preset
from runpod_emulator.workers import http_server
from runpod_emulator.workers.environment import server_environment

from tests.compat.servers import LIMIT, ROOT, SOURCE, Command, until
from tests.conftest import require

pytestmark = pytest.mark.compat

PAGE = (ROOT / "docs" / "load-balancing.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The page's code in this language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


APP, SOCKET, PROGRAM = blocks("python")
(FILE,) = blocks("toml")
BY_TLS, BY_COMMAND, BY_SHELL, BY_FILE = [block for block in blocks("sh") if block.startswith("runpod-emulator ")]
BY_PATH, BY_HOST, BY_NAME, PLAIN, AGAIN = [block for block in blocks("sh") if not block.startswith("runpod-emulator ")]

FAILING = """
import asyncio
import os

from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.get("/ping")
def ping():
    return {}


@app.get("/teapot")
def teapot():
    return Response(status_code=418)


@app.get("/die")
def die():
    os._exit(3)


@app.get("/half")
def half(end: str):
    async def parts():
        yield b"half"
        await asyncio.sleep(0.05 if end == "dies" else 30)
        os._exit(3)

    return StreamingResponse(parts())


@app.get("/slow")
async def slow():
    await asyncio.sleep(30)


@app.get("/large")
def large(announced: bool):
    size = {"content-length": str(31 * 1024 * 1024)} if announced else {}
    return StreamingResponse((bytes(1024 * 1024) for _ in range(31)), headers=size)
"""
FAILING_FILE = """
[platform]
balancer_wait = "300ms"
balancer_answer_limit = "500ms"

[endpoints]
none = { type = "load_balancer", handler = "app.py:app", workers_max = 0 }
bad = { type = "load_balancer", handler = "app.py:app", workers_max = 1, idle_timeout = "1h" }
cold = { type = "load_balancer", handler = "app.py:app", cold_start = "1h" }
queue = { mock = true }
"""


class Served(NamedTuple):
    """What the page starts, and a server whose endpoints fail in every way."""

    first: Command
    command: Command
    shell: Command
    file: Command
    failing: Command
    environment: dict[str, str]


def put(folder: Path, **files: str) -> Path:
    """A folder with these files."""
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of somebody who starts from nothing, with the command and Python on the path."""
    folder = tmp_path_factory.mktemp("home")
    command = folder / "runpod-emulator"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m runpod_emulator "$@"\n')
    command.chmod(0o755)
    return {
        "PATH": os.pathsep.join((str(folder), str(Path(sys.executable).parent), os.environ["PATH"])),
        "PYTHONPATH": str(SOURCE),
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Iterator[Served]:
    """Each server in a folder of its own, all started at once."""
    folder = tmp_path_factory.mktemp("balanced")
    one = put(folder / "one", app=APP, server=PROGRAM)
    (one / "note.txt").write_text("a file")
    two = put(folder / "two", app=APP, server=PROGRAM)
    (two / "runpod-emulator.toml").write_text(FILE)
    three = put(folder / "three", app=FAILING)
    (three / "runpod-emulator.toml").write_text(FAILING_FILE)
    given = {name: environment[name] for name in ("PATH", "HOME", "XDG_CONFIG_HOME")}
    starts = (
        (one, BY_TLS, "--tls-port", "0"), (one, BY_COMMAND), (one, BY_SHELL), (two, BY_FILE, "--reload"),
        (three, "runpod-emulator serve"),
    )  # fmt: skip
    started = []
    try:
        for where, line, *more in starts:
            words = shlex.split(line)
            started.append(Command(*words[1:], "--port", "0", *more, cwd=where, **given))
        yield Served(*[command.ready() for command in started], environment)
    finally:
        for command in started:
            command.close()


def there(text: str, server: Command) -> str:
    """Code of the page that calls this server."""
    text = text.replace("//127.0.0.1:8000/", f"{server.root_url.removeprefix('http:')}/")
    if ":8443" in text:
        port = server.out.line("HTTPS").partition(",")[0].rpartition(":")[2].removesuffix("/v2")
        text = text.replace(":8443", f":{port}")
    assert ":8000" not in text
    return text


def run(*command: str, environment: dict[str, str], folder: Path | None = None) -> str:
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def paste(text: str, server: Command, environment: dict[str, str]) -> str:
    """What these lines print in a shell."""
    require("curl")
    return run("sh", "-ec", there(text, server), environment=environment, folder=server.folder)


def get(server: Command, path: str, **headers: str) -> httpx.Response:
    return server.http.get(f"{server.root_url}/lb{path}", headers=headers)


# The calls


@pytest.mark.parametrize("call", [BY_PATH, BY_HOST, BY_NAME], ids=["path", "host", "name"])
def test_the_calls_work_as_printed(served: Served, call: str) -> None:
    shown = json.loads(re.findall(r"answers `(\{.*?\})`", PAGE)[0])
    answer = json.loads(paste(call, served.first, served.environment))
    assert (answer["text"], list(answer)) == (shown["text"], list(shown))


def test_the_websocket(served: Served) -> None:
    printed = run(sys.executable, "-c", there(SOCKET, served.first), environment=served.environment)
    assert f"  # {printed}" in SOCKET


def test_a_worker_again(served: Served) -> None:
    assert paste(AGAIN, served.first, served.environment) == '{"status":"healthy"}'


def test_paths_are_the_users_own_where_the_host_names_the_endpoint(served: Served) -> None:
    root = served.first.root_url
    for path in ("/run", "/health", "/v2/x", "/nothing"):
        mine = served.first.http.get(root + path, headers={"Host": "llm.api.runpod.ai"})
        assert (mine.status_code, mine.json()) == (404, {"detail": "Not Found"})
        assert "x-runpod-worker-id" in mine.headers
    assert served.first.http.get(f"{root}/v2/llm/health").json()["workers"]["ready"] == 1
    assert served.first.http.get(f"{root}/v2/llm/metrics").json()["workers"]["ready"] == 1


def test_a_program(served: Served) -> None:
    assert paste(PLAIN, served.command, served.environment) == "this is /any/path?x=1"


def test_a_command_that_needs_a_shell(served: Served) -> None:
    assert get(served.shell, "/files/note.txt").text == "a file"


def test_a_worker_sees_what_the_page_says() -> None:
    table = {name for row in re.findall(r"^\| (`[A-Z`, _]+`) \|", PAGE, re.MULTILINE) for name in row.split("`")[1::2]}
    assert set(server_environment("u", "e", "w", "k", 1, 1, "/")) - table == {"RUNPOD_POD_HOSTNAME"}


def test_the_file_and_changed_code(served: Served) -> None:
    server = served.file
    assert get(server, "/plain/x").text == "this is /x"

    def said() -> str:
        return server.http.post(f"{server.root_url}/lb/llm/generate", json={"prompt": "hi"}).json()["text"]

    assert said() == "You said: hi"
    (server.folder / "app.py").write_text(APP.replace("You said", "You wrote"))
    until(lambda: said() == "You wrote: hi")


def test_faults(served: Served) -> None:
    server = served.command
    fault = {"id": "f", "fault": "status", "status": 429, "operations": ["balanced"], "times": 1}
    server.http.post(f"{server.root_url}/__emulator/faults", json=fault).raise_for_status()
    assert [get(server, "/plain/x").status_code for _ in range(2)] == [429, 200]


# When something goes wrong


@pytest.mark.parametrize(
    ("path", "headers", "status", "body"),
    [
        ("/llm/ping", {"Authorization": ""}, 401, "no token provided"),
        ("/unknown/x", {}, 404, "endpoint not found"),
        ("/queue/x", {}, 400, '{"error":"not allowed for QB API"}'),
        ("/cold/ping", {}, 400, "timed out waiting for worker"),
        ("/none/ping", {}, 400, '{"error":"no workers available"}'),
        ("/bad/ping", {"X-Runpod-Worker-Id": "strict gone"}, 404, "affinity_worker_gone"),
        ("/bad/ping", {"X-Runpod-Worker-Id": "strict-resume gone"}, 404, "affinity_worker_gone"),
        ("/bad/large?announced=true", {}, 502, "30MiB"),
        ("/bad/slow", {}, 524, "0.5 s"),
        ("/bad/die", {}, 502, "did not answer"),
    ],
)
def test_what_the_client_gets(served: Served, path: str, headers: dict[str, str], status: int, body: str) -> None:
    answer = get(served.failing, path, **headers)
    assert (answer.status_code, body in answer.text) == (status, True), answer.text
    assert ("x-emulator-fidelity" in answer.headers, "x-runpod-worker-id" in answer.headers) == (True, False)
    assert list(answer.json()) in (["status", "title", "detail"], ["error"])
    assert re.search(rf"^\|.*\| {status}.*\|$", PAGE, re.MULTILINE)
    assert status in (401, 502, 524) or body in PAGE


def test_the_queue_api_of_a_load_balancer(served: Served) -> None:
    answer = served.failing.http.post("/bad/run", json={"input": {}})
    error = '{"error":"/run is not allowed for LB API, use load balancer endpoint"}'
    assert (answer.status_code, answer.text, error in PAGE) == (400, error, True)


def test_a_large_request(served: Served) -> None:
    answer = served.failing.http.post(f"{served.failing.root_url}/lb/bad/x", content=bytes(31 * MIB))
    assert (answer.status_code, answer.json()["detail"] in PAGE) == (400, True)


@pytest.mark.parametrize("path", ["/bad/half?end=dies", "/bad/half?end=late", "/bad/large?announced=false"])
def test_an_answer_that_is_cut(served: Served, path: str) -> None:
    until(lambda: get(served.failing, "/bad/ping").status_code == 200)
    with pytest.raises(httpx.RemoteProtocolError):
        get(served.failing, path)


def test_the_users_own_errors(served: Served) -> None:
    answer = get(served.failing, "/bad/teapot")
    assert (answer.status_code, "x-runpod-worker-id" in answer.headers) == (418, True)
    assert "x-emulator-fidelity" not in answer.headers


def test_a_first_worker_that_does_not_come_up(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "app.py").write_text("raise RuntimeError('no such model')")
    words = [sys.executable, "-m", "runpod_emulator", *shlex.split(BY_TLS)[1:], "--port", "0", "--tls-port", "0"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, "no such model" in done.stderr) == (2, True)


# What the page says of the code


def test_the_fields_are_those_of_the_platform() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \| `(\w+)` \|", PAGE, re.MULTILINE)
    platform = preset("observed")
    named = {field.name for field in fields(platform) if field.name.startswith("balancer_")}
    assert dict(rows).keys() == named | {"ping_interval", "forward_authorization", "websockets_count"}
    assert dict(rows) == {name: str(getattr(platform, name)).lower() for name, _ in rows}


def test_the_numbers_are_those_of_the_code() -> None:
    platform, text = preset("observed"), " ".join(PAGE.split())
    assert (platform.balancer_wait, "no worker was healthy within 2 min" in text) == (120_000, True)
    assert (platform.balancer_strict_wait, "for which the request waits 5 min" in text) == (300_000, True)
    assert (platform.balancer_answer_limit, "after 5.5 min" in text) == (330_000, True)
    assert (platform.balancer_body_limit, "more than 30 MiB" in text) == (30 * MIB, True)
    assert (platform.ping_interval, "once it is healthy, every second" in text) == (1_000, True)
    assert (platform.init_timeout, "after 7 min (`--init-timeout`)" in text) == (420_000, True)
    assert (platform.idle_timeout, "`--idle-timeout` (5 s)" in text) == (5_000, True)
    assert (platform.scaler_requests, "more than `scaler_value` (1)" in text) == (1, True)
    assert (http_server.PATIENCE, "or none in 5 s" in text) == (5.0, True)
    assert (http_server.HINT_AFTER, "after 3 s the log" in text) == (3.0, True)
    assert http_server.HEALTH_PATH == "/ping"


def test_the_page_names_options_that_there_are() -> None:
    named = set(re.findall(r"(--[a-z][a-z-]+)", re.sub(r"curl.*|eval.*", "", PAGE)))
    assert named <= {flag(name) for name in all_options()}


def test_the_snippets_are_python() -> None:
    found = blocks("python")
    assert found and all(ast.parse(block).body for block in found)


def test_links_lead_somewhere() -> None:
    for target, _, anchor in re.findall(r"\]\(([^)#]+)(#([^)]+))?\)", PAGE):
        file = ROOT / "docs" / target
        assert file.exists(), target
        titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        assert not anchor or anchor in [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]
