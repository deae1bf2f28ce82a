"""Names of a server, and origins of this machine."""

from __future__ import annotations

import pytest
from runpod_emulator.http.names import OwnNames, authority, is_local, is_same

from tests.tables import table

LOCAL = [
    "http://localhost", "https://localhost:8443", "http://LOCALHOST:1", "http://a.localhost:3000", "http://127.0.0.1:80",
    "http://127.1.2.3", "https://[::1]", "http://[::1]:5173", "http://[::ffff:127.0.0.1]:1", "http://localhost.:1",
]  # fmt: skip
ELSEWHERE = [
    "", "null", "http://", "localhost", "http://evil.example", "http://localhost.evil.example", "http://evillocalhost",
    "http://127.0.0.1.evil.example", "http://localhost@evil.example", "http://localhost:1@evil.example",
    "http://localhost/", "http://localhost:1/x", "http://localhost#", "http://evil.example#localhost", "file://",
    "ftp://localhost", "ws://localhost", "http://[::1", "http://::1", "http://[::2]", "http://128.0.0.1", "http://0.0.0.0",
    "http://10.0.0.1", "http://localhost http://evil.example", "chrome-extension://localhost", "http://localhost:x",
    "xhttp://localhost", "http://localhost\n", "http://127.0.0.1:", "http://2130706433", "http://.localhost.x", "http://[localhost]",
]  # fmt: skip


@table("origin", LOCAL)
def test_pages_of_this_machine(origin: str) -> None:
    assert is_local(origin)


@table("origin", ELSEWHERE)
def test_pages_of_elsewhere(origin: str) -> None:
    assert not is_local(origin)


@table(
    ("origin", "scheme", "host", "same"),
    [
        ("http://a.test", "http", "a.test", True), ("http://A.test", "http", "a.TEST:80", True),
        ("https://a.test:443", "https", "a.test", True), ("https://a.test", "wss", "a.test", True),
        ("http://a.test", "https", "a.test", False), ("http://a.test:1", "http", "a.test", False),
        ("http://a.test", "http", "b.test", False), ("null", "http", "null", False), ("http://", "http", "", False),
        ("http://a.test:80", "ws", "a.test", True), ("ws://a.test", "ws", "a.test", False),
    ],
)  # fmt: skip
def test_the_same_origin(origin: str, scheme: str, host: str, same: bool) -> None:
    assert is_same(origin, scheme, host) == same


@pytest.mark.parametrize(
    ("host", "safe"),
    [("localhost:1", True), ("10.0.0.1", True), ("[fd00::1]:80", True), ("emulator", True), ("told.test", True),
     ("evil.example", False), ("emulator.evil.example:1", False), ("", False), ("a b", False)],
)  # fmt: skip
def test_names_that_no_stranger_can_lead_here(host: str, safe: bool) -> None:
    assert OwnNames(["told.test"]).is_safe(host) == safe


def test_listening_everywhere_is_no_name() -> None:
    for anywhere in ("", "0.0.0.0", "::"):
        assert not OwnNames([anywhere]).knows(anywhere)
        assert not OwnNames([anywhere]).knows("[::]")


def test_an_address_is_known_in_each_of_its_forms() -> None:
    names = OwnNames(["fd00::7", "10.0.0.5"])
    assert names.knows("[fd00:0:0::7]:80") and names.knows("[::ffff:10.0.0.5]") and not names.knows("[fd00::8]")


def test_the_parts_of_a_host() -> None:
    assert authority("[::1]:80") == ("::1", "80")
    assert authority("A.b.") == ("a.b", "")
    assert authority("a:b") is authority(".") is authority("a:123456") is None
