"""A built Flash app behind `serve --flash`, called by the official client, `runpod-flash`, unmodified."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.compat.servers import ROOT, Command, commands

pytestmark = pytest.mark.compat

VERSION = "1.21.0"
APP = Path(__file__).parent / "flash_app"
CALLS = Path(__file__).parent / "flash_calls.py"
PAGE = (ROOT / "docs" / "flash.md").read_text()
LIMIT = 120
STUBS = """
stubs:
  - {endpoint: forecast, match: {input: {city: Oslo}}, respond: {output: {city: Oslo, weather: rain}}}
  - {endpoint: forecast, match: {input: {city: Atlantis}}, respond: {error: no such city}}
  - {endpoint: slow, respond: {delay: 10m, output: late}}
"""


def run(*words: object, cwd: Path, **environment: str) -> str:
    """What a command prints; it must end well."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RUNPOD_", "FLASH_"))}
    environment = {"RUNPOD_URL_MIXED_OK": "1", "RUNPOD_FLASH_SILENCE_DEPRECATION": "1", **environment}
    done = subprocess.run(
        [*map(str, words)], cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=LIMIT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def flash_bin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with runpod-flash; what the tests' own has, such as runpod, serves it too."""
    folder = tmp_path_factory.mktemp("flash") / "venv"
    run(sys.executable, "-m", "venv", folder, cwd=ROOT)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "parent.pth").write_text(sysconfig.get_path("purelib"))
    words = ("install", "--quiet", "--disable-pip-version-check", f"runpod-flash=={VERSION}")
    run(folder / "bin" / "python", "-m", "pip", *words, cwd=ROOT)
    return folder / "bin"


@pytest.fixture(scope="module")
def app(flash_bin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app, built."""
    folder = tmp_path_factory.mktemp("apps") / "shop"
    shutil.copytree(APP, folder, ignore=shutil.ignore_patterns(".flash", "__pycache__"))
    run(flash_bin / "flash", "build", "--no-deps", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def server(app: Path, flash_bin: Path) -> Iterator[Command]:
    """The app's functions, and two endpoints of stubs."""
    (app.parent / "stubs.yaml").write_text(STUBS)
    with commands(app.parent) as start:
        python = flash_bin / "python"
        yield start("serve", "--flash", "shop", "--python", python, "--stubs", "stubs.yaml", "--port", 0).ready()


@pytest.fixture(scope="module")
def said(server: Command, app: Path, flash_bin: Path) -> dict[str, Any]:
    """What every call of flash_calls.py came to."""
    urls = {"RUNPOD_ENDPOINT_BASE_URL": server.base_url, "RUNPOD_API_KEY": "rpa_test"}
    told: dict[str, Any] = json.loads(run(flash_bin / "python", CALLS, cwd=app, PYTHONPATH=str(app), **urls))
    return told


@pytest.mark.parametrize(("name", "total"), [("positional", 6), ("default", 3), ("keywords", 7)])
def test_a_function_runs_in_a_worker_with_its_own_variables(said: dict[str, Any], name: str, total: int) -> None:
    assert (said[name]["sum"], said[name]["model"]) == (total, "tiny")
    assert said[name]["worker"] == said["default"]["worker"]


def test_a_function_calls_another_one(said: dict[str, Any]) -> None:
    assert said["to another"] == 8


def test_a_function_without_arguments_and_what_it_knows_of_itself(said: dict[str, Any]) -> None:
    names = {"FLASH_APP": "shop", "FLASH_ENV": "production"}
    assert said["no arguments"] == names | {"FLASH_RESOURCE_NAME": "where", "RUNPOD_ENDPOINT_ID": "where"}


def test_an_exception_comes_back(said: dict[str, Any]) -> None:
    assert said["raised"] == "RuntimeError: remote execution failed: nobody to greet"


def test_an_object_keeps_its_state(said: dict[str, Any]) -> None:
    assert said["class"] == [11, 16, 16]


def test_a_worker_runs_as_many_at_once_as_the_app_says(said: dict[str, Any]) -> None:
    assert said["together"] == [3, 3, 3]


def test_stubs_answer_a_flash_client(said: dict[str, Any]) -> None:
    assert said["stub"] == {"city": "Oslo", "weather": "rain"}
    assert said["stub that fails"] == "RuntimeError: remote execution failed: no such city"


def test_what_is_not_served_is_told_by_client_and_log(said: dict[str, Any], server: Command) -> None:
    assert said["not served"] == (
        "RuntimeError: endpoint 'nowhere' not found in app 'shop' environment 'production'. "
        "deploy it first with 'flash deploy'."
    )
    served = "adder, caller, counter, failing, party, where, forecast, slow"
    server.err.line(f"'nowhere' of app 'shop', environment 'production' not found: the endpoints here are {served}")


def test_an_endpoint_by_its_id(said: dict[str, Any]) -> None:
    assert said["by id"] == {"run": 2, "runsync": 4, "status": "COMPLETED", "cancelled": "CANCELLED"}


def test_a_load_balanced_function_is_named_at_the_start(server: Command) -> None:
    server.err.line("web of Flash app shop: load-balanced functions are not served yet")


def test_the_workers_come_from_the_manifest(said: dict[str, Any], server: Command) -> None:
    answer = httpx.get(f"{server.base_url}/adder/metrics", headers={"authorization": "k"}, trust_env=False).json()
    assert (answer["readyWorkers"], answer["workers"]["ready"]) == ([said["default"]["worker"]], 1)


# docs/flash.md


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_leads_to_a_call(flash_bin: Path, tmp_path: Path) -> None:
    functions, call = blocks("python")
    install, serve, client = (block.replace(".venv/bin", str(flash_bin)) for block in blocks("sh"))
    folder = tmp_path / "shop"
    (folder / "tests").mkdir(parents=True)
    (folder / "functions.py").write_text(functions)
    (folder / "tests" / "call.py").write_text(call)
    assert f"runpod-flash=={VERSION}" in install
    run(*install.splitlines()[-1].split(), cwd=folder)
    with commands(folder) as start:
        server = start(*serve.split()[1:], "--port", 0).ready()
        script = client.replace("http://127.0.0.1:8000", server.root_url)
        assert run("sh", "-ec", script, cwd=folder) == blocks("text")[0]
