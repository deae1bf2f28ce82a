"""OpenAI's clients and those that build on them, against a model that is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.servers import LIMIT, commands
from tests.conftest import require

pytestmark = pytest.mark.compat

HERE = Path(__file__).parent
PYTHON = Path(sys.prefix) / "public" / "bin" / "python"
"""The interpreter that has the Python clients; `make compat` makes its environment."""


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where the clients find a model, and one whose errors have their statuses."""
    with commands(tmp_path_factory.mktemp("models")) as start:
        serve = ("serve", "--openai", "llm", "--seed", 1, "--port", 0)
        servers = start(*serve), start(*serve, "--set", "openai_errors=status")
        found = [f"{server.ready().base_url}/llm/openai/v1" for server in servers]
        yield dict(zip(("BASE_URL", "STRICT_URL"), found, strict=True))


def outcome(command: list[str], addresses: dict[str, str], **options: Any) -> Any:
    """What each case of a program of clients saw."""
    environment = {**os.environ, **addresses, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def python(addresses: dict[str, str]) -> Any:
    """What the Python clients saw."""
    if not PYTHON.is_file():
        reason = f"needs {PYTHON} with the public clients: make .venv/.public"
        (pytest.fail if os.environ.get("EMULATOR_TESTS_STRICT") else pytest.skip)(reason)
    return outcome([str(PYTHON), str(HERE / "clients.py")], addresses)


@pytest.fixture(scope="module")
def javascript(addresses: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the JavaScript clients saw; their packages are those that the lock names."""
    require("node", "npm")
    folder = tmp_path_factory.getbasetemp() / "public-js"
    shutil.copytree(HERE / "js", folder, ignore=shutil.ignore_patterns("node_modules"))
    install = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return outcome(["node", "clients.mjs"], addresses, cwd=folder)


def answered(seen: Any, name: str) -> Any:
    assert "answered" in seen[name], seen[name]["raised"]
    return seen[name]["answered"]


def is_person(given: Any) -> bool:
    return 18 <= given["age"] <= 99 and isinstance(given["name"], str) and isinstance(given["tags"], list)


def test_openai(python: Any) -> None:
    chat, responses = answered(python, "openai_chat"), answered(python, "openai_responses")
    assert chat["text"] == chat["streamed"]
    assert (chat["tokens"] > 16, chat["models"], chat["floats"]) == (True, ["emulator/any"], 1_024)
    assert responses["text"] == responses["streamed"]
    assert responses["last"] == "response.completed"
    assert is_person(answered(python, "openai_parse"))
    assert len(set(answered(python, "openai_async"))) == 5


def test_openai_raises_what_is_refused(python: Any) -> None:
    error = answered(python, "openai_refusal")
    assert (error["code"], error["type"], error["param"]) == (400, "BadRequestError", "messages")


def test_litellm(python: Any) -> None:
    seen = answered(python, "litellm")
    assert seen["text"] == seen["streamed"] == answered(python, "openai_chat")["text"]
    assert seen["vector"] == 1_024


def test_langchain(python: Any) -> None:
    seen = answered(python, "langchain")
    assert seen["text"] == seen["streamed"]
    assert (seen["calls"], seen["vectors"]) == ([["weather", "int"]], [1_024, 1_024])
    assert is_person(seen["parsed"])


def test_llama_index(python: Any) -> None:
    seen = answered(python, "llama_index")
    assert len(seen["text"]) > 16
    assert seen["text"] == seen["streamed"]


def test_instructor(python: Any) -> None:
    assert is_person(answered(python, "instructor"))


def test_openai_in_javascript(javascript: Any) -> None:
    seen = answered(javascript, "openai")
    assert seen["text"] == seen["streamed"]
    assert (seen["vector"], seen["response"]) == (1_024, True)
    assert answered(javascript, "refusal") == {"status": 400, "param": "messages"}


def test_the_ai_sdk_with_its_runpod_provider(javascript: Any) -> None:
    seen = answered(javascript, "aiSdk")
    assert seen["text"] == seen["streamed"] == answered(javascript, "openai")["text"]
    assert (seen["tokens"] > 16, seen["finish"]) == (True, "stop")


def test_a_loop_of_tool_calls_ends(javascript: Any) -> None:
    assert answered(javascript, "aiSdkTools") == {"calls": 1, "steps": 2, "text": True}
