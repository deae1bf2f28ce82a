"""Whoever follows docs/openai.md gets what it says: every command and snippet of it runs here."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest
from runpod_emulator.core.platform import preset
from runpod_emulator.testing import Emulator

from tests.compat.servers import LIMIT, ROOT, Command, commands
from tests.conftest import require

pytestmark = pytest.mark.compat

PAGE = (ROOT / "docs" / "openai.md").read_text(encoding="utf-8")
ANY, PACED, STRICT, STUBBED, FIRST, SLOW, VLLM, MOCK, CANCELS = range(9)


def blocks(language: str) -> list[str]:
    """The page's code in this language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


SNIPPET, FORMED, TEST = blocks("python")
MODEL_STUBS, STUBS = blocks("yaml")
REFUSAL, NATIVE, NATIVE_OUTPUT = blocks("json")
(CURL,) = [block for block in blocks("sh") if block.startswith("curl ")]
COMMANDS = [block for block in blocks("sh") if block != CURL]


def start_of(command: str) -> tuple[list[str], dict[str, str]]:
    """The arguments of a command of the page, and the variables before it."""
    words = shlex.split(command.replace("\\\n", " "))
    at = words.index("runpod-emulator")
    return words[at + 1 :], dict(word.split("=", 1) for word in words[:at])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Command]]:
    """Each command of the page, where its files are. The example stands in for the vLLM worker."""
    folder = tmp_path_factory.mktemp("openai")
    (folder / "handlers").symlink_to(ROOT / "handlers")
    (folder / "src").mkdir()
    shutil.copy(ROOT / "handlers" / "openai_chat.py", folder / "src" / "main.py")
    (folder / "stubs.yaml").write_text(STUBS)
    (folder / "model.yaml").write_text(MODEL_STUBS)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # where `python` is
    with commands(folder) as start:
        started = []
        for command in COMMANDS:
            arguments, variables = start_of(command)
            started.append(start(*arguments, "--port", 0, PATH=path, **variables))
        yield [command.ready() for command in started]


def ask(server: Command, endpoint: str, route: str, body: Any = None) -> httpx.Response:
    method = "GET" if body is None else "POST"
    return server.http.request(method, f"/{endpoint}/openai{route}", json=body)


def chat(server: Command, endpoint: str, **more: Any) -> Any:
    body = {"messages": [{"role": "user", "content": "hello"}], **more}
    return ask(server, endpoint, "/v1/chat/completions", body).json()["choices"][0]["message"]["content"]


def there(text: str, server: Command) -> str:
    """A snippet that calls this server."""
    assert "http://127.0.0.1:8000/" in text
    return text.replace("http://127.0.0.1:8000", server.root_url)


