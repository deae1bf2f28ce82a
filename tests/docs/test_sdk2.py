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
from tests.compat.test_flash import command_in, name_hosts, run, urls

PAGE = (ROOT / "docs" / "sdk-2.md").read_text(encoding="utf-8")


def test_every_option_is_one() -> None:
    known = {flag(name) for name in all_options()} | {option for given in tls.params for option in given.opts}
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) <= known


def test_the_command_is_understood() -> None:
    params = serve.make_context("serve", shlex.split(blocks("sh")[0])[2:]).params
    assert params["handlers"] == ("handlers/echo.py", "handlers/tokens.py")
    assert (params["load_balancer"], params["tls"]) == (("web=app.py:app",), True)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.compat
def test_the_page_leads_to_its_answers(tmp_path: Path) -> None:
    server_file, client_file = blocks("python")
    serve, client = blocks("sh")
    (expected,) = blocks("text")
    (tmp_path / "app.py").write_text(server_file)
    (tmp_path / "calls.py").write_text(client_file)
    (tmp_path / "handlers").symlink_to(HANDLERS)
    name_hosts(tmp_path)
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    path = {"PATH": f"{command_in(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(tmp_path)}
    make, install, *calls = client.splitlines()
    assert (make, install) == ("python -m venv .venv", f".venv/bin/pip install runpod=={version()}")
    with commands(tmp_path) as start:
        server = start(*serve.split()[1:], "--port", 0, "--tls-port", 0, **home).ready()
        tls = urls(server)[1].removesuffix("/v2")
        script = "\n".join(calls).replace(".venv/bin/python", interpreter("2.0"))
        script = script.replace("https://api.localhost:8443", tls)
        assert run("sh", "-ec", script, cwd=tmp_path, **home, **path) == expected


def version() -> str:
    """The version that the tests are run with."""
    return run(interpreter("2.0"), "-c", "import runpod; print(runpod.__version__)", cwd=ROOT).strip()
