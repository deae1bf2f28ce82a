"""The official Python client, `runpod`, unmodified, over HTTPS, where it behaves as in production, and over HTTP."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.testing import Emulator

from tests.compat.servers import LIMIT

pytestmark = pytest.mark.compat

ASKED = {"prompt": "hello"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    folder = tmp_path_factory.mktemp("tls")
    with Emulator("llm", clock="virtual", tls=True, tls_folder=folder) as emulator:
        yield emulator


@pytest.fixture
def emu(shared: Emulator) -> Emulator:
    shared.reset()
    return shared


@pytest.fixture
def package(emu: Emulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package, pointed here over HTTPS by variables and by its own settings."""
    runpod = importlib.import_module("runpod")
    for name, value in emu.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(runpod, "endpoint_url_base", emu.base_url)
    monkeypatch.setattr(runpod, "api_key", emu.key)
    return runpod


def plain(emu: Emulator) -> str:
    """The same emulator over HTTP."""
    return emu.webhooks.url.partition("/__emulator")[0] + "/v2"


def polls(emu: Emulator) -> list[int]:
    """The status of each answer to a poll."""
    return [one.status for one in emu.requests(operation="status", endpoint="llm")]


def test_run_and_status(emu: Emulator, package: Any) -> None:
    emu.stub(respond={"output": "{{ input.prompt }}"})
    job = package.Endpoint("llm").run(ASKED)
    emu.clock.advance(0)
    assert (job.status(), job.output()) == ("COMPLETED", "hello")
    assert package.Endpoint("llm").run_sync(ASKED) == "hello"


def test_without_the_authority_it_refuses_the_certificate(
    emu: Emulator, package: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from requests.exceptions import SSLError

    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE")
    with pytest.raises(SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        package.Endpoint("llm").run(ASKED)
    assert emu.requests() == []


@pytest.mark.parametrize("status", [429, 408])
def test_over_https_a_429_of_a_poll_is_raised_at_once(emu: Emulator, package: Any, status: int) -> None:
    from requests import HTTPError

    job = package.Endpoint("llm").run(ASKED)
    emu.fault("status", status=status, operations=["status"], times=1)
    with pytest.raises(HTTPError, match=str(status)):
        job.status()
    assert job.status() in ("IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED")
    assert polls(emu) == [status, 200]


@pytest.mark.parametrize("status", [429, 408])
def test_over_http_it_is_tried_again_and_nobody_hears_of_it(
    emu: Emulator, package: Any, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(package, "endpoint_url_base", plain(emu))
    job = package.Endpoint("llm").run(ASKED)
    emu.fault("status", status=status, operations=["status"], times=1)
    assert job.status() in ("IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED")
    assert polls(emu) == [status, 200]


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_429_of_a_post_is_raised_at_once_over_both(
    emu: Emulator, package: Any, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    from requests import HTTPError

    if scheme == "http":
        monkeypatch.setattr(package, "endpoint_url_base", plain(emu))
    emu.fault("status", status=429, operations=["run"])
    with pytest.raises(HTTPError, match="429"):
        package.Endpoint("llm").run(ASKED)
    emu.assert_requested(operation="run", count=1)


PROGRAM = """
    import asyncio
    import os
    import aiohttp
    import runpod

    async def main():
        async with aiohttp.ClientSession() as session:
            job = await runpod.AsyncioEndpoint("echo", session).run({"b": 2})
            return await job.output(timeout=20)

    runpod.api_key = os.getenv("RUNPOD_API_KEY")
    print(runpod.endpoint_url_base)
    print(runpod.Endpoint("echo").run_sync({"a": 1}), asyncio.run(main()))
    """


def test_exec_sets_all_that_both_clients_need(tmp_path: Path) -> None:
    echo = Path(__file__).parents[2] / "handlers" / "echo.py"
    serving = ["exec", "--endpoint", f"echo={echo}", "--tls", "--tls-folder", str(tmp_path / "tls")]
    done = subprocess.run(
        [sys.executable, "-m", "runpod_emulator", *serving, "--", sys.executable, "-c", textwrap.dedent(PROGRAM)],
        env={name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")},
        capture_output=True, text=True, timeout=2 * LIMIT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    base_url, outputs = done.stdout.splitlines()
    assert base_url.startswith("https://127.0.0.1:")
    assert outputs == "{'a': 1} {'b': 2}"
