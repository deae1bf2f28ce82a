"""Clients that are made while test files are imported: they meet the emulator, and never the real service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.trap import KEY, Trap, counted, run_pytest, trap

pytestmark = pytest.mark.compat

TOLD = "uses the emulator, and a request was about to leave for the real service at"

EARLY = """
import os

import aiohttp
import httpx
import openai
import pytest
import requests
import runpod

runpod.api_key = os.environ["RUNPOD_API_KEY"]
EP = runpod.Endpoint("llm")
BASE = os.environ["RUNPOD_ENDPOINT_BASE_URL"]
AI = openai.OpenAI(base_url=BASE + "/llm/openai/v1", api_key=os.environ["RUNPOD_API_KEY"])
HTTP = httpx.Client(base_url=BASE)

MARKED = pytest.mark.runpod_emulator("llm", seed=7)


@pytest.fixture
def answering(runpod_emulator):
    runpod_emulator.stub(endpoint="llm", respond={"output": {"choices": [{"message": {"content": "hi"}}]}})
    return runpod_emulator


def check(emu, *operations):
    assert [one.operation for one in emu.requests()] == list(operations)


@pytest.mark.parametrize("own", [False, pytest.param(True, marks=MARKED), False])
class TestCaught:
    def test_endpoint(self, answering, own):
        job = EP.run({"input": {"a": 1}})
        assert job.output(timeout=10)["choices"]
        assert EP.run_sync({"input": {"a": 1}})["choices"]
        answering.assert_requested(operation="run", headers={"authorization": "Bearer " + answering.key}, count=1)

    async def test_asyncio_endpoint(self, answering, own):
        async with aiohttp.ClientSession(trust_env=True) as session:
            job = await runpod.AsyncioEndpoint("llm", session).run({"a": 1})
            assert (await job.output(timeout=10))["choices"]

    def test_openai(self, answering, own):
        asked = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        assert AI.chat.completions.create(**asked).choices[0].message.content == "hi"
        check(answering, "openai")

    def test_httpx(self, answering, own):
        headers = {"authorization": "Bearer " + os.environ["RUNPOD_API_KEY"]}
        assert HTTP.post("/llm/runsync", json={"input": {}}, headers=headers).status_code == 200
        check(answering, "runsync")
"""

HARD = """
import asyncio
import http.client
import threading
import urllib.request

import aiohttp
import httpx
import openai
import pytest
import requests
import runpod
import urllib3
import uvloop

KEY = {"authorization": "Bearer rpa_THE_REAL_KEY"}
RUN = "https://api.runpod.ai/v2/llm/run"
BASE = "https://api.runpod.ai/v2/llm/openai/v1"
runpod.api_key = "rpa_THE_REAL_KEY"
OLD = runpod.Endpoint("llm")
OLD.rp_client.endpoint_url_base = "https://api.runpod.ai/v2"
ASKED = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


async def with_aiohttp():
    async with aiohttp.ClientSession(trust_env=True) as session, session.get(RUN, headers=KEY) as answer:
        return await answer.read()


async def with_httpx():
    async with httpx.AsyncClient() as client:
        return await client.post(RUN, headers=KEY)


async def with_openai():
    return await openai.AsyncOpenAI(base_url=BASE, api_key="rpa_THE_REAL_KEY").chat.completions.create(**ASKED)


def connect(host):
    connection = http.client.HTTPSConnection(host)
    connection.request("GET", "/", headers=KEY)


def in_a_thread():
    thread = threading.Thread(target=lambda: requests.post(RUN, headers=KEY))
    thread.start()
    thread.join()


def swallowed():
    try:
        requests.post(RUN, headers=KEY)
    except BaseException:
        pass


CALLS = {
    "endpoint": lambda: OLD.run({"input": {}}),
    "graphql": lambda: requests.post("https://api.runpod.io/graphql", headers=KEY),
    "openai": lambda: openai.OpenAI(base_url=BASE, api_key="rpa_THE_REAL_KEY").chat.completions.create(**ASKED),
    "async-openai": lambda: asyncio.run(with_openai()),
    "requests": lambda: requests.post(RUN, headers=KEY),
    "requests-plain": lambda: requests.post("http://api.runpod.ai/v2/llm/run", headers=KEY),
    "httpx": lambda: httpx.post(RUN, headers=KEY),
    "async-httpx": lambda: asyncio.run(with_httpx()),
    "uvloop-httpx": lambda: uvloop.run(with_httpx()),
    "aiohttp": lambda: asyncio.run(with_aiohttp()),
    "uvloop-aiohttp": lambda: uvloop.run(with_aiohttp()),
    "urllib3": lambda: urllib3.PoolManager().request("GET", RUN, headers=KEY),
    "urllib": lambda: urllib.request.urlopen(urllib.request.Request(RUN, headers=KEY)),
    "rest": lambda: connect("rest.runpod.io"),
    "management": lambda: connect("api.runpod.io"),
    "balanced": lambda: connect("abc123.api.runpod.ai"),
    "capitals": lambda: connect("API.RunPod.AI."),
    "thread": in_a_thread,
    "swallowed": swallowed,
}


@pytest.mark.parametrize("name", CALLS)
def test_call(runpod_emulator, name):
    CALLS[name]()
"""

UNTOLD = """
import pytest
import runpod

EP = runpod.Endpoint("llm")


