"""The example handlers: each one alone, and its documentation."""

from __future__ import annotations

import ast
import asyncio
import base64
import importlib.util
import inspect
import json
import math
import os
import re
import runpy
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "handlers"
FILES = sorted(FOLDER.glob("*.py"))
every_example = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


class FakeRunpod(ModuleType):
    """Stands in for the SDK: remembers what a handler tells it."""

    def __init__(self) -> None:
        super().__init__("runpod")
        self.serverless = self
        self.configs: list[dict[str, Any]] = []
        self.progress: list[Any] = []

    def start(self, config: dict[str, Any]) -> None:
        self.configs.append(config)

    def progress_update(self, job: dict[str, Any], progress: Any) -> None:
        self.progress.append(progress)


@pytest.fixture
def runpod(monkeypatch: pytest.MonkeyPatch) -> FakeRunpod:
    fake = FakeRunpod()
    monkeypatch.setitem(sys.modules, "runpod", fake)
    monkeypatch.setattr(sys, "argv", ["handler.py"])
    return fake


@pytest.fixture
def load(runpod: FakeRunpod) -> Callable[[str], Any]:
    """Import an example by its stem, afresh."""

    def load(stem: str) -> Any:
        spec = importlib.util.spec_from_file_location(f"example_{stem}", FOLDER / f"{stem}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Nobody sleeps; the list holds how long they wanted to."""
    wanted: list[float] = []

    async def nap(seconds: float) -> None:
        wanted.append(seconds)

    monkeypatch.setattr(time, "sleep", wanted.append)
    monkeypatch.setattr(asyncio, "sleep", nap)
    return wanted


async def collect(chunks: AsyncIterator[Any]) -> list[Any]:
    return [chunk async for chunk in chunks]


def run(handler: Callable[[dict[str, Any]], Any], **job_input: Any) -> Any:
    """Call a handler the way a worker does; a generator's chunks come as a list."""
    result = handler({"id": "job-1", "input": job_input})
    if inspect.isasyncgen(result):
        result = collect(result)
    if inspect.iscoroutine(result):
        return asyncio.run(result)
    return list(result) if inspect.isgenerator(result) else result


def config_of(path: Path, runpod: FakeRunpod) -> dict[str, Any]:
    """Run an example as a script and give what it passed to `start`."""
    runpy.run_path(str(path), run_name="__main__")
    (config,) = runpod.configs
    return config


def docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def requests(path: Path) -> list[dict[str, Any]]:
    """Every request that the docstring prints."""
    text = docstring(path)
    objects = []
    end = 0
    while (start := text.find('{"input"', end)) >= 0:
        found, end = json.JSONDecoder().raw_decode(text, start)
        objects.append(found)
    return objects


# One by one


def test_echo_gives_the_input_back(load: Any) -> None:
    assert run(load("echo").handler, a=1, b=[None]) == {"a": 1, "b": [None]}


def test_progress_reports_each_step(load: Any, runpod: FakeRunpod, naps: list[float]) -> None:
    assert run(load("progress").handler, steps=2, delay=7) == {"steps": 2}
    assert runpod.progress == [{"step": 1, "of": 2}, {"step": 2, "of": 2}]
    assert naps == [7, 7]


def test_tokens_keep_the_text_whole(load: Any, naps: list[float]) -> None:
    chunks = run(load("tokens").handler, text="one  two\nthree", delay=3)
    assert chunks == ["one  ", "two\n", "three"]
    assert naps == [3, 3, 3]


def test_tokens_async_numbers_its_chunks(load: Any, naps: list[float]) -> None:
    chunks = run(load("tokens_async").handler, text="one two", delay=3)
    assert chunks == [{"index": 0, "token": "one"}, {"index": 1, "token": "two"}]
    assert naps == [3, 3]


def test_parallel_jobs_share_the_worker(load: Any) -> None:
    parallel = load("parallel")

    async def together() -> list[dict[str, int]]:
        jobs = [{"id": name, "input": {"delay": 0}} for name in "abc"]
        return list(await asyncio.gather(*map(parallel.handler, jobs)))

    assert [answer["running_at_start"] for answer in asyncio.run(together())] == [1, 2, 3]
    assert not parallel.running
    assert parallel.concurrency_modifier(1) == parallel.JOBS_AT_ONCE


def test_parallel_forgets_a_cancelled_job(load: Any) -> None:
    parallel = load("parallel")

    async def cancel() -> None:
        task = asyncio.ensure_future(parallel.handler({"id": "a", "input": {"delay": 60}}))
        while not parallel.running:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert not parallel.running


@pytest.mark.parametrize(("mode", "error"), [("raise", RuntimeError), ("sideways", ValueError)])
def test_failing_raises(load: Any, mode: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=mode if error is ValueError else "broken"):
        run(load("failing").handler, mode=mode, message="broken")


def test_failing_returns_an_error(load: Any) -> None:
    assert run(load("failing").handler, mode="return", message="broken")["error"] == "broken"


class Crashed(BaseException):
    """Stands in for the end of the process."""


@pytest.fixture
def crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        raise Crashed(code)

    monkeypatch.setattr(os, "_exit", leave)


def test_failing_crashes(load: Any, crash: None) -> None:
    with pytest.raises(Crashed):
        run(load("failing").handler, mode="crash")


def test_picture_is_a_png_of_the_size_and_color(load: Any) -> None:
    answer = run(load("picture").handler, width=3, height=2, color="#010203")
    assert (answer["width"], answer["height"], answer["content_type"]) == (3, 2, "image/png")
    chunks = dict(png_chunks(base64.b64decode(answer["image"])))
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert chunks[b"IHDR"] == bytes([0, 0, 0, 3, 0, 0, 0, 2, 8, 2, 0, 0, 0])
    assert zlib.decompress(chunks[b"IDAT"]) == (b"\0" + b"\1\2\3" * 3) * 2


def png_chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and data of each chunk, checked against its checksum."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at = 8
    while at < len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4], "big")
        assert zlib.crc32(png[at + 4 : end]) == int.from_bytes(png[end : end + 4], "big")
        yield png[at + 4 : at + 8], png[at + 8 : end]
        at = end + 4


