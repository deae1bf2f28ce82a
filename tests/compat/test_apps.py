"""Apps of `runpod` 2.0, served from their source under their own interpreter, and called by the unmodified client."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.sdk_app import DESCRIBE

from tests.compat.sdks import interpreter
from tests.compat.servers import Command, commands, until
from tests.compat.test_flash import name_hosts, run, urls
from tests.stores.servers import free_port

pytestmark = pytest.mark.compat

APP = Path(__file__).parent / "sdk2_app"
NOT_DEPLOYED = "is not deployed. run `rp flash deploy` first, or use .local() to run it here."
Said = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """The app's functions and APIs; its workers call the APIs over HTTPS, as the client always does."""
    folder = tmp_path_factory.mktemp("apps")
    shutil.copytree(APP, folder / "shop", ignore=shutil.ignore_patterns("__pycache__"))
    name_hosts(folder)
    (folder / "volume").mkdir()
    (folder / "volume" / "model.txt").write_text("weights")
    with commands(folder) as start:
        words = ("serve", "--app", "shop/functions.py", "--python", interpreter("2.0"), "--tls", "--tls-folder", "tls")
        port = free_port()
        trusting = {
            "RUNPOD_ENDPOINT_BASE_URL": f"https://api.localhost:{port}/v2",
            "SSL_CERT_FILE": str(folder / "tls" / "ca.pem"),
            "PYTHONPATH": str(folder),
            "RUNPOD_VOLUME_PATH": str(folder / "volume"),
        }
        own = [word for name, value in trusting.items() for word in ("--environment", f"{name}={value}")]
        yield start(*words, "--port", 0, "--tls-port", port, *own).ready()


def calls(server: Command, group: str, base_url: str) -> Said:
    """What the calls of a group came to."""
    variables = {
        "RUNPOD_ENDPOINT_BASE_URL": base_url,
        "RUNPOD_API_KEY": "any-key",
        "SSL_CERT_FILE": str(server.folder / "tls" / "ca.pem"),
        "PYTHONPATH": str(server.folder),
    }
    told: Said = json.loads(run(interpreter("2.0"), "calls.py", group, cwd=server.folder / "shop", **variables))
    return told


@pytest.fixture(scope="module")
def said(server: Command) -> Said:
    return calls(server, "jobs", urls(server)[0])


@pytest.fixture(scope="module")
def said_tls(server: Command) -> Said:
    return calls(server, "routes", urls(server)[1])


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("function", {"sum": 3, "model": "tiny", "loaded": ["weights"]}),
        ("keywords", 7),
        ("spawned", [4, "COMPLETED", 4]),
        ("cancelled", "CANCELLED"),
        ("together", [3, 3, 3]),
        ("stream", ["one", "two"]),
        ("whole", ["one", "two"]),
        ("async stream", ["a", "b"]),
        ("stub", 7),
        ("volume", "weights"),
        ("not declared", f"EndpointNotFound: 'pod' in app 'shop' {NOT_DEPLOYED}"),
        ("where", {
            "FLASH_RESOURCE_NAME": "where", "FLASH_ENVIRONMENT": "staging", "RUNPOD_ENDPOINT_ID": "where",
            "RUNPOD_API_BASE_URL": "ROOT", "name": "functions", "local": False,
        }),
    ],
)  # fmt: skip
def test_a_function_runs_in_its_own_interpreter(said: Said, server: Command, name: str, output: Any) -> None:
    assert json.loads(json.dumps(said[name]).replace(server.root_url, "ROOT")) == output


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("raised", "ValueError", "nobody to greet"),
        ("wrong argument", "TypeError", "add() got an unexpected keyword argument 'c'"),
    ],
)
def test_an_exception_comes_back_with_its_traceback(said: Said, name: str, kind: str, text: str) -> None:
    error, _, told = said[name].partition(": remote execution failed: ")
    error_json = json.loads(told)
    assert (error, error_json["error_type"], error_json["error_message"]) == (
        "RemoteExecutionError", f"<class '{kind}'>", text,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("post", {"count": 11}),
        ("get", 11),
        ("by a worker", {
            "awaited": 5, "blocking": 6, "streamed": ["a", "b"], "spawned": ["c", "d"], "api": {"count": 13},
            "itself": "local",
        }),
        ("delete", ["forgotten", 0]),
        ("raised", "ClientResponseError: 500, message='Internal Server Error'"),
        ("no such route", f"EndpointNotFound: 'counter' in app 'shop' {NOT_DEPLOYED}"),
        ("site", {"number": 7}),
        ("stub", {"status": "healthy"}),
    ],
)  # fmt: skip
def test_an_api_answers_and_workers_call_it(said_tls: Said, name: str, output: Any) -> None:
    assert said_tls[name] == output


