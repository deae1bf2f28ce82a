"""Official clients that pause between two requests and cannot see a close meanwhile: no request may be lost.

Servers commonly close an idle connection after 5 s; aiohttp keeps its own for 15 s, and does not retry a POST: with
`--keep-alive 5s` the clients of asyncio fail here. The others look at the socket, or let it go in time by themselves.
Flash has its test in test_flash.py.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.sdks import interpreter
from tests.compat.servers import HANDLERS, Command, commands
from tests.compat.test_flash import urls

pytestmark = pytest.mark.compat

PAUSES = (14,)
"""Seconds: within what aiohttp keeps a connection, beyond what servers commonly do."""
LIMIT = 90
PROGRAM = Path(__file__).with_name("pausing.py")
CLIENTS = [
    ("endpoint", "1.12", "http"),
    ("endpoint", "1.12", "https"),
    ("endpoint", "2.0", "http"),
    ("asyncio", "1.12", "http"),
    ("asyncio", "1.12", "https"),
    ("asyncio", "2.0", "http"),
    ("asyncio", "2.0", "https"),
    ("apps", "2.0", "http"),
    ("openai", "1.12", "http"),
    ("openai_later", "1.12", "http"),
    ("js", "1.1", "http"),
    ("js", "1.1", "https"),
]
"""A client, the environment that it is run in, and how it comes here."""

Client = tuple[str, str, str]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    handlers = [HANDLERS / f"{name}.py" for name in ("echo", "openai_chat")]
    with commands(tmp_path_factory.mktemp("pauses")) as start:
        serving = ("serve", *handlers, "--workers-min", 1, "--port", 0)
        yield start(*serving, "--tls", "--tls-port", 0, "--tls-folder", "tls").ready()


def start(client: Client, server: Command, project: Path) -> subprocess.Popen[str]:
    name, version, scheme = client
    plain, secure = urls(server)
    secure = secure.replace("api.localhost", "127.0.0.1")  # not every resolver finds it
    authority = str(server.folder / "tls" / "ca.pem")
    trusting = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS") if scheme == "https" else ()
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")},
        **dict.fromkeys(trusting, authority),
        "RUNPOD_ENDPOINT_BASE_URL": secure if scheme == "https" else plain,
        "RUNPOD_API_KEY": "any-key",
        "PAUSES": ",".join(map(str, PAUSES)),
    }
    words = ["node", "pauses.mjs"] if name == "js" else [interpreter(version), str(PROGRAM), name]
    return subprocess.Popen(
        words, cwd=project, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(scope="module")
def running(server: Command, project: Path) -> Iterator[dict[Client, subprocess.Popen[str]]]:
    """All clients, at once: they only wait."""
    started = {client: start(client, server, project) for client in CLIENTS}
    yield started
    for process in started.values():
        process.kill()
        process.communicate()


@pytest.mark.parametrize("client", CLIENTS, ids="-".join)
def test_every_request_is_answered(running: dict[Client, subprocess.Popen[str]], client: Client) -> None:
    told, complaints = running[client].communicate(timeout=LIMIT)
    assert running[client].returncode == 0, complaints
    assert json.loads(told) == [0, *PAUSES]