@pytest.mark.parametrize("wrong", [{"width": -1}, {"height": 99_999}, {"color": "#00"}], ids=str)
def test_picture_refuses(load: Any, wrong: dict[str, Any]) -> None:
    assert "error" in run(load("picture").handler, **wrong)


def test_refresh_counts_and_asks_for_a_fresh_worker(load: Any) -> None:
    handler = load("refresh").handler
    assert run(handler) == {"jobs_of_this_worker": 1, "refresh_worker": True}
    assert run(handler, refresh=False) == {"jobs_of_this_worker": 2, "refresh_worker": False}


# The mock worker


def test_mock_returns_after_the_delay(load: Any, naps: list[float]) -> None:
    assert run(load("mock_worker").handler, mock_return=["x"], mock_delay=5) == ["x"]
    assert naps == [5]


def test_mock_reports_progress(load: Any, runpod: FakeRunpod, naps: list[float]) -> None:
    asked = {"updates": ["10%", {"pct": 50}], "wait_time": 2}
    assert run(load("mock_worker").handler, mock_return="p", mock_progress=asked) == "p"
    assert runpod.progress == ["10%", {"pct": 50}]
    assert naps == [0, 2, 2]


def test_mock_asks_for_a_fresh_worker(load: Any) -> None:
    answer = run(load("mock_worker").handler, mock_return="r", mock_refresh=True)
    assert answer == {"refresh_worker": True, "mock_return": "r"}