def test_the_source_says_how_its_endpoints_scale(server: Command) -> None:
    listed = server.http.get(f"{server.root_url}/__emulator/endpoints").json()
    served = {one["id"]: one for one in listed}
    adder = served["adder"]
    assert (adder["workers_min"], adder["workers_max"], adder["idle_timeout"]) == (0, 2, 30_000)
    assert "pod" not in served
    server.err.line("pod of app shop in shop/functions.py: a task is a pod of its own")


def test_what_a_function_prints_is_in_the_log(said: Said, server: Command) -> None:
    assert "adding" in server.err.line("│ adding")


# Reload

SMALL = """
import runpod

app = runpod.App("lab")


@app.queue(name="first", cpu="cpu3c-1-2", workers=(0, 1))
def first() -> str:
    return "old"
"""
SECOND = """

@app.queue(name="second", cpu="cpu3c-1-2")
def second() -> str:
    return "two"
"""


def outputs(server: Command, endpoint: str) -> Any:
    """What a job without arguments comes to, or what the server says instead."""
    answer = server.http.post(f"/{endpoint}/runsync", json={"input": {"__empty": True}}).json()
    return answer.get("output", answer.get("detail"))


def test_a_saved_source_is_in_use(tmp_path: Path) -> None:
    file = tmp_path / "lab.py"
    file.write_text(SMALL)
    with commands(tmp_path) as start:
        server = start("dev", "--app", "lab:app", "--python", interpreter("2.0"), "--port", 0).ready()
        assert outputs(server, "first") == "old"
        file.write_text(SMALL.replace('"old"', '"new"').replace("(0, 1)", "(0, 4)") + SECOND)
        server.err.line("first: workers_max changed")
        server.err.line("second: second of app lab in lab.py is served from now on")
        until(lambda: outputs(server, "first") == "new")
        assert outputs(server, "second") == "two"
        file.write_text(SMALL + "1 / 0\n")
        server.err.line("what was declared before stays in use")
        assert outputs(server, "second") == "two"
        file.write_text(SMALL.replace("workers=(0, 1)", "env={'A': 'b'}"))
        server.err.line("second: no longer declared, and no longer served")
        server.err.line("first: declared in another way: it begins anew, and its jobs are cancelled")
        until(lambda: outputs(server, "first") == "old")
        assert outputs(server, "second") == "endpoint not found"


# What is wrong

TOO_OLD = "which knows no apps; an app needs runpod 2.0"


def refused(folder: Path, python: str, *words: str) -> str:
    """What the program that looks at sources says of one."""
    asked = subprocess.run([python, DESCRIBE, folder, *words], cwd=folder, capture_output=True, text=True, timeout=60)
    told = json.loads(asked.stdout)
    return str(told.get("refused", told))


