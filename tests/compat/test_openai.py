"""The official OpenAI client, `openai`, unmodified: only its base URL is set."""

from __future__ import annotations

import asyncio
import importlib
import shlex
import sys
import textwrap
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.servers import HANDLERS, LIMIT, Command, commands, until

pytestmark = pytest.mark.compat

MODEL = "emulator/echo"
KEY = "right-key"
EXAMPLE = HANDLERS / "openai_chat.py"

GATED = """
    import asyncio
    import sys
    from pathlib import Path

    import runpod

    sys.path.insert(0, {folder!r})
    import openai_chat


    async def pause(token):
        word = token.strip()
        if word == "broken":
            raise RuntimeError("out of memory")
        while word.startswith("gate-") and not (Path({gates!r}) / word).exists():
            await asyncio.sleep(0.01)


    openai_chat.pause = pause
    modifier = lambda current: 30
    start = {{"handler": openai_chat.handler, "concurrency_modifier": modifier, "return_aggregate_stream": True}}
    runpod.serverless.start(start)
    """
"""The example, but a word `gate-…` is said only once there is a file of this name."""


class Gates:
    """What holds the words of replies back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()

    def open(self, gate: str) -> None:
        (self._folder / gate).touch()

    @staticmethod
    def new() -> str:
        return f"gate-{uuid.uuid4().hex}"


class Servers:
    """The same endpoints as the service is thought to be, and with other settings: this one also wants KEY."""

    def __init__(self, folder: Path, start: Any) -> None:
        self.gates = Gates(folder / "gates")
        gated = folder / "gated.py"
        gated.write_text(textwrap.dedent(GATED).format(folder=str(HANDLERS), gates=str(folder / "gates")))
        sdk = shlex.join([sys.executable, "-u", str(EXAMPLE)])
        usual = ["serve", "--port", 0, "--endpoint", f"gated={gated}", "--workers-min", 1]
        goes_on = start(*usual, EXAMPLE, "--endpoint", f"llm={EXAMPLE}", "--command", f"sdk={sdk}")
        cancels = start(*usual, "--set", "openai_hangup=cancel", "--set", "openai_failure=shown", "--api-key", KEY)
        self.continue_: Command = goes_on.ready()
        self.cancel: Command = cancels.ready()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("openai")
    with commands(folder) as start:
        yield Servers(folder, start)


@pytest.fixture
def server(servers: Servers) -> Iterator[Command]:
    """The one with what the service is thought to do, with an empty journal."""
    admin(servers.continue_, "reset")
    return servers.continue_


@pytest.fixture
def gates(servers: Servers) -> Gates:
    return servers.gates


@pytest.fixture(scope="module")
def openai() -> Any:
    """The package. Its import takes a second, so only who runs these tests pays it."""
    return importlib.import_module("openai")


@pytest.fixture
def client(server: Command, openai: Any) -> Iterator[Any]:
    with openai.OpenAI(api_key="any-key", base_url=url(server, "llm"), timeout=LIMIT) as client:
        yield client


@pytest.fixture
async def later(server: Command, openai: Any) -> AsyncIterator[Any]:
    """The client for asyncio."""
    async with openai.AsyncOpenAI(api_key="any-key", base_url=url(server, "llm"), timeout=LIMIT) as client:
        yield client


def url(server: Command, endpoint: str) -> str:
    return f"{server.base_url}/{endpoint}/openai/v1"


def to(client: Any, server: Command, endpoint: str, **options: Any) -> Any:
    """The client of another endpoint, which does not try again."""
    return client.with_options(base_url=url(server, endpoint), **{"max_retries": 0, "api_key": KEY, **options})


def asking(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}


def admin(server: Command, path: str, body: Any = None) -> Any:
    answer = server.http.post(f"{server.root_url}/__emulator/{path}", json=body)
    return answer.raise_for_status().json() if answer.content else None


def calls(server: Command) -> list[dict[str, Any]]:
    """The requests that came to OpenAI routes since the reset."""
    return admin(server, "requests/find", {"operation": "openai"})["requests"]


def record(server: Command, job: str) -> dict[str, Any]:
    """The whole record of a job."""
    return server.http.get(f"{server.root_url}/__emulator/jobs/{job}").raise_for_status().json()


def ended(server: Command, job: str) -> dict[str, Any]:
    """The record of a job once it has ended."""
    assert admin(server, "wait", {"job": job, "timeout": "30s"})["ok"]
    return record(server, job)


def break_model(server: Command) -> None:
    """Let every job of the model gpt-9 fail."""
    for given in ({"openai_input": {"model": "gpt-9"}}, {"openai_route": "/v1/models/gpt-9"}):
        admin(server, "stubs", {"match": {"input": given}, "respond": {"error": "gpt-9 is out of memory"}})


def job_of(answer: Any) -> str:
    """The example names its answers after the job."""
    return answer.id.removeprefix("chatcmpl-")


def text_of(chunk: Any) -> str | None:
    return chunk.choices[0].delta.content


# What works


def test_chat(client: Any, server: Command) -> None:
    answer = client.chat.completions.create(**asking("hello  ünï", max_tokens=9))
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "You said: hello  ünï")
    assert (choice.finish_reason, answer.model, answer.object) == ("stop", MODEL, "chat.completion")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (2, 4, 6)
    (call,) = calls(server)
    assert (call["path"], call["status"], call["job"]) == ("/v2/llm/openai/v1/chat/completions", 200, job_of(answer))
    job = record(server, job_of(answer))
    assert job["input"] == {"openai_route": "/v1/chat/completions", "openai_input": call["body"]}
    assert (job["status"], len(job["output"])) == ("COMPLETED", 1)


def test_the_bare_answer_and_its_type(client: Any) -> None:
    whole = client.chat.completions.with_raw_response.create(**asking("hello"))
    assert (whole.status_code, whole.headers["content-type"]) == (200, "application/json")
    assert whole.http_response.json()["object"] == "chat.completion"
    with client.chat.completions.with_streaming_response.create(**asking("hello", stream=True)) as events:
        assert (events.status_code, events.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")
        text = events.read().decode()
    assert text.endswith('"delta": {}}]}\n\ndata: [DONE]\n\n')
    assert all(event.startswith("data: ") for event in text.rstrip("\n").split("\n\n"))


def test_streamed_chat(client: Any, server: Command) -> None:
    chunks = list(client.chat.completions.create(**asking("one two", stream=True)))
    assert [text_of(chunk) for chunk in chunks] == ["", "You", " said:", " one", " two", None]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert ended(server, job_of(chunks[0]))["output"][-1] == "data: [DONE]\n\n"


def test_streamed_chat_with_its_usage(client: Any) -> None:
    *_, last = client.chat.completions.create(**asking("one two", stream=True, stream_options={"include_usage": True}))
    assert (last.choices, last.usage.total_tokens) == ([], 6)


def test_chunks_arrive_as_they_are_made(client: Any, server: Command, gates: Gates) -> None:
    first, second = gates.new(), gates.new()
    gated = to(client, server, "gated")
    with gated.chat.completions.create(**asking(f"{first} {second}", stream=True)) as stream:
        assert [text_of(next(stream)) for _ in range(3)] == ["", "You", " said:"]
        gates.open(first)
        chunk = next(stream)
        assert text_of(chunk) == f" {first}"
        assert record(server, job_of(chunk))["status"] == "IN_PROGRESS"
        gates.open(second)
        assert [text_of(chunk) for chunk in stream] == [f" {second}", None]
    assert ended(server, job_of(chunk))["status"] == "COMPLETED"


async def test_asyncio_chat(later: Any) -> None:
    asked = [later.chat.completions.create(**asking(f"number {number}")) for number in range(20)]
    answers = [answer.choices[0].message.content for answer in await asyncio.gather(*asked)]
    assert answers == [f"You said: number {number}" for number in range(20)]


async def test_asyncio_chunks_arrive_as_they_are_made(later: Any, server: Command, gates: Gates) -> None:
    gate = gates.new()
    stream = await to(later, server, "gated").chat.completions.create(**asking(f"{gate} end", stream=True))
    assert [text_of(await anext(stream)) for _ in range(3)] == ["", "You", " said:"]
    gates.open(gate)
    chunks = [chunk async for chunk in stream]
    assert [text_of(chunk) for chunk in chunks] == [f" {gate}", " end", None]


def test_completions(client: Any) -> None:
    answer = client.completions.create(model=MODEL, prompt=["a", "b"], n=2, max_tokens=3)
    assert [choice.text for choice in answer.choices] == ["You said: a"] * 2 + ["You said: b"] * 2
    stream = client.completions.create(model=MODEL, prompt="a b", stream=True)
    assert [chunk.choices[0].text for chunk in stream] == ["You", " said:", " a", " b", ""]


def test_embeddings_come_as_base64_unless_asked_otherwise(client: Any, server: Command) -> None:
    packed = client.embeddings.create(model=MODEL, input=["a", "b"], dimensions=8)
    plain = client.embeddings.create(model=MODEL, input="a", dimensions=8, encoding_format="float")
    assert [call["body"]["encoding_format"] for call in calls(server)] == ["base64", "float"]
    assert [len(each.embedding) for each in packed.data] == [8, 8]
    assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding)


def test_models(client: Any, server: Command) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL
    inputs = [record(server, call["job"])["input"] for call in calls(server)]
    assert inputs == [
        {"openai_route": "/v1/models", "openai_input": {}},
        {"openai_route": "/v1/models/emulator%2Fecho", "openai_input": {}},
    ]


def test_any_model_name(client: Any) -> None:
    assert client.chat.completions.create(**asking("hello") | {"model": "org/gpt-9"}).model == "org/gpt-9"
    assert client.models.retrieve("org/gpt-9").id == "org/gpt-9"


def test_an_endpoint_whose_name_begins_with_openai(client: Any, server: Command) -> None:
    example = to(client, server, "openai_chat")
    assert example.chat.completions.create(**asking("hello")).choices[0].message.content == "You said: hello"


def test_the_native_input_of_the_same_handler(server: Command) -> None:
    asked = {"input": {"messages": [{"role": "user", "content": "hello"}], "sampling_params": {"max_tokens": 2}}}
    answer = server.http.post("/llm/runsync", json=asked).json()
    assert answer["output"] == [{"choices": [{"tokens": ["You said:"]}], "usage": {"input": 1, "output": 2}}]


def test_the_official_worker_serves_the_same(client: Any, server: Command) -> None:
    sdk = to(client, server, "sdk")
    assert sdk.chat.completions.create(**asking("hello")).choices[0].message.content == "You said: hello"
    chunks = list(sdk.chat.completions.create(**asking("hello", stream=True)))
    assert [text_of(chunk) for chunk in chunks] == ["", "You", " said:", " hello", None]
    assert sdk.models.retrieve(MODEL).id == MODEL


# What fails


@pytest.mark.parametrize("stream", [False, True])
def test_a_failed_job(client: Any, server: Command, openai: Any, stream: bool) -> None:
    break_model(server)
    patient = client if not stream else client.with_options(max_retries=0)
    with pytest.raises(openai.InternalServerError, match=r"Error code: 500$") as error:
        patient.chat.completions.create(**asking("hello", stream=stream) | {"model": "gpt-9"})
    assert error.value.status_code == 500
    assert error.value.body == {"status": 500, "title": "Internal Server Error", "detail": "internal server error"}
    counts = [call["headers"]["x-stainless-retry-count"] for call in calls(server)]
    assert counts == (["0"] if stream else ["0", "1", "2"])
    jobs = [record(server, call["job"]) for call in calls(server)]
    assert [job["status"] for job in jobs] == ["FAILED"] * len(counts)


@pytest.mark.parametrize("stream", [False, True])
def test_the_workers_words_may_be_shown(servers: Servers, openai: Any, stream: bool) -> None:
    break_model(servers.cancel)
    client = openai.OpenAI(api_key=KEY, base_url=url(servers.cancel, "gated"), timeout=LIMIT, max_retries=0)
    with client, pytest.raises(openai.InternalServerError, match="gpt-9 is out of memory") as error:
        client.chat.completions.create(**asking("hello", stream=stream) | {"model": "gpt-9"})
    assert (error.value.type, error.value.param, error.value.code) == ("server_error", None, None)


async def test_asyncio_a_failed_job(later: Any, server: Command, openai: Any) -> None:
    break_model(server)
    with pytest.raises(openai.InternalServerError, match=r"Error code: 500$"):
        await later.with_options(max_retries=0).models.retrieve("gpt-9")


def test_a_failure_in_mid_stream(client: Any, server: Command, openai: Any) -> None:
    stream = to(client, server, "gated").chat.completions.create(**asking("broken end", stream=True))
    seen = [next(stream) for _ in range(3)]
    with pytest.raises(openai.APIError, match="internal server error") as error:
        next(stream)
    assert not isinstance(error.value, openai.APIStatusError), "the status was 200 long ago"
    assert [text_of(chunk) for chunk in seen] == ["", "You", " said:"]
    assert ended(server, job_of(seen[0]))["status"] == "FAILED"


def test_an_error_object_as_the_output_is_200(client: Any, server: Command) -> None:
    answer = client.post("/nonsense", body={}, cast_to=object)
    assert answer == {
        "object": "error",
        "message": "The route /v1/nonsense does not exist.",
        "type": "NotFoundError",
        "param": None,
        "code": 404,
    }
    (call,) = calls(server)
    assert (call["status"], record(server, call["job"])["status"]) == (200, "COMPLETED")


def test_a_wrong_key(servers: Servers, client: Any, openai: Any) -> None:
    right = to(client, servers.cancel, "gated")
    assert [model.id for model in right.models.list()] == [MODEL]
    with pytest.raises(openai.AuthenticationError):
        to(client, servers.cancel, "gated", api_key="wrong-key").models.list()


def test_an_unknown_endpoint(client: Any, server: Command, openai: Any) -> None:
    with pytest.raises(openai.NotFoundError):
        to(client, server, "no-such-endpoint").chat.completions.create(**asking("hello"))


def test_a_body_that_is_no_object(client: Any, openai: Any) -> None:
    with pytest.raises(openai.BadRequestError):
        client.post("/chat/completions", body=[1], cast_to=object)


def test_too_many_requests(client: Any, server: Command, openai: Any) -> None:
    busy = {"fault": "status", "status": 429, "endpoint": "llm", "operations": ["openai"], "times": 2}
    admin(server, "faults", {**busy, "headers": {"retry-after-ms": "1"}})
    with pytest.raises(openai.RateLimitError):
        client.with_options(max_retries=0).chat.completions.create(**asking("hello"))
    assert client.chat.completions.create(**asking("hello")).choices, "it tries again by itself"
    assert [call["status"] for call in calls(server)] == [429, 429, 200]


# Who does not wait

HANGUPS = [("continue_", "COMPLETED"), ("cancel", "CANCELLED")]


@pytest.mark.parametrize(("setting", "end"), HANGUPS)
def test_a_timeout_of_the_client(
    servers: Servers, client: Any, openai: Any, gates: Gates, setting: str, end: str
) -> None:
    server, gate = getattr(servers, setting), gates.new()
    admin(server, "reset")
    with pytest.raises(openai.APITimeoutError):
        to(client, server, "gated", timeout=1).chat.completions.create(**asking(gate))
    until(lambda: calls(server))  # it has noticed
    (call,) = calls(server)
    leave(server, gates, gate, call["job"], end)


@pytest.mark.parametrize(("setting", "end"), HANGUPS)
def test_a_stream_that_is_closed_early(servers: Servers, client: Any, gates: Gates, setting: str, end: str) -> None:
    server, gate = getattr(servers, setting), gates.new()
    with to(client, server, "gated").chat.completions.create(**asking(gate, stream=True)) as stream:
        chunk = next(stream)
    leave(server, gates, gate, job_of(chunk), end)


@pytest.mark.parametrize(("setting", "end"), HANGUPS)
async def test_asyncio_a_stream_that_is_closed_early(
    servers: Servers, later: Any, gates: Gates, setting: str, end: str
) -> None:
    server, gate = getattr(servers, setting), gates.new()
    async with await to(later, server, "gated").chat.completions.create(**asking(gate, stream=True)) as stream:
        chunk = await anext(stream)
    leave(server, gates, gate, job_of(chunk), end)


def leave(server: Command, gates: Gates, gate: str, job: str, end: str) -> None:
    """Check what becomes of the job after its client has left."""
    if end == "COMPLETED":
        assert record(server, job)["status"] in ("IN_QUEUE", "IN_PROGRESS")
        gates.open(gate)
        assert gate in str(ended(server, job)["output"])
    assert ended(server, job)["status"] == end