def test_mock_logs(load: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run(load("mock_worker").handler, mock_logs=[{"level": "warn", "message": "hot"}, {}])
    assert capsys.readouterr().out == "WARN   | job-1 | hot\nINFO   | job-1 | \n"


@pytest.mark.parametrize("kind", ["handler", "generator_handler", "async_generator_handler"])
def test_mock_fails_in_every_kind(load: Any, crash: None, kind: str) -> None:
    handler = getattr(load("mock_worker"), kind)
    with pytest.raises(Exception, match=r"^Mock error$"):
        run(handler, mock_error=True)
    with pytest.raises(Crashed):
        run(handler, mock_crash=True)


@pytest.mark.parametrize("kind", ["generator_handler", "async_generator_handler"])
def test_mock_streams(load: Any, naps: list[float], kind: str) -> None:
    assert run(getattr(load("mock_worker"), kind), mock_return=["a", {"b": 1}], mock_delay=2) == ["a", {"b": 1}]
    assert naps == [2, 2]


@pytest.mark.parametrize(
    ("flags", "kind", "aggregate"),
    [
        ([], "handler", False),
        (["--generator", "--return_aggregate_stream"], "generator_handler", True),
        (["--rp_log_level", "INFO", "--async_generator"], "async_generator_handler", False),
    ],
)
def test_mock_is_chosen_by_flags(
    runpod: FakeRunpod, monkeypatch: pytest.MonkeyPatch, flags: list[str], kind: str, aggregate: bool
) -> None:
    monkeypatch.setattr(sys, "argv", ["mock_worker.py", *flags])
    config = config_of(FOLDER / "mock_worker.py", runpod)
    assert (config["handler"].__name__, config["return_aggregate_stream"]) == (kind, aggregate)


def test_mock_takes_its_concurrency_from_the_environment(runpod: FakeRunpod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["mock_worker.py", "--async_generator"])
    modifier = config_of(FOLDER / "mock_worker.py", runpod)["concurrency_modifier"]
    assert modifier(3) == 3
    monkeypatch.setenv("CONCURRENCY_MODIFIER", "8")
    assert modifier(3) == 8


# The OpenAI routes

ASKED = [{"role": "user", "content": "no"}, {"role": "assistant", "content": "no"}, {"role": "user", "content": "a  b"}]


@pytest.fixture
def ask(load: Any) -> Callable[..., list[Any]]:
    """What the handler yields for a route and a body."""
    handler = load("openai_chat").handler
    return lambda route, **body: run(handler, openai_route=route, openai_input=body)


def events(chunks: list[str]) -> list[dict[str, Any]]:
    """What is in the events of a stream that ends as it must."""
    assert chunks[-1] == "data: [DONE]\n\n"
    assert all(chunk.startswith("data: {") and chunk.endswith("}\n\n") for chunk in chunks[:-1])
    return [json.loads(chunk.removeprefix("data: ")) for chunk in chunks[:-1]]


def test_openai_chat_answers_the_last_user_message(ask: Any) -> None:
    (answer,) = ask("/v1/chat/completions", model="emulator/echo", messages=ASKED)
    assert answer == {
        "id": "chatcmpl-job-1",
        "created": 1_700_000_000,
        "model": "emulator/echo",
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": None,
                "message": {"role": "assistant", "content": "You said: a  b"},
            }
        ],
        "usage": {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8},
    }


def test_openai_chat_reads_messages_in_parts(ask: Any) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}, {"type": "text"}]
    (answer,) = ask("/v1/chat/completions", messages=[{"role": "user", "content": parts}])
    assert answer["choices"][0]["message"]["content"].split() == ["You", "said:", "a"]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_openai_chat_gives_n_choices_of_so_many_tokens(ask: Any, name: str) -> None:
    (answer,) = ask("/v1/chat/completions", messages=ASKED, n=2, **{name: 3})
    told = [(each["index"], each["message"]["content"], each["finish_reason"]) for each in answer["choices"]]
    assert told == [(0, "You said: a", "length"), (1, "You said: a", "length")]
    assert answer["usage"]["completion_tokens"] == 6


def test_openai_chat_streams(ask: Any) -> None:
    found = events(ask("/v1/chat/completions", messages=ASKED, stream=True))
    choices = [chunk["choices"][0] for chunk in found]
    assert [choice["delta"].get("content") for choice in choices] == ["", "You", " said:", " a", "  b", None]
    assert [choice["finish_reason"] for choice in choices] == [None] * 5 + ["stop"]
    assert choices[0]["delta"]["role"] == "assistant"
    assert {chunk["object"] for chunk in found} == {"chat.completion.chunk"}
    assert not any("usage" in chunk for chunk in found)


def test_openai_chat_streams_its_usage_if_asked(ask: Any) -> None:
    *_, last = events(ask("/v1/completions", prompt="a b", stream=True, stream_options={"include_usage": True}))
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 6)


def test_openai_chat_completes_each_prompt(ask: Any) -> None:
    (answer,) = ask("/v1/completions", prompt=["a", [1, 2]])
    assert [choice["text"] for choice in answer["choices"]] == ["You said: a", "You said: 1 2"]
    assert (answer["id"], answer["object"]) == ("cmpl-job-1", "text_completion")
    found = events(ask("/v1/completions", prompt="a b", stream=True))
    assert [chunk["choices"][0]["text"] for chunk in found] == ["You", " said:", " a", " b", ""]


