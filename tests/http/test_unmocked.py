"""A test that mocks aiohttp mocks its own sessions, not the emulator's."""

from __future__ import annotations

import socket
import threading

import aiohttp
import aioresponses
import pytest
import runpod_emulator.testing
from runpod_emulator.effects.http_post import HttpPost
from runpod_emulator.http.forwarding import Forwarder

assert runpod_emulator.testing  # is imported before the mock, as in every test


@pytest.fixture
def upstream() -> str:
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        for _ in range(2):
            caller, _ = listener.accept()
            with caller:
                caller.recv(65536)
                caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nreal")

    threading.Thread(target=answer, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"


async def test_webhooks_and_forwarded_requests_go_out_where_aiohttp_is_mocked(upstream: str):
    with aioresponses.aioresponses():
        post, forwarder = HttpPost(5_000), Forwarder()
        assert await post.send(upstream, b"{}") == ""
        async with forwarder.session().get(upstream) as answer:
            assert await answer.read() == b"real"
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get(upstream)
        await post.close()
        await forwarder.close()
