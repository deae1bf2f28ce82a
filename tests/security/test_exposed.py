"""A server that others reach: what it says at its start, and what they get from the admin API."""

from __future__ import annotations

import socket

import httpx
import pytest

from tests.compat.servers import Starter
from tests.plain import PLAIN

pytestmark = pytest.mark.compat

SERVED = ("serve", "--mock", "llm", "--port", 0)
WARNING = "To close it"


def own_address() -> str:
    """This machine's address in its network; no packet is sent for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network but its own")
        return str(probe.getsockname()[0])


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--host", "0.0.0.0"), 1),
        (("--host", "::"), 1),
        (("--host", "0.0.0.0", "--no-auth"), 1),
        (("--host", "0.0.0.0", "--api-key", "k"), 0),
        (("--host", "localhost"), 0),
        ((), 0),
    ],
)
def test_one_line_says_what_is_open(start: Starter, options: tuple[str, ...], count: int) -> None:
    server = start(*SERVED, *options).ready()
    server.stop()
    assert server.err.whole().count(WARNING) == count


def test_exec_says_it_too(start: Starter) -> None:
    command = start("exec", "--mock", "llm", "--host", "0.0.0.0", "--", "true")
    assert command.code() == 0
    assert command.err.whole().count(WARNING) == 1


def test_a_stranger_gets_nothing_from_the_admin_api_but_how_its_owner_opens_it(start: Starter) -> None:
    server = start(*SERVED, "--host", "0.0.0.0", "--api-key", "k").ready()
    root = server.root_url.replace("127.0.0.1", own_address())
    for path in ("/jobs", "/worker-key", "/docs", "/openapi.json"):
        answer = httpx.get(f"{root}/__emulator{path}", headers={"authorization": "Bearer k"}, **PLAIN)
        assert answer.status_code == 403
        assert "--admin-key KEY" in answer.json()["detail"]
        assert "'Authorization: Bearer KEY'" in answer.json()["detail"]


def test_the_header_that_the_refusal_names_opens_the_admin_api(start: Starter) -> None:
    server = start(*SERVED, "--host", "0.0.0.0", "--admin-key", "operator-key").ready()
    url = f"{server.root_url.replace('127.0.0.1', own_address())}/__emulator/jobs"
    assert httpx.get(url, headers={"authorization": "Bearer operator-key"}, **PLAIN).status_code == 200
    for wrong in ("Bearer operator-keys", "Bearer operator-ke", "", "Bearer ключ"):
        headers = {"authorization": wrong.encode()}
        assert httpx.get(url, headers=headers, **PLAIN).status_code == 401