def test_used(runpod_emulator):
    runpod_emulator.stub(endpoint="llm", respond={"output": 1})
    assert EP.run_sync({"input": {}}) == 1


def test_alone():
    assert (runpod.endpoint_url_base, runpod.api_key) == ("https://api.runpod.ai/v2", None)


@pytest.mark.runpod_emulator("llm", seed=7)
def test_used_again(runpod_emulator):
    test_used(runpod_emulator)
"""

LATE = """
import pytest


@pytest.mark.runpod_emulator("llm", host="127.0.0.1", port=0)
def test_imported_by_the_test(runpod_emulator):
    import runpod

    runpod_emulator.stub(endpoint="llm", respond={"output": 1})
    assert runpod.endpoint_url_base == runpod_emulator.base_url
    assert runpod.Endpoint("llm").run_sync({"input": {}}) == 1


def test_alone():
    import runpod

    assert (runpod.endpoint_url_base, runpod.api_key) == ("https://api.runpod.ai/v2", None)
"""

ALONE = """
import os

import pytest
import requests
import runpod

EP = runpod.Endpoint("llm", api_key="k")


def test_the_environment_is_the_users():
    assert os.environ["RUNPOD_API_KEY"] == "rpa_THE_REAL_KEY" and "RUNPOD_ENDPOINT_BASE_URL" not in os.environ
    assert runpod.endpoint_url_base == "https://api.runpod.ai/v2"


def test_the_real_service_is_reached_where_it_is_meant():
    with pytest.raises(requests.ConnectionError):
        runpod.Endpoint("llm", api_key="rpa_THE_REAL_KEY").run({"input": {}})


def test_early_client():
    EP.run({"input": {}})


def test_used(runpod_emulator):
    runpod_emulator.stub(endpoint="llm", respond={"output": 1})
    assert EP.run_sync({"input": {}}) == 1


def test_early_client_again():
    EP.run({"input": {}})
"""


@pytest.fixture
def caught(tmp_path: Path) -> Iterator[Trap]:
    with trap(tmp_path / "names") as one:
        yield one


def run(folder: Path, text: str, environment: dict[str, str], *args: str) -> str:
    """What a run of pytest says of one file."""
    return run_pytest(folder, text, environment, "-rA", *args)


@pytest.mark.parametrize("proxy", [False, True], ids=["by-name", "by-proxy"])
def test_clients_that_were_made_early_meet_the_emulator(tmp_path: Path, caught: Trap, proxy: bool):
    output = run(tmp_path, EARLY, caught.environment(proxy=proxy))
    assert counted(output, "PASSED") == 12, output
    assert caught.caught == []


@pytest.mark.parametrize(
    ("key", "args"),
    [
        (True, ()),
        (False, ("-n", "2")),
        (False, ("-p", "no:runpod_emulator", "-p", "runpod_emulator.pytest_plugin")),
    ],
    ids=["a-key", "no-key-xdist", "no-key-by-name"],
)
def test_an_official_client_needs_neither_a_key_nor_a_file(
    tmp_path: Path, caught: Trap, key: bool, args: tuple[str, ...]
):
    environment = {**caught.environment(), "HOME": str(tmp_path)}
    output = run(tmp_path, UNTOLD, environment if key else {**environment, "RUNPOD_API_KEY": ""}, *args)
    assert (counted(output, "PASSED"), caught.caught) == (3, []), output


@pytest.mark.parametrize("early", ["true", "false"])
def test_the_official_client_may_be_imported_as_late_as_in_a_test(tmp_path: Path, caught: Trap, early: str):
    environment = {**caught.environment(), "HOME": str(tmp_path)}
    output = run(tmp_path, LATE, environment, "-o", f"runpod_emulator_early={early}")
    assert (counted(output, "PASSED"), caught.caught) == (2, []), output


@pytest.mark.parametrize("proxy", [False, True], ids=["by-name", "by-proxy"])
def test_no_packet_leaves_for_the_real_service(tmp_path: Path, caught: Trap, proxy: bool):
    output = run(tmp_path, HARD, caught.environment(proxy=proxy))
    assert (counted(output, "FAILED"), counted(output, "PASSED")) == (19, 0), output
    names = [line.split()[1] for line in output.splitlines() if line.startswith("FAILED test_inner.py")]
    assert [name for name in names if f"{name} {TOLD}" not in output] == []
    assert [said for said in caught.caught if said or not proxy] == []  # a proxy may see a connection, and no request


def test_the_trap_catches_where_the_guard_is_off(tmp_path: Path, caught: Trap):
    output = run(tmp_path, HARD, caught.environment(), "-o", "runpod_emulator_guard=false", "-k", "requests or httpx")
    assert TOLD not in output
    assert len(caught.caught) >= 3


def test_who_does_not_use_the_emulator_is_left_alone(tmp_path: Path, caught: Trap):
    output = run(tmp_path, ALONE, caught.environment())
    assert (counted(output, "PASSED"), counted(output, "FAILED")) == (3, 2), output
    assert output.count("without using the fixture") >= 2 and "runpod_emulator_early = false" in output
    assert len(caught.caught) == 1


def test_early_can_be_switched_off(tmp_path: Path, caught: Trap):
    output = run(tmp_path, ALONE, caught.environment(), "-o", "runpod_emulator_early=false")
    assert counted(output, "FAILED") == 3, output
    assert TOLD in output  # the test that uses the emulator, with a client that was made before
    assert KEY not in output
