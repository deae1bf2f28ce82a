"""The libraries that mock HTTP clients, each really installed, beside the plugin: what docs/testing-clients.md says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugin.trap import run_pytest, trap

pytestmark = pytest.mark.compat

CONFTEST = '''
import http.server
import os
import threading

import pytest


class Receiver(http.server.BaseHTTPRequestHandler):
    calls = []

    def do_POST(self):
        self.calls.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def emu(runpod_emulator):
    """An emulator, one of whose webhooks is on its way to another server when the test begins."""
    runpod_emulator.stub(endpoint="llm", respond={"output": "real"})
    return runpod_emulator


@pytest.fixture(scope="session")
def hook():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture
def run(emu, hook):
    """The body of a request, and a check that its job ran and its webhook arrived."""
    Receiver.calls.clear()

    def check(answer):
        assert answer["output"] == "real"
        emu.wait_for(webhooks=1, timeout=20)
        assert len(Receiver.calls) == 1

    return {"input": {}, "webhook": hook}, check


@pytest.fixture
def here(emu):
    return emu.base_url + "/llm/runsync", {"authorization": emu.key}
'''

MOCKS = '''
import re

import aiohttp
import aioresponses
import httpx
import pytest
import requests
import respx
import responses
import vcr

THERE = "https://api.runpod.ai/v2/llm/run"


async def test_aioresponses(run, here, emu):
    body, check = run
    url, headers = here
    with aioresponses.aioresponses(passthrough=[emu.base_url]) as mocked:
        mocked.post(THERE, exception=ZeroDivisionError())  # it makes no answers for every version of aiohttp
        async with aiohttp.ClientSession() as session:
            with pytest.raises(ZeroDivisionError):
                await session.post(THERE, json=body)
            async with session.post(url, json=body, headers=headers) as answer:
                check(await answer.json())


def test_aioresponses_around_other_clients(run, here):
    body, check = run
    url, headers = here
    with aioresponses.aioresponses():
        check(requests.post(url, json=body, headers=headers).json())


@responses.activate
def test_responses(run, here, emu):
    body, check = run
    url, headers = here
    responses.post(THERE, json={"id": "mocked"})
    responses.add_passthru(emu.base_url)
    assert requests.post(THERE, json=body).json() == {"id": "mocked"}
    check(requests.post(url, json=body, headers=headers).json())


@responses.activate
def test_responses_without_its_setting(here):
    with pytest.raises(requests.ConnectionError):
        requests.post(here[0], json={})


def test_respx(respx_mock, run, here):
    body, check = run
    url, headers = here
    respx_mock.post(THERE).respond(json={"id": "mocked"})
    respx_mock.route(host="127.0.0.1").pass_through()
    assert httpx.post(THERE, json=body).json() == {"id": "mocked"}
    check(httpx.post(url, json=body, headers=headers).json())


async def test_respx_async(respx_mock, run, here):
    body, check = run
    url, headers = here
    respx_mock.post(THERE).respond(json={"id": "mocked"})
    respx_mock.route(host="127.0.0.1").pass_through()
    async with httpx.AsyncClient() as client:
        assert (await client.post(THERE, json=body)).json() == {"id": "mocked"}
        check((await client.post(url, json=body, headers=headers)).json())


@pytest.mark.httpx_mock(should_mock=lambda request: request.url.host != "127.0.0.1")
def test_pytest_httpx(httpx_mock, run, here):
    body, check = run
    url, headers = here
    httpx_mock.add_response(url=THERE, json={"id": "mocked"})
    assert httpx.post(THERE, json=body).json() == {"id": "mocked"}
    check(httpx.post(url, json=body, headers=headers).json())


CASSETTE = """
interactions:
- request: {body: null, headers: {}, method: GET, uri: "https://api.runpod.ai/v2/llm/run"}
  response:
    body: {string: '{"id": "mocked"}'}
    headers: {content-type: [application/json]}
    status: {code: 200, message: OK}
version: 1
"""


@pytest.mark.parametrize("get", [requests.get, httpx.get])
def test_vcrpy(run, here, tmp_path, get):
    body, check = run
    url, headers = here
    cassette = tmp_path / "cassette.yaml"
    cassette.write_text(CASSETTE)
    with vcr.use_cassette(cassette, ignore_localhost=True, record_mode="none"):
        assert get(THERE).json() == {"id": "mocked"}
        post = requests.post if get is requests.get else httpx.post
        check(post(url, json=body, headers=headers).json())
    assert cassette.read_text() == CASSETTE


async def test_vcrpy_with_aiohttp(run, here, tmp_path):
    body, check = run
    url, headers = here
    with vcr.use_cassette(tmp_path / "cassette.yaml", ignore_localhost=True):
        async with aiohttp.ClientSession() as session, session.post(url, json=body, headers=headers) as answer:
            check(await answer.json())
    assert not (tmp_path / "cassette.yaml").exists()
'''

SOCKETS = """
import httpx
import pytest
import pytest_socket


@pytest.mark.parametrize("turn", [1, 2])
def test_allowed(run, here, turn):
    body, check = run
    url, headers = here
    check(httpx.post(url, json=body, headers=headers).json())


@pytest.mark.runpod_emulator("llm", seed=1)
def test_own(run, here):
    body, check = run
    url, headers = here
    check(httpx.post(url, json=body, headers=headers).json())


def test_others_are_blocked(emu):
    with pytest.raises((pytest_socket.SocketConnectBlockedError, httpx.ConnectError)):
        httpx.get("http://192.0.2.1/")
"""


def run(folder: Path, text: str, *args: str) -> str:
    """What a run of pytest with one file says; names of the service lead to a trap, which catches nothing."""
    (folder / "conftest.py").write_text(CONFTEST)
    with trap(folder / "names") as caught:
        output = run_pytest(folder, text, caught.environment(), *args)
    assert caught.caught == []
    return output


def test_each_mock_with_the_setting_that_the_docs_name(tmp_path: Path):
    output = run(tmp_path, MOCKS)
    assert "10 passed" in output and "failed" not in output, output


@pytest.mark.parametrize(
    "args",
    [
        ("--allow-hosts=127.0.0.1,::1",),
        ("--disable-socket", "--allow-hosts=127.0.0.1"),
    ],
    ids=["allowed hosts", "disabled but for this machine"],
)
def test_pytest_socket(tmp_path: Path, args: tuple[str, ...]):
    output = run(tmp_path, SOCKETS, *args)
    assert "4 passed" in output and "failed" not in output, output
