"""Clients that are given a proxy, a name for TLS or a bare socket: not one word to the real service leaves either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.plugin.trap import Trap, counted, run_pytest, trap

pytestmark = pytest.mark.compat

TOLD = "uses the emulator, and a request was about to leave for the real service at"
OTHERS = ("test_others_are_left_alone", "test_the_emulator_is_met_all_the_same")

CALLS = """
import asyncio
import os
import socket
import ssl

import httplib2
import pytest
import python_socks.async_.asyncio
import python_socks.sync
import requests
import socks
import urllib3
import uvloop
import websockets.asyncio.client

HOST, PORT = "api.runpod.ai", int(os.environ["TRAP_PORT"])
TRAP = ("127.0.0.1", PORT)
RUN, PLAIN = f"https://{HOST}/v2/llm/run", f"http://{HOST}/v2/llm/run"
KEY = {"authorization": "Bearer rpa_THE_REAL_KEY"}
CONNECT = f"CONNECT {HOST}:443 HTTP/1.1\\\\r\\\\n\\\\r\\\\n".encode()
UNPROVEN = ssl.create_default_context()
UNPROVEN.check_hostname, UNPROVEN.verify_mode = False, ssl.CERT_NONE


def through(proxy, url=RUN):
    return lambda: requests.get(url, headers=KEY, timeout=3, proxies={"http": proxy, "https": proxy})


def by_httplib2(kind):
    told = httplib2.ProxyInfo(kind, *TRAP)
    return lambda: httplib2.Http(proxy_info=told, timeout=3).request(RUN, headers=KEY)


def by_pysocks(kind):
    def call():
        one = socks.socksocket()
        one.set_proxy(kind, *TRAP)
        one.settimeout(3)
        one.connect((HOST, 443))

    return call


def by_python_socks(scheme):
    return lambda: python_socks.sync.Proxy.from_url(f"{scheme}://127.0.0.1:{PORT}").connect(HOST, 443, timeout=3)


def by_python_socks_later(run):
    async def call():
        proxy = python_socks.async_.asyncio.Proxy.from_url(f"socks5://127.0.0.1:{PORT}")
        await proxy.connect(HOST, 443, timeout=3)

    return lambda: run(call())


def said(*words):
    def call():
        with socket.create_connection(TRAP) as one:
            for word in words:
                one.sendall(word)
                if words[-1] is not word:
                    one.recv(2)

    return call


def said_at_once():
    with socket.create_connection(TRAP) as one:
        one.sendmsg([CONNECT[:9], memoryview(CONNECT)[9:]])


def said_by_a_loop():
    async def call():
        reader, writer = await asyncio.open_connection(*TRAP)
        writer.writelines([CONNECT[:9], CONNECT[9:]])
        await asyncio.wait_for(reader.read(1), 3)

    asyncio.run(call())


def greeted():
    with socket.create_connection(TRAP) as one:
        UNPROVEN.wrap_socket(one, server_hostname=HOST)


def greeted_by_bytes():
    UNPROVEN.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=HOST)


def greeted_by_a_loop(run):
    async def call():
        await asyncio.open_connection(*TRAP, ssl=UNPROVEN, server_hostname=HOST)

    return lambda: run(call())


def named(method):
    return lambda: getattr(socket.socket(), method)((HOST, 80))


def named_to_a_loop(run):
    async def call():
        await asyncio.open_connection(HOST, 80)

    return lambda: run(call())


def looked_up_by_a_loop():
    async def call():
        await asyncio.get_running_loop().getaddrinfo(HOST, 443)

    uvloop.run(call())


def by_websockets(run):
    async def call():
        proxy = f"http://127.0.0.1:{PORT}"
        await websockets.asyncio.client.connect(f"wss://abc.{HOST}/ws", proxy=proxy, open_timeout=3)

    return lambda: run(call())


