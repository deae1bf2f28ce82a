"""Load-balancing endpoints by name over HTTPS, as in production: aiohttp, httpx, websockets, openai, curl."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import os
import random
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from tests.compat.balanced_app import APP, DROPPING, ENDPOINTS
from tests.compat.servers import LIMIT, Command, until
from tests.conftest import require

pytestmark = pytest.mark.compat

KEY = {"Authorization": "Bearer right-key"}
HERE = "127.0.0.1"


class Served:
    """The server, and where its endpoints are."""

    def __init__(self, command: Command, folder: Path) -> None:
        self.command = command
        self.ca_file = str(folder / "tls" / "ca.pem")
        self.trust = ssl.create_default_context(cafile=self.ca_file)
        self.port = int(command.out.line("HTTPS").partition(",")[0].rpartition(":")[2].removesuffix("/v2"))
        self._folder = folder

    def url(self, endpoint: str, path: str, scheme: str = "https") -> str:
        return f"{scheme}://{endpoint}.api.localhost:{self.port}{path}"

    def gate(self) -> tuple[str, Callable[[], None]]:
        """The name of something that holds a worker back, and what lets it go on."""
        name = f"gate-{random.randrange(10**12)}"
        return name, (self._folder / name).touch

    def workers(self, endpoint: str) -> dict[str, int]:
        """The counters of /health."""
        return self.command.http.get(f"/{endpoint}/health").json()["workers"]

    def ask(self, endpoint: str, path: str, **headers: str) -> httpx.Response:
        """A GET past TLS."""
        return self.command.http.get(f"{self.command.root_url}/lb/{endpoint}{path}", headers=headers)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("balanced")
    (folder / "app.py").write_text(APP)
    (folder / "dropping.py").write_text(DROPPING)
    (folder / "runpod-emulator.toml").write_text(ENDPOINTS)
    listening = ("--port", "0", "--tls", "--tls-port", "0", "--tls-folder", str(folder / "tls"))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = Command("serve", *listening, "--api-key", "right-key", cwd=folder, PATH=path, GATES=str(folder))
    try:
        command.http.headers.update(KEY)
        yield Served(command.ready(), folder)
    finally:
        command.close()


class Resolver(AbstractResolver):
    """Finds every name on this machine, as systemd-resolved does for `*.localhost`."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host=HERE, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@pytest.fixture
async def session(served: Served) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(resolver=Resolver(), ssl=served.trust)
    timeout = aiohttp.ClientTimeout(total=LIMIT)
    async with aiohttp.ClientSession(connector=connector, headers=KEY, timeout=timeout) as session:
        yield session


