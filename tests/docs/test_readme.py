"""Whoever has the README alone and a fresh clone gets what Start says: each command of it runs here, in its order.

The clone is a copy whose environment is made already, by hand: `make serve` would install it from the network.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from runpod_emulator.testing import Emulator

from tests.compat.servers import ROOT
from tests.compat.terminals import Opener, Terminal, terminals
from tests.conftest import require
from tests.page.screen import Screen
from tests.plain import PLAIN
from tests.security.browser import browsing

pytestmark = pytest.mark.compat

README = (ROOT / "README.md").read_text(encoding="utf-8")
START, CLIENTS = (re.findall(rf"\n## {title}\n(.*?)\n## ", README, re.DOTALL)[0] for title in ("Start", "Clients"))
SERVE, CLIENT, CURL, OWN, DEV = re.findall(r"```sh\n(.*?)```", START, re.DOTALL)
(STOPS,) = re.findall(r"```python\n(.*?)```", START, re.DOTALL)
(PAGE,) = re.findall(r"<(http\S+/)>", START)
OFFICIAL, PYTEST = re.findall(r"```python\n(.*?)```", CLIENTS, re.DOTALL)
PROMPT = r"bash-[\d.]+[#$] "


def commands_of(block: str) -> list[str]:
    """What somebody types, one a line, without the remarks."""
    joined = block.replace("\\\n", " ")
    return [line.partition("  # ")[0].partition("   #")[0].strip() for line in joined.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clone")
    for part in ("emulator", "handlers"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / part, folder)
    binaries = folder / ".venv" / "bin"
    binaries.mkdir(parents=True)
    (binaries / "python").symlink_to(sys.executable)
    command = binaries / "runpod-emulator"
    python = f"PYTHONPATH={shlex.quote(str(folder / 'emulator'))} exec {shlex.quote(sys.executable)}"
    command.write_text(f'#!/bin/sh\n{python} -m runpod_emulator "$@"\n')
    command.chmod(0o755)
    (folder / ".venv" / ".serve").touch()
    return folder


@pytest.fixture(scope="module")
def seat(clone: Path) -> Iterator[Opener]:
    """Terminals in the clone; no server of anybody else is seen from them."""
    require("bash", "make", "curl")
    (clone / "run").mkdir()
    with pytest.MonkeyPatch.context() as patch, terminals(clone) as open_one:
        patch.setenv("XDG_RUNTIME_DIR", str(clone / "run"))
        patch.delenv("MAKEFLAGS", raising=False)
        yield open_one


@pytest.fixture(scope="module")
def server(seat: Opener, port: int) -> Terminal:
    """What stands in the first block, on another port than the README's."""
    (command,) = commands_of(SERVE)
    terminal = seat(*command.split(), f"PORT={port}")
    assert PAGE.replace(":8000", f":{port}") in terminal.sees("Ready. Press h for the keys")
    return terminal


@pytest.fixture(scope="module")
def shell(seat: Opener, server: Terminal) -> Terminal:
    """The other terminal."""
    terminal = seat("bash", "--norc", "--noprofile", "-i")
    terminal.sees(PROMPT)
    return terminal


def types(shell: Terminal, command: str) -> str:
    """What a command shows until the shell waits for the next one, and its exit code at the end."""
    shell.type(f"{command}; echo code=$?\n")
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shell.sees(rf"code=\d+\r?\n[\s\S]*?{PROMPT}"))


@pytest.fixture(scope="module")
def said(shell: Terminal, server: Terminal) -> list[str]:
    """What each command of the client shows."""
    return [types(shell, command) for command in commands_of(CLIENT)]


def test_a_job_is_finished_one_is_streamed_and_one_fails(said: list[str], server: Terminal) -> None:
    _, finished, streamed, failed = said
    assert '"message": "hello"' in finished and "COMPLETED" in finished and "code=0" in finished
    assert "one two three" in streamed.partition("COMPLETED")[0] and "code=0" in streamed
    assert "IN_PROGRESS" in server.sees(r"GET tokens/stream 200 [^\n]*\n"), "the first words came before its end"
    assert "RuntimeError: out of memory" in failed and "FAILED" in failed and "code=1" in failed