def batch(tokens: list[list[str]], output: int, input: int = 2) -> dict[str, Any]:
    """A part of an answer in the worker's own form."""
    return {"choices": [{"tokens": one} for one in tokens], "usage": {"input": input, "output": output}}


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        ({"prompt": "a b"}, [batch([["You said: a b"]], 4)]),
        ({"messages": ASKED}, [batch([["You said: a  b"]], 4, input=4)]),
        ({"prompt": "a b", "sampling_params": {"max_tokens": 2, "n": 2}}, [batch([["You said:"]] * 2, 4)]),
        ({"prompt": "a " * 20}, [batch([["You said:" + " a" * 14]], 16, input=20)]),  # vLLM's own limit
        ({"prompt": "a b", "stream": True}, [batch([["You"]], 1), batch([[" said:", " a", " b"]], 4)]),
        (
            {"prompt": "a b", "stream": True, "sampling_params": {"n": 2, "max_tokens": 1}},
            [batch([["You"], []], 1), batch([[], ["You"]], 2)],
        ),
        ({"prompt": "a b", "stream": True, "max_batch_size": 3, "min_batch_size": 3, "batch_size_growth_factor": 1},
         [batch([["You", " said:", " a"]], 3), batch([[" b"]], 4)]),
    ],
    ids=["prompt", "messages", "choices", "limit", "stream", "stream of choices", "batches"],
)  # fmt: skip
def test_openai_chat_answers_native_jobs_as_the_vllm_worker_does(
    load: Any, asked: dict[str, Any], parts: list[dict[str, Any]]
) -> None:
    assert run(load("openai_chat").handler, **asked) == parts