@pytest.fixture
def names(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """What clients have in production: their names are found, and their certificates trusted."""
    system = socket.getaddrinfo

    def find(host: Any, *arguments: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return system(HERE if name and name.endswith(".api.localhost") else host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", find)
    monkeypatch.setenv("SSL_CERT_FILE", served.ca_file)


@pytest.fixture
def http(names: None) -> Iterator[httpx.Client]:
    with httpx.Client(headers=KEY, timeout=LIMIT) as client:
        yield client


# Requests


def test_httpx(served: Served, http: httpx.Client) -> None:
    answer = http.put(served.url("web", "/echo/a%2Fb?x=1&x=2"), content=b"body", headers={"X-Mine": "yes"})
    told = answer.json()
    assert (told["method"], told["path"], told["query"], told["body"]) == ("PUT", "/echo/a%2Fb", "x=1&x=2", "body")
    assert answer.headers["x-runpod-worker-id"] == told["worker"]
    assert (told["headers"]["host"], told["headers"]["x-mine"]) == (f"web.api.localhost:{served.port}", "yes")
    assert (told["headers"]["x-forwarded-proto"], told["headers"]["x-forwarded-for"]) == ("https", HERE)
    assert "authorization" not in told["headers"]


async def test_aiohttp(served: Served, session: aiohttp.ClientSession) -> None:
    for number in range(3):
        async with session.post(served.url("web", "/echo/x"), json={"number": number}) as answer:
            told = await answer.json()
            assert (answer.status, told["body"]) == (200, f'{{"number": {number}}}')
            assert told["headers"]["content-type"] == "application/json"


def test_without_the_key(served: Served, http: httpx.Client) -> None:
    for key in ("", "Bearer wrong-key"):
        answer = http.get(served.url("web", "/ping"), headers={"Authorization": key})
        assert (answer.status_code, answer.json()["title"]) == (401, "Unauthorized")


@pytest.mark.parametrize("size", [17 << 20, 30 << 20])
async def test_a_message_may_be_as_large_as_a_request(served: Served, size: int) -> None:
    headers = {"Authorization": "right-key"}
    url = f"{served.command.root_url}/lb/web/chat".replace("http", "ws")
    async with aiohttp.ClientSession(headers=headers) as client, client.ws_connect(url, max_msg_size=0) as socket:
        await socket.send_bytes(b"x" * size)
        answer = await asyncio.wait_for(socket.receive(), LIMIT)
        assert (answer.type, len(answer.data)) == (aiohttp.WSMsgType.BINARY, size)


def test_curl_with_the_name_of_production(served: Served) -> None:
    require("curl")
    host = f"web.api.runpod.ai:{served.port}"
    line = ["curl", "-sS", "--cacert", served.ca_file, "--resolve", f"{host}:{HERE}", f"https://{host}/echo/x"]
    done = subprocess.run(
        [*line, "-H", "Authorization: right-key", "-d", "a=b"], capture_output=True, text=True, timeout=LIMIT
    )
    assert (done.stderr, '"body":"a=b"' in done.stdout) == ("", True)


def test_curl_that_would_like_http_2(served: Served) -> None:
    require("curl")
    url, body = f"{served.command.root_url}/lb/web/echo/x", "x" * 100_000
    line = ["curl", "-sS", "--http2", url, "-H", "Authorization: right-key", "-d", "@-"]
    done = subprocess.run(line, input=body, capture_output=True, text=True, timeout=LIMIT)
    assert (done.stderr, f'"body":"{body}"' in done.stdout) == ("", True)


async def test_events_arrive_one_by_one(served: Served, session: aiohttp.ClientSession) -> None:
    gates = [served.gate() for _ in range(3)]
    asked = ",".join(name for name, _ in gates)
    async with session.get(served.url("web", f"/events?gates={asked}")) as answer:
        assert answer.content_type == "text/event-stream"
        for name, let_go in gates:
            let_go()
            assert await answer.content.readuntil(b"\n\n") == f"data: {name}\n\n".encode()
        assert await answer.content.read() == b""


def test_events_for_httpx(served: Served, http: httpx.Client) -> None:
    gates = [served.gate() for _ in range(3)]
    asked = ",".join(name for name, _ in gates)
    with http.stream("GET", served.url("web", "/events"), params={"gates": asked}) as answer:
        lines = answer.iter_lines()
        for name, let_go in gates:
            let_go()
            assert (next(lines), next(lines)) == (f"data: {name}", "")
        assert list(lines) == []


LARGE = random.Random(7).randbytes(20 * 1024 * 1024)
SUM = hashlib.sha256(LARGE).hexdigest()


async def parts() -> AsyncIterator[bytes]:
    for start in range(0, len(LARGE), 100_000):
        yield LARGE[start : start + 100_000]


@pytest.mark.parametrize("way", ["whole", "in parts"])
async def test_a_large_upload(served: Served, session: aiohttp.ClientSession, way: str) -> None:
    async with session.post(served.url("web", "/upload"), data=LARGE if way == "whole" else parts()) as answer:
        assert await answer.json() == {"size": len(LARGE), "sha256": SUM}


def test_a_large_upload_and_download_with_httpx(served: Served, http: httpx.Client) -> None:
    answer = http.post(served.url("web", "/upload?back=1"), content=LARGE)
    assert hashlib.sha256(answer.content).hexdigest() == SUM


# Workers


async def test_thirty_requests_bring_a_second_worker(served: Served, session: aiohttp.ClientSession) -> None:
    async def who(path: str) -> str:
        async with session.get(served.url("scaled", path)) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()

    first = await who("/who")
    gate, let_go = served.gate()
    held = [asyncio.ensure_future(who(f"/hold?gate={gate}")) for _ in range(30)]
    await asyncio.to_thread(until, lambda: served.workers("scaled")["ready"] == 2)
    second = await who("/who")
    assert second != first
    assert served.workers("scaled")["idle"] == 1
    let_go()
    assert set(await asyncio.gather(*held)) == {first}
    assert served.workers("scaled")["idle"] == 2


def test_scaled_to_zero_and_back(served: Served, http: httpx.Client) -> None:
    def who(**headers: str) -> str:
        return http.get(served.url("brief", "/who"), headers=headers).raise_for_status().text

    def gone() -> bool:
        return not any(served.workers("brief").values())

    first = who()
    until(gone)
    second = who()
    assert second != first
    until(gone)
    strict = http.get(served.url("brief", "/who"), headers={"X-Runpod-Worker-Id": f"strict {first}"})
    assert (strict.status_code, strict.json()["detail"]) == (404, "affinity_worker_gone")
    resumed = {"X-Runpod-Worker-Id": f"strict-resume {first}"}
    assert who(**resumed) == first
    assert who(**{"X-Runpod-Worker-Id": first}) == first
    assert who(**{"X-Runpod-Worker-Id": "nobody"}) == first


# WebSockets


def test_websockets(served: Served, names: None) -> None:
    client = importlib.import_module("websockets.sync.client")
    closed = importlib.import_module("websockets.exceptions").ConnectionClosed
    url = served.url("web", "/chat", "wss")
    options = {"ssl": served.trust, "additional_headers": KEY, "open_timeout": LIMIT, "max_size": None}
    with client.connect(url, subprotocols=["b", "a"], **options) as chat:
        assert chat.subprotocol == "a"
        assert chat.response.headers["x-runpod-worker-id"]
        for message in ("hello", b"\x00\xff", "ü" * 1_000_000, ""):
            chat.send(message)
            assert chat.recv(LIMIT) == message
        chat.ping().wait(LIMIT)
        chat.send("bye")
        with pytest.raises(closed) as raised:
            chat.recv(LIMIT)
    assert (raised.value.rcvd.code, raised.value.rcvd.reason) == (4321, "so long")


async def test_websockets_of_aiohttp(served: Served, session: aiohttp.ClientSession) -> None:
    async def talk(number: int) -> None:
        async with session.ws_connect(served.url("web", "/chat", "wss")) as chat:
            for turn in range(5):
                await chat.send_str(f"{number}.{turn}")
                assert await chat.receive_str() == f"{number}.{turn}"

    await asyncio.gather(*(talk(number) for number in range(20)))


async def test_a_websocket_without_the_key(served: Served, session: aiohttp.ClientSession) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as raised:
        await session.ws_connect(served.url("web", "/chat", "wss"), headers={"Authorization": "wrong-key"})
    assert raised.value.status == 401


async def test_a_silent_websocket_does_not_keep_its_worker(served: Served, session: aiohttp.ClientSession) -> None:
    async with session.ws_connect(served.url("brief", "/chat", "wss")) as chat:
        await chat.send_str("hello")
        assert await chat.receive_str() == "hello"
        assert (await chat.receive()).type is aiohttp.WSMsgType.CLOSE


# The official OpenAI client


@pytest.fixture
def openai(served: Served, names: None) -> Iterator[Any]:
    package = importlib.import_module("openai")
    with package.OpenAI(base_url=served.url("web", "/v1"), api_key="right-key", timeout=LIMIT) as client:
        yield client


def asking(text: str) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": text}]}


def test_openai(openai: Any) -> None:
    assert [model.id for model in openai.models.list()] == ["tiny"]
    answer = openai.chat.completions.create(**asking("hello"))
    assert (answer.choices[0].message.content, answer.usage.total_tokens) == ("hello", 2)


def test_openai_streams_word_by_word(served: Served, openai: Any) -> None:
    gates = [served.gate() for _ in range(3)]
    stream = openai.chat.completions.create(**asking(" ".join(name for name, _ in gates)), stream=True)
    for name, let_go in gates:
        let_go()
        assert next(stream).choices[0].delta.content == name
    assert list(stream) == []


def test_openai_errors(openai: Any) -> None:
    package = importlib.import_module("openai")
    with pytest.raises(package.NotFoundError, match="no such model"):
        openai.chat.completions.create(**{**asking("hello"), "model": "large"})
    with pytest.raises(package.AuthenticationError):
        openai.with_options(api_key="wrong-key").models.list()


# What does not work


def test_a_request_that_a_worker_drops_is_repeated_where_that_does_no_harm(served: Served) -> None:
    """Once, where the connection was kept from the request before: it may have been dead already."""
    for method, times in (("POST", 1), ("GET", 3), ("POST", 4)):
        assert served.ask("dropping", "/ok").text == "ok"
        url = f"{served.command.root_url}/lb/dropping/drop"
        assert served.command.http.request(method, url).status_code == 502
        assert served.ask("dropping", "/count").text == str(times)


def test_an_ill_worker_is_replaced(served: Served) -> None:
    served.ask("kept", "/ill")
    until(lambda: served.workers("kept")["unhealthy"] == 1)
    until(lambda: served.workers("kept")["ready"] == 1)
    assert served.workers("kept")["unhealthy"] == 0


def test_an_ill_worker_ends_its_requests(served: Served) -> None:
    gate, let_go = served.gate()
    first = served.ask("busy", "/who").text
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(served.ask, "busy", f"/hold?gate={gate}")
        try:
            until(lambda: served.workers("busy")["running"] == 1)
            served.ask("busy", "/ill")
            until(lambda: served.workers("busy")["unhealthy"] == 1)
            until(lambda: served.ask("busy", "/who").status_code == 200)
            wait([held], timeout=3)
            assert not held.done(), held.result().text
        finally:
            let_go()
        answer = held.result(LIMIT)
    assert (answer.status_code, answer.text) == (200, first)