def test_curl(said: list[str], shell: Terminal, port: int) -> None:
    (command,) = commands_of(CURL)
    assert '"status":"COMPLETED"' in types(shell, command.replace(":8000", f":{port}"))


def test_the_page_comes_with_all_that_it_needs(server: Terminal, port: int) -> None:
    browser = {"Accept": "text/html,*/*"}
    with httpx.Client(base_url=PAGE.replace(":8000", f":{port}"), headers=browser, **PLAIN) as http:
        left, found = {"/"}, set[str]()
        while left:
            found.add(part := left.pop())
            answer = http.get(part)
            assert answer.is_success, part
            named = re.findall(r'"([^"\s]+\.(?:m?js|css|svg))"', answer.text)
            left |= {urljoin(part, name) for name in named} - found
        assert {"main.js", "preact.mjs", "style.css"} < {part.rpartition("/")[2] for part in found}


async def test_the_page_shows_the_jobs_and_why_one_failed(said: list[str], port: int, tmp_path: Path) -> None:
    require("chromium")
    async with browsing(tmp_path) as tab:
        screen = Screen(tab, f"http://127.0.0.1:{port}")
        await tab.open(PAGE.replace(":8000", f":{port}"))
        rows = "[...document.querySelectorAll('a.job-row')].map((row) => row.innerText)"
        for endpoint, status in (("echo", "completed"), ("tokens", "completed"), ("failing", "failed")):
            await screen.until(f"{rows}.some((text) => text.includes('{endpoint}') && text.includes('{status}'))")
        await tab.run(
            "[...document.querySelectorAll('a.job-row')].find((row) => /failing/.test(row.innerText)).click()"
        )
        await screen.see("Why it failed", "RuntimeError", "out of memory", "failing.py", within=".job")
        assert not tab.log


def test_a_worker_of_ones_own_is_begun_tested_debugged_and_served(
    said: list[str], shell: Terminal, server: Terminal, clone: Path, port: int
) -> None:
    made, tested, ran = (types(shell, command) for command in commands_of(OWN))
    assert "handler.py" in made and "code=0" in made
    assert "1 passed, 0 failed" in tested and "code=0" in tested
    assert "Hello, World!" in ran and "code=0" in ran

    handler = clone / "my-worker" / "handler.py"
    first, stop = STOPS.splitlines()
    text = handler.read_text()
    handler.write_text(text.replace(first, f"{first}\n{stop}"))
    shell.type(f"{commands_of(OWN)[-1]}\n")
    shell.sees(r"\(Pdb\) ")
    prints, goes_on = re.findall(r"`(p job)` prints, `(c)` goes on", START)[0]
    shell.type(f"{prints}\n")
    assert "World" in shell.sees(r"\(Pdb\) ")
    shell.type(f"{goes_on}\n")
    assert "Hello, World!" in shell.sees(PROMPT)
    handler.write_text(text)

    server.type("q")
    assert server.code() == 0
    (command,) = commands_of(DEV)
    shell.type(f"{command} --port {port}\n")
    assert '{"input": {"name": "World"}}' in shell.sees("Ready. Press h for the keys")
    shell.type("q")
    shell.sees(rf"Stopping[\s\S]*{PROMPT}")


def test_the_official_client_and_the_pytest_test(runpod_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    import runpod

    runpod_emulator.stub(endpoint="echo", respond={"output": "{{ input.message }}"})
    monkeypatch.setitem(os.environ, "RUNPOD_ENDPOINT_BASE_URL", "")
    url, names = runpod_emulator.base_url, dict[str, Any]()
    shown: list[str] = []
    exec(OFFICIAL.replace("http://127.0.0.1:8000/v2", url), {"print": shown.append})
    assert shown == ["hello"]
    exec(PYTEST, names | {"runpod": runpod}, names)
    names["test_a_slow_answer"](runpod_emulator)