CALLS = {
    "requests-socks5h": through(f"socks5h://127.0.0.1:{PORT}"),
    "requests-socks5": through(f"socks5://127.0.0.1:{PORT}"),
    "requests-socks4a": through(f"socks4a://127.0.0.1:{PORT}"),
    "requests-plain-socks5h": through(f"socks5h://127.0.0.1:{PORT}", PLAIN),
    "requests-http": through(f"http://127.0.0.1:{PORT}"),
    "requests-plain-http": through(f"http://127.0.0.1:{PORT}", PLAIN),
    "requests-https-proxy": through(f"https://127.0.0.1:{PORT}"),
    "requests-dead-http": through("http://127.0.0.1:1"),
    "requests-plain-dead-http": through("http://127.0.0.1:1", PLAIN),
    "requests-dead-socks5h": through("socks5h://127.0.0.1:1"),
    "urllib3-http": lambda: urllib3.ProxyManager(f"http://127.0.0.1:{PORT}").request("GET", RUN, headers=KEY),
    "httplib2-http": by_httplib2(socks.HTTP),
    "httplib2-socks4": by_httplib2(socks.SOCKS4),
    "httplib2-socks5": by_httplib2(socks.SOCKS5),
    "pysocks-http": by_pysocks(socks.HTTP),
    "pysocks-socks4": by_pysocks(socks.SOCKS4),
    "pysocks-socks5": by_pysocks(socks.SOCKS5),
    "python-socks-http": by_python_socks("http"),
    "python-socks-socks4": by_python_socks("socks4"),
    "python-socks-socks5": by_python_socks("socks5"),
    "python-socks-asyncio": by_python_socks_later(asyncio.run),
    "python-socks-uvloop": by_python_socks_later(uvloop.run),
    "websockets-asyncio": by_websockets(asyncio.run),
    "websockets-uvloop": by_websockets(uvloop.run),
    "bytes-connect": said(CONNECT),
    "bytes-get": said(f"GET {PLAIN} HTTP/1.1\\\\r\\\\n\\\\r\\\\n".encode()),
    "bytes-socks5": said(b"\\\\5\\\\1\\\\0", b"\\\\5\\\\1\\\\0\\\\3\\\\x0dapi.runpod.ai\\\\1\\\\xbb"),
    "bytes-socks4a": said(b"\\\\4\\\\1\\\\1\\\\xbb\\\\0\\\\0\\\\0\\\\1\\\\0api.runpod.ai\\\\0"),
    "bytes-sendmsg": said_at_once,
    "bytes-asyncio": said_by_a_loop,
    "tls": greeted,
    "tls-bytes": greeted_by_bytes,
    "tls-asyncio": greeted_by_a_loop(asyncio.run),
    "tls-uvloop": greeted_by_a_loop(uvloop.run),
    "name-connect": named("connect"),
    "name-connect_ex": named("connect_ex"),
    "name-sendto": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", (HOST, 53)),
    "name-sendmsg": lambda: socket.socket(type=socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, (HOST, 53)),
    "name-asyncio": named_to_a_loop(asyncio.run),
    "name-uvloop": named_to_a_loop(uvloop.run),
    "look-up-uvloop": looked_up_by_a_loop,
}


@pytest.mark.parametrize("name", CALLS)
def test_call(runpod_emulator, name):
    try:
        CALLS[name]()
    except Exception:
        pass


def test_the_emulator_is_met_all_the_same(runpod_emulator):
    assert requests.get(runpod_emulator.base_url + "/llm/health", timeout=9).status_code in (401, 404)


def test_others_are_left_alone():
    with pytest.raises(requests.exceptions.RequestException):
        requests.get(RUN, timeout=3, proxies={"https": "http://127.0.0.1:1"})
""".replace("\\\\", "\\")
"""Backslashes are doubled, so that they reach the inner file as they are in strings there."""


@pytest.fixture
def caught(tmp_path: Path) -> Iterator[Trap]:
    with trap(tmp_path / "names") as one:
        yield one


def test_no_word_leaves_for_the_real_service(tmp_path: Path, caught: Trap):
    output = run_pytest(tmp_path, CALLS, caught.environment(), "-rA")
    names = [line.split()[1] for line in output.splitlines() if line.startswith("FAILED test_inner.py")]
    passed = [line.split()[1] for line in output.splitlines() if line.startswith("PASSED test_inner.py")]
    assert sorted(passed) == [f"test_inner.py::{name}" for name in OTHERS], output
    assert [name for name in names if f"{name} {TOLD}" not in output] == []
    assert len(names) == CALLS.count('\n    "')
    assert [said for said in caught.caught if b"runpod" in said or said[:1] == b"\x16"] == []


def test_the_trap_catches_where_the_guard_is_off(tmp_path: Path, caught: Trap):
    chosen = "bytes or tls or socks5 or http or connect"
    output = run_pytest(tmp_path, CALLS, caught.environment(), "-rA", "-o", "runpod_emulator_guard=false", "-k", chosen)
    assert (counted(output, "FAILED"), TOLD in output) == (0, False), output
    assert sum(b"runpod" in said for said in caught.caught) >= 20
