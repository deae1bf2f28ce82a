"""The official Python package, unmodified, deploys to the emulator: only the addresses are set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compat.servers import LIMIT, Command, commands

pytestmark = pytest.mark.compat

CONFIG = """
[images]
"you/echo:*" = { handler = "echo.py" }
"python* -u /handler.py*" = { command = "PYTHON -u worker.py {rest}" }
"you/server:*" = { handler = "server.py:app" }
"you/quiet" = "mock"
"""
ECHO = """
import os


def handler(job):
    return {"got": job["input"], "who": os.environ["WHO"]}
"""
SERVER = """
import os

from fastapi import FastAPI

app = FastAPI()


@app.get("/ping")
def ping():
    return {}


@app.get("/who")
def who():
    return os.environ["WHO"]
"""
WORKER = """
import sys

import runpod

runpod.serverless.start({"handler": lambda job: sys.argv[1:]})
"""
CALLS = """
import json

import runpod

runpod.api_key = "any-key"


def refusal(call, *arguments):
    try:
        return call(*arguments)
    except runpod.error.QueryError as error:
        return str(error)


def run(template):
    endpoint = runpod.create_endpoint("mine", template, workers_max=1, idle_timeout=9)["id"]
    return endpoint, runpod.Endpoint(endpoint).run_sync({"input": {"a": 1}}, timeout=20)


echo = runpod.create_template("echo", "you/echo:1", env={"WHO": "me", "PATH": "/nowhere"}, is_serverless=True)["id"]
other = runpod.create_template("other", "you/other", docker_start_cmd="python3 -u /handler.py --fast 'a b'")["id"]
first, answer = run(echo)
again = runpod.create_template("echo", "you/echo:2", env={"WHO": "you"})["id"]
print(json.dumps({
    "echo": answer,
    "arguments": run(other)[1],
    "moved": runpod.update_endpoint_template(first, again) == {"id": first, "templateId": again},
    "listed": [(one["name"], one["workersMax"], one["idleTimeout"], one["env"]) for one in runpod.get_endpoints()],
    "unknown": refusal(runpod.create_endpoint, "n", "no-such-template"),
    "wrong": refusal(runpod.create_endpoint, "n", echo, "ADA_24", None, None, -1),
    "not here": refusal(runpod.get_gpus),
}))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A server that has nothing to serve before somebody deploys it."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "runpod-emulator.toml").write_text(CONFIG.replace("PYTHON", sys.executable))
    (folder / "echo.py").write_text(ECHO)
    (folder / "server.py").write_text(SERVER)
    (folder / "worker.py").write_text(WORKER)
    with commands(folder) as start:
        yield start("serve", "--port", 0).ready()


def ask(server: Command, query: str, namespace: str = "") -> Any:
    """The data of an operation."""
    headers = {"X-Emulator-Namespace": namespace} if namespace else {}
    told = server.http.post(f"{server.root_url}/graphql", json={"query": query}, headers=headers).json()
    assert "errors" not in told, told
    return told["data"]


def test_a_namespace_has_endpoints_of_its_own(server: Command) -> None:
    made = ask(server, 'mutation { saveEndpoint(input: {name: "n", template: {imageName: "you/quiet"}}) { id } }', "w2")
    listed = "{ myself { endpoints { id } } }"
    assert ask(server, listed, "w2")["myself"]["endpoints"] == [made["saveEndpoint"]]
    assert made["saveEndpoint"] not in ask(server, listed)["myself"]["endpoints"]


def test_a_load_balancer_is_deployed(server: Command) -> None:
    given = '{name: "n", type: "LB", template: {imageName: "you/server:1", env: [{key: "WHO", value: "me"}]}}'
    endpoint = ask(server, f"mutation {{ saveEndpoint(input: {given}) {{ id type }} }}")["saveEndpoint"]
    assert endpoint["type"] == "LB"
    assert server.http.get(f"{server.root_url}/lb/{endpoint['id']}/who").json() == "me"
    ask(server, f'mutation {{ deleteEndpoint(id: "{endpoint["id"]}") }}')


@pytest.fixture(scope="module")
def said(server: Command) -> Any:
    """What the calls of the package came to."""
    return json.loads(printed(server, "-c", CALLS))


def printed(server: Command, *arguments: str) -> str:
    """What Python prints with its clients pointed at the server."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
    urls = {"RUNPOD_API_BASE_URL": server.root_url, "RUNPOD_ENDPOINT_BASE_URL": server.base_url}
    asked = [sys.executable, *arguments]
    done = subprocess.run(asked, env=clean | urls, capture_output=True, text=True, timeout=LIMIT, cwd=server.folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_created_runs_what_stands_in_for_its_image(said: Any) -> None:
    assert said["echo"] == {"got": {"a": 1}, "who": "me"}
    assert said["arguments"] == ["--fast", "a b"]


def test_endpoints_are_listed_and_move_to_another_template(said: Any) -> None:
    assert said["moved"]
    assert said["listed"] == [
        ["mine", 1, 9, [{"key": "WHO", "value": "you"}]],
        ["mine", 1, 9, []],
    ]


def test_refusals_can_be_read(said: Any) -> None:
    assert said["unknown"].startswith("no handler stands in for template 'no-such-template'")
    assert said["wrong"].startswith("input.idleTimeout: ")
    assert said["not here"].endswith("is not emulated: see docs/management.md#not-emulated")