def test_openai_chat_can_answer_native_jobs_in_the_shape_of_openai(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATIVE_OUTPUT", "openai")
    handler = load("openai_chat").handler
    (chat,) = run(handler, messages=ASKED, sampling_params={"max_tokens": 3})
    assert chat["choices"][0]["message"]["content"] == "You said: a"
    (text,) = run(handler, prompt="a b", sampling_params={"n": 2})
    assert [choice["text"] for choice in text["choices"]] == ["You said: a b"] * 2
    assert events(run(handler, prompt="a", stream=True))


def test_openai_chat_takes_a_route_and_a_body(load: Any) -> None:
    (answer,) = run(load("openai_chat").handler, route="/v1/completions", body={"prompt": "a"})
    assert answer["choices"][0]["text"] == "You said: a"


def test_openai_chat_takes_the_delay_of_each_token(
    load: Any, naps: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_DELAY", "0.5")
    handler = load("openai_chat").handler
    run(handler, prompt="a")
    assert naps == [0.5] * 3
    run(handler, prompt="a", stream=True)
    assert naps == [0.5] * 6


def test_openai_chat_makes_unit_vectors_of_the_text_alone(ask: Any) -> None:
    (answer,) = ask("/v1/embeddings", input=["a", "b", "a"], dimensions=8)
    first, second, third = [each["embedding"] for each in answer["data"]]
    assert first == third != second
    assert [len(first), round(math.hypot(*first), 9)] == [8, 1]
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}
    (packed,) = ask("/v1/embeddings", input="a", dimensions=8, encoding_format="base64")
    unpacked = struct.unpack("<8f", base64.b64decode(packed["data"][0]["embedding"]))
    assert unpacked == pytest.approx(first)


def test_openai_chat_lists_and_retrieves_its_model(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_SERVED_MODEL_NAME_OVERRIDE", "org/tiny")
    handler = load("openai_chat").handler
    (models,) = run(handler, openai_route="/v1/models", openai_input={})
    assert [card["id"] for card in models["data"]] == ["org/tiny"]
    assert run(handler, openai_route="/v1/models/org%2Ftiny", openai_input={}) == models["data"]


OTHERS = [("/v1/models/org%2Fother", {}), ("/v1/completions", {"model": "org/other", "prompt": "a"})]


@pytest.mark.parametrize(("route", "body"), OTHERS)
def test_openai_chat_takes_any_model_name(ask: Any, route: str, body: dict[str, Any]) -> None:
    (answer,) = ask(route, **body)
    assert (answer.get("model") or answer["id"]) == "org/other"


@pytest.mark.parametrize(("route", "body"), OTHERS)
def test_openai_chat_that_is_told_its_name_answers_another_with_an_error_object(
    load: Any, monkeypatch: pytest.MonkeyPatch, route: str, body: dict[str, Any]
) -> None:
    monkeypatch.setenv("OPENAI_SERVED_MODEL_NAME_OVERRIDE", "org/tiny")
    (answer,) = run(load("openai_chat").handler, openai_route=route, openai_input=body)
    assert answer == {
        "object": "error", "message": "The model `org/other` does not exist.", "type": "NotFoundError", "param": None,
        "code": 404,
    }  # fmt: skip


def test_openai_chat_answers_an_unknown_route_with_an_error_object(ask: Any) -> None:
    (answer,) = ask("/v1/nonsense")
    assert (answer["object"], answer["type"], answer["code"], answer["param"]) == ("error", "NotFoundError", 404, None)
    assert "/v1/nonsense" in answer["message"]


# All of them


@every_example
def test_an_empty_input_has_defaults(path: Path, runpod: FakeRunpod, naps: list[float]) -> None:
    handler = config_of(path, runpod)["handler"]
    if path.stem == "failing":
        with pytest.raises(RuntimeError, match="failed on request"):
            run(handler)
    else:
        json.dumps(run(handler), allow_nan=False)
    assert sum(naps) <= 1


@every_example
def test_start_gets_only_what_the_sdk_knows(path: Path, runpod: FakeRunpod) -> None:
    known = {"handler", "return_aggregate_stream", "concurrency_modifier", "refresh_worker"}
    assert set(config_of(path, runpod)) <= known


@every_example
def test_its_name_shadows_no_module(path: Path) -> None:
    assert path.stem not in sys.stdlib_module_names


@every_example
def test_it_starts_with_a_docstring_and_ends_with_start(path: Path) -> None:
    *_, last = ast.parse(path.read_text(encoding="utf-8")).body
    assert isinstance(last, ast.If) and ast.unparse(last.test) == "__name__ == '__main__'"
    assert ast.unparse(last.body[-1]).startswith("runpod.serverless.start(")
    assert re.match(r"[A-Z].*[.;:]", docstring(path))


@every_example
def test_it_needs_only_the_standard_library_and_runpod(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    plain = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    others = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {name.partition(".")[0] for name in plain | others}
    assert roots <= sys.stdlib_module_names | {"runpod"}
    uses = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    uses = {use for use in uses if use.startswith("runpod.")}
    assert uses <= {"runpod.serverless", "runpod.serverless.start", "runpod.serverless.progress_update"}


@every_example
def test_its_docstring_holds_a_request_and_the_same_as_curl(path: Path) -> None:
    request, sent = requests(path)
    assert isinstance(request["input"], dict)
    assert request == sent
    curl = docstring(path).partition("curl ")[2].replace("\\\n", " ")
    assert f"http://127.0.0.1:8000/v2/{path.stem}/runsync -H 'Authorization: Bearer any-key' " in curl
    assert re.search(r"-H 'Content-Type: application/json' +-d '\{[^']+\}'$", curl)


def test_the_readme_lists_them_all() -> None:
    listed = re.findall(r"^\| \[`(\w+\.py)`\]\(\1\)", (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == [path.name for path in FILES]


# On their own, with the official SDK


@pytest.fixture(scope="module")
def alone() -> Iterator[Callable[[Path], tuple[int, str]]]:
    """Run examples as programs. The SDK imports slowly, so they all start together."""
    if importlib.util.find_spec("runpod") is None:
        pytest.skip("the official SDK is not installed")
    started = {path: start_alone(path) for path in FILES}

    def outcome(path: Path) -> tuple[int, str]:
        output, _ = started[path].communicate(timeout=60)
        return started[path].returncode, output

    yield outcome
    for process in started.values():
        process.kill()
        process.communicate()


def start_alone(path: Path) -> subprocess.Popen[str]:
    # Unbuffered: the SDK's threads may still print at the very end, and a buffer's lock would then abort the exit.
    command = [sys.executable, "-u", str(path), "--test_input", json.dumps(requests(path)[0])]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)


RESULTS = {
    "echo": "{'output': {'message': 'hello'}}",
    "mock_worker": "{'output': {'answer': 42}}",
    "openai_chat": "{'output': <async_generator object handler",
    "parallel": "{'output': {'running_at_start': 1, 'running_at_end': 1}}",
    "picture": "{'output': {'image': 'iVBORw0KGgo",
    "progress": "{'output': {'steps': 4}}",
    "refresh": "{'output': {'jobs_of_this_worker': 1}, 'stopPod': True}",
    "tokens": "{'output': <generator object handler",  # the SDK's local run does not iterate
    "tokens_async": "{'output': <async_generator object handler",
}


@pytest.mark.compat
@every_example
def test_it_runs_on_its_own_with_the_official_sdk(path: Path, alone: Callable[[Path], tuple[int, str]]) -> None:
    code, output = alone(path)
    if path.stem == "failing":
        assert code == 1, output
        assert "Job local_test failed with error: " in output
        assert "out of memory" in output
    else:
        assert code == 0, output
        assert f"Job result: {RESULTS[path.stem]}" in output