SOURCES = {
    "none.py": "x = 1\n",
    "broken.py": "def deep():\n    return 1 / 0\n\n\ndeep()\n",
    "missing.py": "import nowhere_at_all\n",
    "wrong.py": "def f(:\n",
    "leaving.py": "raise SystemExit('no GPU here')\n",
    "calling.py": "import runpod\napp = runpod.App('a')\n@app.queue(cpu='cpu3c-1-2')\ndef fun(): ...\nfun.remote()\n",
    "twice.py": "import runpod\none, two = runpod.App('one'), runpod.App('two')\nother = 3\n",
    "short.py": "import runpod\napp = runpod.App('a')\n@app.queue(name='f', cpu='cpu3c-1-2')\ndef f(): ...\n",
    "both.py": "import runpod\napp = runpod.App('a')\n@app.queue(cpu='cpu3c-1-2', gpu='4090')\ndef fun(): ...\n",
}


@pytest.mark.parametrize(
    ("place", "attribute", "said"),
    [
        ("HERE/none.py", "", "there is no app in none.py: write app = runpod.App('name')"),
        ("none", "app", "none has no app; it has no app"),
        ("HERE/twice.py", "three", "twice.py has no three; its apps are one, two"),
        ("twice", "other", "other of twice is no runpod.App but int; its apps are one, two"),
        ("gone", "app", "there is no module gone in HERE, nor among the packages of "),
        ("gone.deep", "app", "there is no module gone.deep in HERE, nor among the packages of "),
        ("HERE/broken.py", "", "broken.py cannot be imported:\nTraceback (most recent call last):\n"),
        ("broken", "app", "ZeroDivisionError: division by zero"),
        ("missing", "app", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("HERE/wrong.py", "", "SyntaxError: invalid syntax"),
        ("leaving", "app", "SystemExit: no GPU here"),
        ("HERE/calling.py", "", "'fun' was invoked at import time."),
        ("short", "app", "app a: resource name 'f' is too short to deploy"),
        ("both", "app", "resource 'fun': gpu and cpu are mutually exclusive"),
        ("HERE/folder", "", "no runpod.App found; some files failed to import:"),
        ("HERE/empty", "", "there is no app in empty"),
    ],
)
def test_a_source_that_cannot_be_served(tmp_path: Path, place: str, attribute: str, said: str) -> None:
    for name, text in SOURCES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "bad.py").write_text("1 / 0\n")
    (tmp_path / "empty").mkdir()
    here = str(tmp_path)
    words = [place.replace("HERE", here), *([attribute] if attribute else [])]
    told = refused(tmp_path, interpreter("2.0"), *words)
    assert said.replace("HERE", here) in told
    assert "discovery.py" not in told and "describe.py" not in told


def test_a_folder_is_served_without_the_files_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text(SMALL)
    (tmp_path / "calls.py").write_text("from lab import first\n\nprint(first.remote())\n")
    asked = subprocess.run(
        [interpreter("2.0"), DESCRIBE, tmp_path, tmp_path], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    told = json.loads(asked.stdout)
    assert [entry["name"] for app in told["apps"] for entry in app["resources"]] == ["first"]
    assert ["calls.py failed: 'first' was invoked" in line for line in told["skipped"]] == [True]


def test_an_sdk_that_is_too_old_or_missing(tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text(SMALL)
    old = refused(tmp_path, interpreter("1.12"), "lab", "app")
    assert old.startswith(f"{interpreter('1.12')} has runpod 1.12") and TOO_OLD in old
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    assert " has no runpod; an app needs runpod 2.0: " in refused(tmp_path, str(bare), "lab", "app")


def test_a_server_says_what_is_wrong_and_ends(tmp_path: Path) -> None:
    (tmp_path / "lab.py").write_text("def deep():\n    return 1 / 0\n\n\ndeep()\n")
    with commands(tmp_path) as start:
        server = start("serve", "--app", "lab:app", "--python", interpreter("2.0"), "--port", 0)
        assert server.code() == 2
        told = server.err.whole()
    assert "app lab:app: lab cannot be imported:" in told and "ZeroDivisionError: division by zero" in told
    assert 'lab.py", line 2, in deep' in told
