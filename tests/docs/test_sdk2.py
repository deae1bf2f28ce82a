"""Whoever follows docs/sdk-2.md gets what it says."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from runpod_emulator.cli.serve import serve
from runpod_emulator.cli.showing import tls
from runpod_emulator.config.options import all_options, flag

from tests.compat.sdks import interpreter
from tests.compat.servers import HANDLERS, ROOT, commands
from tests.compat.test_flash import command_in, name_hosts, run
from tests.stores.servers import free_port

PAGE = (ROOT / "docs" / "sdk-2.md").read_text(encoding="utf-8")


def test_every_option_is_one() -> None:
    known = {flag(name) for name in all_options()} | {option for given in tls.params for option in given.opts}
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) <= known


def test_the_commands_are_understood() -> None:
    lines = PAGE.replace("\\\n", "").splitlines()
    commands = [line for line in lines if line.startswith("runpod-emulator serve")]
    app, calling, handlers = (serve.make_context("serve", shlex.split(line)[2:]).params for line in commands)
    assert [(one["app"], one["python"], one["tls"]) for one in (app, calling)] == [
        (("functions.py",), ".venv/bin/python", True)
    ] * 2
    assert handlers["handlers"] == ("handlers/echo.py", "handlers/tokens.py")
    assert (handlers["load_balancer"], handlers["tls"]) == (("web=app.py:app",), True)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.compat
def test_an_app_is_served_and_called(tmp_path: Path) -> None:
    app, client, *_ = blocks("python")
    (tmp_path / "functions.py").write_text(app)
    make, install, serve = blocks("sh")[0].splitlines()
    assert (make, install) == ("python -m venv .venv", f".venv/bin/pip install runpod=={version()}")
    assert called(tmp_path, serve, client) == blocks("text")[0]


@pytest.mark.compat
def test_an_app_whose_workers_call_an_api_is_served(tmp_path: Path) -> None:
    body = "def call() -> dict:\n    return Counter.post('/count', {'by': 2})\n"
    caller = f"@app.queue(name='caller', cpu='cpu3c-1-2')\n{body}"
    (tmp_path / "functions.py").write_text(f"{blocks('python')[0]}\n\n{caller}")
    serve = blocks("sh")[2].replace("\\\n", "")
    assert called(tmp_path, serve, "from functions import call\n\nprint(call.remote())\n") == "{'count': 2}\n"


@pytest.mark.compat
def test_stand_ins_are_called(tmp_path: Path) -> None:
    _, _, server_file, client = blocks("python")
    (tmp_path / "app.py").write_text(server_file)
    (tmp_path / "handlers").symlink_to(HANDLERS)
    assert called(tmp_path, blocks("sh")[3], client) == blocks("text")[1]


def called(folder: Path, serve: str, client: str) -> str:
    """What a client prints, when a server is started and the client is run as the page says."""
    (folder / "calls.py").write_text(client)
    name_hosts(folder)
    port = free_port()
    home = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder / "config")}
    path = {"PATH": f"{command_in(folder / 'bin')}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(folder)}

    def here(text: str) -> str:
        text = text.replace(".venv/bin/python", interpreter("2.0")).replace("$PWD", str(folder))
        return text.replace("api.localhost:8443", f"api.localhost:{port}")

    own = ("--port", 0, "--tls-port", port, "--environment", f"PYTHONPATH={folder}")
    with commands(folder) as start:
        start(*shlex.split(here(serve))[1:], *own, **home).ready()
        folder_of_ca = " --tls-folder tls" if "--tls-folder" in serve else ""
        calls = blocks("sh")[1].replace("--format shell", f"--format shell{folder_of_ca}")
        return run("sh", "-ec", here(calls), cwd=folder, **home, **path)


def version() -> str:
    """The version that the tests are run with."""
    return run(interpreter("2.0"), "-c", "import runpod; print(runpod.__version__)", cwd=ROOT).strip()