def run(*command: str, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_has_the_commands_that_are_tested() -> None:
    assert len(COMMANDS) == CANCELS + 1
    assert all("runpod-emulator serve " in command for command in COMMANDS)


def test_curl(served: list[Command]) -> None:
    require("curl", "sh")
    answer = json.loads(run("sh", "-c", there(CURL, served[ANY])))
    assert answer["model"] == "meta-llama/Llama-3.3-70B-Instruct"
    assert len(answer["choices"][0]["message"]["content"].split()) >= 16


def test_the_official_client(served: list[Command]) -> None:
    whole, streamed = run(sys.executable, "-c", there(SNIPPET, served[ANY])).splitlines()
    text, _, tokens = whole.rpartition(" ")
    assert (text, int(tokens) > 16) == (streamed, True)


def test_a_form(served: list[Command]) -> None:
    assert 18 <= int(run(sys.executable, "-c", there(FORMED, served[ANY]))) <= 99


def test_a_pace_is_kept_and_measured(served: list[Command]) -> None:
    assert chat(served[PACED], "llm", model="acme/tiny") == "hello"
    assert ask(served[PACED], "llm", "/v1/chat/completions", {"messages": [], "model": "x"}).json()["code"] == 400
    text = ask(served[PACED], "llm", "/metrics").text
    named = re.findall(r"`(vllm:\w+)`", PAGE)
    assert len(named) == 6
    assert [name for name in named if name not in text] == []
    assert 0.08 <= float(re.findall(r"time_to_first_token_seconds_sum\S* (\S+)", text)[0]) <= 0.36


def test_what_is_refused(served: list[Command]) -> None:
    body = {"model": "gpt-4", "messages": [{"role": "user", "content": "hello"}]}
    refused = ask(served[PACED], "llm", "/v1/chat/completions", body)
    assert (refused.status_code, refused.text) == (200, REFUSAL.strip())
    strict = ask(served[STRICT], "llm", "/v1/chat/completions", {**body, "messages": []})
    assert (strict.status_code, strict.json()["error"]["type"]) == (400, "BadRequestError")


def test_stubs_go_before_the_model(served: list[Command]) -> None:
    server = served[STUBBED]
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    assert chat(server, "llm", messages=asked) == "Paris."
    greedy, unlucky = (
        ask(server, "llm", "/v1/chat/completions", {"messages": asked, "user": user}) for user in ("greedy", "unlucky")
    )
    assert (greedy.json()["code"], unlucky.status_code) == (429, 500)
    assert len(chat(server, "llm").split()) >= 16


def test_another_name_of_the_model(served: list[Command]) -> None:
    models = ask(served[SLOW], "openai_chat", "/v1/models").json()
    assert [model["id"] for model in models["data"]] == ["tiny"]
    assert chat(served[SLOW], "openai_chat", model="tiny") == "You said: hello"


def test_jobs_in_the_workers_own_form(served: list[Command]) -> None:
    asked, output = json.loads(NATIVE), json.loads(NATIVE_OUTPUT)
    http = served[FIRST].http
    assert http.post("/openai_chat/runsync", json=asked).json()["output"] == output
    asked["input"]["stream"] = True
    job = http.post("/openai_chat/run", json=asked).json()["id"]
    parts: list[Any] = []
    while (answer := http.get(f"/openai_chat/stream/{job}").json())["stream"] or answer["status"] != "COMPLETED":
        parts += [chunk["output"] for chunk in answer["stream"]]
    assert [part["choices"][0]["tokens"] for part in parts] == [["You"], [" said:", " hello"]]
    assert parts[-1]["usage"] == output[0]["usage"]
    assert http.get(f"/openai_chat/status/{job}").json()["output"] == parts


def test_a_worker_that_the_server_starts(served: list[Command]) -> None:
    assert chat(served[VLLM], "llm") == "You said: hello"


@pytest.mark.parametrize("row", re.findall(r"^\| `(?:POST|GET) /v2.*$", PAGE, re.MULTILINE))
def test_what_a_worker_sees(served: list[Command], row: str) -> None:
    method, path, told = re.findall(r"^\| `(\S+) /v2/llm/openai([^` ]+)`.*\| `(.+)` \|$", row)[0]
    body = {"messages": []} if method == "POST" else None
    ask(served[VLLM], "llm", path, body)
    jobs = served[VLLM].http.get(f"{served[VLLM].root_url}/__emulator/jobs").json()["jobs"]
    assert json.loads(told.replace(": B}", f": {json.dumps(body)}}}")) in [job["input"] for job in jobs]


def test_the_stubs(served: list[Command]) -> None:
    server = served[MOCK]
    assert chat(server, "llm", user="Ann") == "Hi, Ann"
    events = ask(server, "llm", "/v1/chat/completions", {"stream": True})
    assert events.headers["content-type"].startswith("text/event-stream")
    *chunks, last = events.text.removesuffix("\n\n").split("\n\n")
    texts = [json.loads(chunk.removeprefix("data: "))["choices"][0]["delta"]["content"] for chunk in chunks]
    assert (texts, last) == (["Hel", "lo"], "data: [DONE]")
    failed = ask(server, "llm", "/v1/chat/completions", {"model": "broken"})
    error = re.findall(r"the 500 is `(.+?)`", PAGE, re.DOTALL)[0].replace("\n", " ")
    assert (failed.status_code, failed.text) == (500, error)


@pytest.mark.parametrize(
    ("output", "text"), [({"a": 1}, '{"a":1}'), ([{"a": 1}, 2], '{"a":1}'), ('{"a":1}', '{"a":1}'), (["{}"], "{}")]
)
def test_what_becomes_of_an_output(served: list[Command], output: Any, text: str) -> None:
    server = served[MOCK]
    stub = {"id": "output", "endpoint": "llm", "priority": 1, "respond": {"output": output}}
    server.http.post(f"{server.root_url}/__emulator/stubs", json=stub).raise_for_status()
    assert ask(server, "llm", "/v1/other", {}).text == text
    server.http.delete(f"{server.root_url}/__emulator/stubs/output").raise_for_status()


def test_the_test(runpod_emulator: Emulator) -> None:
    names: dict[str, Any] = {}
    exec(TEST, names)
    names["test_a_busy_endpoint"](runpod_emulator)
    assert runpod_emulator.requests()


def test_the_fields_are_those_of_the_platform() -> None:
    rows = re.findall(r"^\| `(openai_\w+)` \| `(\w+)` \|", PAGE, re.MULTILINE)
    platform = preset("observed")
    names = [field.name for field in fields(platform) if field.name.startswith("openai_")]
    assert dict(rows) == {name: str(getattr(platform, name)) for name in names}
    assert platform.rate_limit_window == 10_000


def test_fields_that_are_set(served: list[Command]) -> None:
    assert chat(served[CANCELS], "openai_chat") == "You said: hello"


def test_links_lead_somewhere() -> None:
    for target, _, anchor in re.findall(r"\]\(([^)#]+)(#([^)]+))?\)", PAGE):
        file = ROOT / "docs" / target
        assert file.exists(), target
        titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles]
