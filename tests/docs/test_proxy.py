"""docs/proxy.md: every command and program of it runs, as a reader would paste it."""

from __future__ import annotations

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
from runpod_emulator.cli.running import PROXY_PORT
from runpod_emulator.config.options import GivenOptions
from runpod_emulator.core import proxy_errors
from runpod_emulator.server.proxy_environment import proxied
from runpod_emulator.server.proxy_head import HEAD_TIME
from runpod_emulator.server.tls import ADDING, REPLACING, SERVICE

from tests.compat.servers import LIMIT, ROOT, SOURCE, Command
from tests.conftest import require

pytestmark = pytest.mark.compat

PAGE = (ROOT / "docs" / "proxy.md").read_text(encoding="utf-8")
EXEC, SERVE, CALL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
PROGRAM, TEST = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

Shell = Callable[..., str]


@pytest.fixture(scope="module")
def port() -> int:
    """What the page calls 8899."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of somebody who starts from nothing, with the command on the path."""
    folder = tmp_path_factory.mktemp("proxy")
    for name, module in (("runpod-emulator", "-m runpod_emulator"), ("python", "")):
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n')
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
        text = "\n".join(("set -e", *lines)).replace("8899", str(port))
        done = subprocess.run(
            ["sh", "-c", text], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=2 * LIMIT
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return paste


@pytest.fixture(scope="module")
def served(environment: dict[str, str], port: int) -> Iterator[Command]:
    """What the page starts, on free ports."""
    words = shlex.split(SERVE)
    assert words[0] == "runpod-emulator"
    given = {name: environment[name] for name in ("HOME", "XDG_CONFIG_HOME")}
    command = Command(*words[1:], str(port), "--port", "0", cwd=ROOT, **given)
    try:
        yield command.ready()
    finally:
        command.close()


def test_the_first_call_works_as_printed(shell: Shell) -> None:
    require("curl")
    answer = json.loads(shell(EXEC))
    assert (answer["status"], answer["output"]) == ("COMPLETED", {"message": "hello"})


def test_the_program_with_the_address_in_it_runs(shell: Shell) -> None:
    before, _, _ = EXEC.partition(" -- ")
    assert shell(f"{before} -- python -c {shlex.quote(PROGRAM)}") == "{'message': 'hello'}\n"


@pytest.mark.usefixtures("served")
def test_a_shell_beside_a_server(shell: Shell) -> None:
    require("curl")
    assert '"inQueue":0' in shell(CALL)


def test_the_test_has_a_proxy(shell: Shell) -> None:
    assert shell(f"python -c {shlex.quote(TEST)}").startswith("http://127.0.0.1:")


def test_the_page_names_what_there_is() -> None:
    options = {name.replace("-", "_") for name in re.findall(r"--(proxy[\w-]*)", PAGE)}
    assert options == {name for name in GivenOptions.model_fields if name.startswith("proxy")}
    variables = {*proxied("", ""), *REPLACING, *ADDING}
    assert [name for name in variables if name.isupper() and f"`{name}`" not in PAGE] == []
    assert [host for host in SERVICE if host.replace("*", "ENDPOINT") not in PAGE] == []
    assert f"port {PROXY_PORT}," in PAGE
    assert f"{HEAD_TIME:g} s and 64 KiB" in PAGE


def test_the_page_tells_the_words_that_one_sees() -> None:
    source = Path(proxy_errors.__file__).read_text()
    assert proxy_errors.ForeignHost.reason in PAGE
    assert "not a host of RunPod" in source


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    assert "## What each language honours" in (ROOT / "docs" / "https.md").read_text()
