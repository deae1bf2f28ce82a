"""The rules of the guard; what it does to real clients is in tests/plugin."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from runpod_emulator.plugin.guard import Guard, RealServiceCalled, is_service

TEST = "test_llm.py::test_run"
GAP = ("127.0.0.1", 4000)


@pytest.mark.parametrize(
    ("host", "is_so"),
    [
        ("api.runpod.ai", True), ("abc123.api.runpod.ai", True), ("api.runpod.io", True), ("rest.runpod.io", True),
        ("runpod.io", True), ("notrunpod.io", False), ("api.runpod.ai.example.com", False), ("127.0.0.1", False),
        ("", False),
    ],
)  # fmt: skip
def test_the_services_own_hosts(host: str, is_so: bool):
    assert is_service(host) is is_so


def client(host: str, port: int = 443, tunnel: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(host=host, port=port, _tunnel_host=tunnel)


EVENTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "a name": ("socket.getaddrinfo", ("API.runpod.ai.", 443, 0, 0, 0)),
    "a name in bytes": ("socket.getaddrinfo", (b"api.runpod.ai", 443, 0, 0, 0)),
    "an old way": ("socket.gethostbyname", ("rest.runpod.io",)),
    "a kept connection": ("http.client.send", (client("api.runpod.ai"), b"GET / HTTP/1.1\r\n\r\n")),
    "a tunnel": ("http.client.connect", (client("127.0.0.1", 3128, "api.runpod.ai"), "127.0.0.1", 3128)),
    "a proxy": (
        "http.client.send", (client("127.0.0.1", 3128), b"GET http://api.runpod.io/graphql HTTP/1.1\r\n\r\n"),
    ),
}  # fmt: skip
OTHERS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "another proxied name": (
        "http.client.send",
        (client("127.0.0.1", 3128), b"GET http://example.com/ HTTP/1.1\r\n\r\n"),
    ),
    "another name": ("socket.getaddrinfo", ("example.com", 443, 0, 0, 0)),
    "no name": ("socket.getaddrinfo", (None, 443, 0, 0, 0)),
    "another address": ("socket.connect", (None, ("127.0.0.1", 4001))),
    "a path": ("socket.connect", (None, "/tmp/socket")),
    "the service in a body": ("http.client.send", (client("127.0.0.1", 80), b"{} http://api.runpod.ai/ {}")),
    "a stream": ("http.client.send", (client("127.0.0.1", 80), iter([b""]))),
    "an import": ("import", ("os",)),
}


@pytest.mark.parametrize("event", EVENTS)
def test_a_request_to_the_service_is_refused_and_remembered(event: str):
    guard = Guard()
    guard._heard(*EVENTS[event])  # no test uses the emulator: nobody is in the way
    guard.test, guard.way_out = TEST, "point it there"
    with pytest.raises(RealServiceCalled, match=rf"{TEST} uses the emulator.* the real service at .*point it there"):
        guard._heard(*EVENTS[event])
    assert len(guard.take_refused()) == 1
    assert guard.take_refused() == []


@pytest.mark.parametrize("event", OTHERS)
def test_nothing_else_is(event: str):
    guard = Guard()
    guard.test, guard.gap = TEST, GAP
    guard._heard(*OTHERS[event])
    assert guard.take_refused() == []


@pytest.mark.parametrize(
    "event",
    [("socket.connect", (None, GAP)), ("http.client.send", (client(*GAP), b"GET / HTTP/1.1\r\n\r\n"))],
    ids=["connects", "keeps a connection"],
)
def test_a_client_that_was_made_early_is_told_what_its_test_lacks(event: tuple[str, tuple[Any, ...]]):
    guard = Guard()
    guard._heard(*event)
    guard.gap, guard.present = GAP, TEST
    with pytest.raises(RealServiceCalled, match=rf"{TEST} called .* without using the fixture.*runpod_emulator_early"):
        guard._heard(*event)
    assert guard.take_refused() == []  # it may be a thread of an earlier test


def test_the_emulators_own_thread_is_never_told():
    guard = Guard()
    guard.gap = GAP
    seen: list[BaseException] = []

    def look() -> None:
        try:
            guard.check(*GAP)
        except BaseException as error:
            seen.append(error)

    thread = threading.Thread(target=look, name="runpod-emulator")
    thread.start()
    thread.join()
    assert seen == []
