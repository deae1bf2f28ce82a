"""RunPod's own MCP server, unmodified, deploys an endpoint and calls it: only the addresses are set."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.servers import Command, commands
from tests.conftest import require

pytestmark = pytest.mark.compat

PROJECT = Path(__file__).parent / "mcp"
IMAGES = '[images]\n"you/echo:*" = { handler = "echo.py" }\n'
ECHO = """
import os


def handler(job):
    return {"got": job["input"], "who": os.environ["WHO"]}
"""


class Tools:
    """The tools of the MCP server, which speaks JSON-RPC on its standard streams."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._number = 0
        self.ask("initialize", protocolVersion="2024-11-05", capabilities={}, clientInfo={"name": "t", "version": "1"})
        self._send(method="notifications/initialized")

    def _send(self, **message: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self._process.stdin.flush()

    def ask(self, method: str, **params: Any) -> Any:
        """The result of a method."""
        assert self._process.stdout is not None
        self._number += 1
        self._send(id=self._number, method=method, params=params)
        for line in self._process.stdout:
            message = json.loads(line)
            if message.get("id") == self._number:
                return message["result"]
        raise AssertionError("the MCP server has ended")

    def call(self, tool: str, **arguments: Any) -> Any:
        """What a tool answers."""
        return json.loads(self.ask("tools/call", name=tool, arguments=arguments)["content"][0]["text"])


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the packages that its lock names."""
    require("node", "npm")
    folder = tmp_path_factory.mktemp("npm") / "mcp"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("node_modules"))
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """A server that has nothing to serve before somebody deploys it."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "runpod-emulator.toml").write_text(IMAGES)
    (folder / "echo.py").write_text(ECHO)
    with commands(folder) as start:
        yield start("serve", "--port", 0).ready()


@pytest.fixture(scope="module")
def tools(installed: Path, server: Command) -> Iterator[Tools]:
    """The tools of a server that was pointed here."""
    environment = {
        **os.environ,
        "RUNPOD_API_KEY": "rpa_test",
        "RUNPOD_API_BASE_URL": server.root_url,
        "RUNPOD_SERVERLESS_API_URL": server.base_url,
    }
    program = installed / "node_modules" / "@runpod" / "mcp-server" / "dist" / "stdio.mjs"
    pipe, nowhere = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen(
        ["node", str(program)], env=environment, stdin=pipe, stdout=pipe, stderr=nowhere, text=True
    )
    try:
        yield Tools(process)
    finally:
        process.kill()
        process.wait()


def wanted(image: str) -> dict[str, Any]:
    """An endpoint to create."""
    scaling = {"type": "QUEUE_DELAY", "queueDelay": 4}
    gpu = {"pools": ["ADA_24"]}
    return {"name": "n", "image": image, "type": "QUEUE", "gpu": gpu, "scaling": scaling, "env": {"WHO": "me"}}


def test_an_endpoint_lives_from_its_creation_to_its_end(tools: Tools) -> None:
    assert tools.call("list-endpoints")["items"] == []
    endpoint = tools.call("create-endpoint", body=wanted("you/echo:1"))["id"]
    done = tools.call("runsync-endpoint", endpointId=endpoint, input={"a": 1})
    assert (done["status"], done["output"]) == ("COMPLETED", {"got": {"a": 1}, "who": "me"})
    workers = tools.call("list-endpoint-workers", id=endpoint)
    assert [one["id"] for one in workers["workers"]] == [done["workerId"]]
    assert workers["summary"]["total"] == 1
    assert tools.call("endpoint-health", endpointId=endpoint)["jobs"]["completed"] == 1
    assert tools.call("update-endpoint", id=endpoint, body={"env": {"WHO": "you"}})["env"] == {"WHO": "you"}
    assert [one["version"] for one in tools.call("list-endpoint-releases", id=endpoint)["releases"]] == [2, 1]
    assert tools.call("list-endpoints")["items"][0]["id"] == endpoint
    assert tools.call("delete-endpoint", id=endpoint)["status"] == 204
    assert tools.call("list-endpoints")["items"] == []


def test_refusals_reach_whoever_calls_the_tool(tools: Tools) -> None:
    unknown = tools.call("create-endpoint", body=wanted("you/other"))
    assert (unknown["status"], "image 'you/other'" in unknown["detail"]) == (422, True)
    for tool in ("list-pods", "list-templates", "list-gpu-types", "list-network-volumes", "list-registries"):
        told = tools.call(tool)
        assert (told["status"], "docs/management.md#not-emulated" in told["detail"]) == (501, True)
