"""Each place asks by the arguments of its call; what it does to real clients is in tests/plugin."""

from __future__ import annotations

import array
import ssl
from types import SimpleNamespace
from typing import Any

import pytest
from runpod_emulator.plugin import ask as pytest_ask

from tests.tables import table

CONNECT = b"CONNECT api.runpod.ai:443 HTTP/1.1\r\n\r\n"
HOST = "api.runpod.ai"
NOBODY = (None, None)


@table(
    ("find", "args", "found"),
    [
        (pytest_ask._by_address, ((HOST, 443),), (HOST, 443)),
        (pytest_ask._by_address, ((HOST, 443, 0, 0),), (HOST, 443)),
        (pytest_ask._by_address, ("/tmp/socket",), NOBODY),
        (pytest_ask._by_data, (bytearray(CONNECT), 0), (HOST, None)),
        (pytest_ask._by_data, (memoryview(CONNECT),), (HOST, None)),
        (pytest_ask._by_data, (array.array("B", CONNECT),), (HOST, None)),
        (pytest_ask._by_data, (7,), NOBODY),
        (pytest_ask._by_data, ("text",), NOBODY),
        (pytest_ask._by_last_argument, (b"x", (HOST, 53)), (HOST, 53)),
        (pytest_ask._by_last_argument, (b"x", 0, (HOST, 53)), (HOST, 53)),
        (pytest_ask._by_last_argument, (b"x", "/tmp/socket"), NOBODY),
        (pytest_ask._by_buffers, ([CONNECT[:3], CONNECT[3:]],), (HOST, None)),
        (pytest_ask._by_buffers, ([b"x" * 9000, CONNECT],), NOBODY),
        (pytest_ask._by_buffers, ([b"x"], [], 0, (HOST, 53)), (HOST, 53)),
        (pytest_ask._by_buffers, (iter([CONNECT]),), NOBODY),
    ],
)
def test_a_socket_is_asked(find: pytest_ask.Find, args: tuple[Any, ...], found: tuple[object, object]):
    assert find(None, *args) == found


def test_connections_name_what_stands_behind_the_proxy():
    tunnel = SimpleNamespace(host="127.0.0.1", port=3128, _tunnel_host=HOST)
    plain = SimpleNamespace(host="127.0.0.1", port=3128)
    assert pytest_ask._by_connection(tunnel) == (HOST, 3128)
    assert pytest_ask._by_target(plain, method="GET", url=f"http://{HOST}:80/x") == (HOST, None)
    assert pytest_ask._by_target(plain, "GET", "/x") == ("127.0.0.1", 3128)


@pytest.mark.parametrize(
    ("told", "found"), [({}, HOST), ({"ssl": None}, HOST), ({"host": "127.0.0.1"}, None), ({"sock": object()}, None)]
)
def test_a_web_socket_may_be_led_elsewhere(told: dict[str, object], found: str | None):
    assert pytest_ask._by_uri(SimpleNamespace(uri=f"wss://{HOST}/ws", create_connection_kwargs=told)) == (found, None)
    assert pytest_ask._by_uri(SimpleNamespace(uri=f"wss://{HOST}/ws", connection_kwargs=told)) == (found, None)


@pytest.mark.parametrize("by_name", [False, True])
def test_tls_is_asked_whatever_the_form_of_the_call(monkeypatch: pytest.MonkeyPatch, by_name: bool):
    asked: list[object] = []
    for name, find in pytest_ask._TLS.items():
        monkeypatch.setattr(ssl.SSLContext, name, getattr(ssl.SSLContext, name))  # put back at the end
        pytest_ask._ask(ssl.SSLContext, name, find, lambda host, port: asked.append(host))
    context, incoming, outgoing = ssl.create_default_context(), ssl.MemoryBIO(), ssl.MemoryBIO()
    if by_name:
        context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    else:
        context.wrap_bio(incoming, outgoing, False, HOST)
    with pytest.raises((AttributeError, TypeError)):
        context.wrap_socket(None, False, True, True, HOST)  # type: ignore[arg-type]
    assert asked == [HOST, HOST]
