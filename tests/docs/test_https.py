"""docs/https.md: every command of it runs, in the page's order, against the server that it starts."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runpod_emulator.config.options import GivenOptions
from runpod_emulator.server.tls import ADDING, NAMES, REPLACING

from tests.compat.servers import LIMIT, ROOT, SOURCE, Command
from tests.conftest import require

pytestmark = pytest.mark.compat

PAGE = (ROOT / "docs" / "https.md").read_text(encoding="utf-8")
SERVE, CALL, EXEC, TLS, WAIT = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

Shell = Callable[..., str]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def port() -> int:
    """What the page calls 8443."""
    return free_port()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of somebody who starts from nothing, with the command on the path."""
    folder = tmp_path_factory.mktemp("https")
    command = folder / "runpod-emulator"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m runpod_emulator "$@"\n')
    command.chmod(0o755)
    mine = {name: value for name, value in os.environ.items() if name not in (*REPLACING, *ADDING)}
    return {
        **{name: value for name, value in mine.items() if not name.startswith("RUNPOD_")},
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(SOURCE),
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }


@pytest.fixture
def shell(environment: dict[str, str], port: int) -> Shell:
    """Pastes lines into one shell, and answers what it prints."""

    def paste(*lines: str) -> str:
        text = "\n".join(("set -e", *lines)).replace("8443", str(port))
        command = ["sh", "-c", text]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=2 * LIMIT)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return paste


@pytest.fixture(scope="module")
def served(environment: dict[str, str], port: int) -> Iterator[Command]:
    """What the page starts, on free ports."""
    words = shlex.split(SERVE)
    assert words[0] == "runpod-emulator"
    given = {name: environment[name] for name in ("HOME", "XDG_CONFIG_HOME")}
    ports = ("--port", "0", "--tls-port", str(port))
    command = Command(*words[1:], *ports, cwd=ROOT, **given)
    try:
        yield command.ready()
    finally:
        command.close()


@pytest.mark.usefixtures("served")
def test_the_calls_work_as_printed(shell: Shell) -> None:
    require("curl")
    answer = json.loads(shell(CALL))
    assert (answer["status"], answer["output"]) == ("COMPLETED", {"message": "hello"})


@pytest.mark.usefixtures("served")
def test_the_official_client_works_in_the_same_shell(shell: Shell) -> None:
    exports = [line for line in CALL.splitlines() if not line.startswith("curl")]
    python = shlex.quote(sys.executable)
    assert shell(*exports, f"{python} -c {shlex.quote(PROGRAM)}") == "{'message': 'hello'}\n"


@pytest.mark.usefixtures("served")
def test_the_server_is_waited_for(shell: Shell) -> None:
    assert shell(WAIT) == ""


def test_exec_sets_the_variables(shell: Shell) -> None:
    require("curl")
    assert '"inQueue":0' in shell(EXEC)


def test_tls_prints_what_the_page_says(shell: Shell) -> None:
    printed = shell(TLS)
    for name in (*REPLACING, *ADDING):
        assert f"export {name}=" in printed
        assert f"| `{name}` |" in PAGE
    for said in ("https://127.0.0.1:8443/v2", "https://api.localhost:8443/v2"):
        assert said in printed
        assert said in PAGE
    (line,) = re.findall(r"```\n(127.*?)\n```", PAGE)
    assert line in printed


def test_the_page_names_whom_the_certificate_is_for() -> None:
    assert [name for name in NAMES if f"`{name}`" not in PAGE] == []


def test_the_page_names_options_that_there_are() -> None:
    named = set(re.findall(r"--(tls[\w-]*)", PAGE))
    assert {name.replace("-", "_") for name in named} <= set(GivenOptions.model_fields)


def test_the_program_is_python() -> None:
    assert ast.parse(PROGRAM).body


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (Path(ROOT) / "docs" / target).exists(), target
