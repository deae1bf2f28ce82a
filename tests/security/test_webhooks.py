"""Webhooks are no way in, and reach only what they may."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp.abc
import httpx
import pytest
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.testing import Emulator

from tests.compat.servers import Starter
from tests.plain import PLAIN
from tests.security.raw import Receiver, receiving, send

HOSTS = [
    "http://127.0.0.1:PORT", "http://localhost:PORT", "http://LocalHost.:PORT", "http://[::ffff:127.0.0.1]:PORT",
    "http://0.0.0.0:PORT", "http://127.1:PORT", "http://2130706433:PORT", "http://0x7f000001:PORT", "http://017700000001:PORT",
    "http://127.0.0.9:PORT", "http://user:secret@127.0.0.1:PORT",
]  # fmt: skip
FAULTS = "/faults/profiles/rate-limited"
PATHS = [
    f"/__emulator{FAULTS}", f"//__emulator/{FAULTS}/", f"/%5F_emulator{FAULTS}", f"/__emulator%2F{FAULTS[1:]}",
    f"/x/../__emulator{FAULTS}", f"/__emulator/hooks/../{FAULTS}", f"/__emulator/hooks/%2e%2e{FAULTS}",
    f"/__emulator{FAULTS}?a=/__emulator/hooks/-/x", f"/__emulator{FAULTS}#/hooks/-/x", "/__emulator/reset",
    "/__emulator/hooks/answers", f"/lb/../__emulator{FAULTS}", "/__emulator/requests/find", "/__emulator/health",
]  # fmt: skip


@pytest.fixture(scope="module")
def emu() -> Iterator[Emulator]:
    with Emulator("llm", host="0.0.0.0", clock="auto", set=["webhook_retry_delays=1"]) as emu:
        emu.stub(endpoint="llm", respond={"output": 1})
        yield emu


def call(emu: Emulator, *urls: str) -> list[dict[str, Any]]:
    """End a job for each of these webhooks; returns the attempts."""
    server = emu.link.server
    for url in urls:
        told = url.replace("PORT", str(server.port))
        body = {"input": {"a": 1}, "webhook": told}
        answer = httpx.post(
            f"http://127.0.0.1:{server.port}/v2/llm/run", json=body, headers={"authorization": emu.key}, **PLAIN
        )
        assert answer.status_code == 200, answer.text
    emu.wait_for(idle=True)
    shown: list[dict[str, Any]] = send(server.port, "GET /__emulator/webhooks", ["Host: localhost"]).json["webhooks"]
    return shown


def test_no_webhook_comes_in(emu: Emulator) -> None:
    attempts = call(emu, HOSTS[0] + PATHS[0])
    assert [one["problem"] for one in attempts] == ["answered 403"] * 2
    assert list(emu.link.world.faults) == []


@pytest.mark.compat
def test_no_webhook_comes_in_however_it_is_written(emu: Emulator) -> None:
    emu.reset()
    emu.stub(endpoint="llm", respond={"output": 1})
    urls = [HOSTS[0] + path for path in PATHS] + [host + PATHS[0] for host in HOSTS[1:]]
    attempts = call(emu, *urls)
    assert len(attempts) == 2 * len(urls), "the journal was not reset, and nothing was acknowledged"
    assert {one["status"] for one in attempts} == {"OWED", "GIVEN_UP"}
    assert {one["problem"] for one in attempts if "127.0.0.1:" in one["url"] and "faults" in one["url"]} >= {
        "answered 403"
    }
    assert list(emu.link.world.faults) == []
    assert len(emu.jobs()) == len(urls)


@pytest.mark.parametrize("host", [*HOSTS[:2], *HOSTS[3:5], "http://127.0.0.9:PORT"])
def test_its_hooks_are_reached_under_each_of_its_names(emu: Emulator, host: str) -> None:
    emu.reset()
    emu.stub(endpoint="llm", respond={"output": 1})
    (attempt,) = call(emu, f"{host}/__emulator/hooks/-/here")
    assert attempt["status"] == "DELIVERED"


@pytest.mark.compat
def test_over_tls_no_webhook_comes_in_either(start: Starter, tmp_path: Path) -> None:
    tls = ["--tls", "--tls-port", "0", "--tls-folder", tmp_path / "tls", "--set", "webhook_retry_delays=1"]
    start("tls", "--tls-folder", tmp_path / "tls").code()
    trusted = str(tmp_path / "tls" / "ca.pem")
    command = start("serve", "--mock", "llm", "--port", "0", *tls, SSL_CERT_FILE=trusted).ready()
    secure = command.out.line("https://").split()[-1].removesuffix("/v2")
    for path, problem in ((FAULTS, "answered 403"), ("/hooks/-/here", None)):
        body = {"input": {"a": 1}, "webhook": f"{secure}/__emulator{path}"}
        job = command.http.post("/llm/runsync", json=body).json()["id"]
        command.http.post(f"{command.root_url}/__emulator/wait", json={"idle": True})
        shown = command.http.get(f"{command.root_url}/__emulator/webhooks", params={"job": job}).json()["webhooks"]
        assert shown[-1]["problem"] == problem
    assert command.http.get(f"{command.root_url}/__emulator/faults").json() == []


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


LIMITS = [
    ({"webhook_deny": ["127.0.0.0/8"]}, "http://127.0.0.1:{}/", "127.0.0.1 is denied by --webhook-deny 127.0.0.0/8"),
    ({"webhook_deny": ["127.0.0.0/8"]}, "http://0.0.0.0:{}/", "0.0.0.0 is denied by --webhook-deny 127.0.0.0/8"),
    ({"webhook_deny": ["127.0.0.1"]}, "http://[::ffff:127.0.0.1]:{}/", "is denied by --webhook-deny 127.0.0.1/32"),
    ({"webhook_deny": ["127.0.0.0/8"]}, "http://127.1:{}/", ""),
    ({"webhook_deny": ["127.0.0.0/8", "::1"]}, "http://localhost:{}/", "is denied by --webhook-deny"),
    ({"webhook_allow": ["10.0.0.0/8"]}, "http://127.0.0.1:{}/", "127.0.0.1 is in no network of --webhook-allow"),
    ({"webhook_allow": ["10.0.0.0/8"]}, "http://localhost:{}/", "is in no network of --webhook-allow"),
    ({"webhook_allow": ["::1"]}, "http://[::ffff:127.0.0.1]:{}/", "is in no network of --webhook-allow"),
    ({"webhook_allow": ["127.0.0.0/8"], "webhook_deny": ["127.0.0.1"]}, "http://127.0.0.1:{}/", "--webhook-deny"),
    ({}, "http://127.0.0.1:{}/", None),
    ({"webhook_deny": ["10.0.0.0/8", "::1"]}, "http://localhost:{}/", None),
    ({"webhook_allow": ["127.0.0.1"]}, "http://localhost:{}/", None),
    ({"webhook_allow": ["127.0.0.1"]}, "http://[::ffff:127.0.0.1]:{}/", None),
]


@pytest.mark.parametrize(("limits", "url", "problem"), LIMITS)
def test_webhooks_reach_what_they_may(
    receiver: Receiver, limits: dict[str, list[str]], url: str, problem: str | None
) -> None:
    with Emulator("llm", clock="auto", **limits) as emu:
        emu.stub(endpoint="llm", respond={"output": 1})
        attempts = call(emu, url.format(receiver.port))
    assert len(receiver.calls) == (problem is None)
    assert len(attempts) == (1 if problem is None else 3), "each attempt is checked, and shown"
    for attempt in attempts:
        assert attempt["problem"] == problem if problem is None else problem in attempt["problem"]


def test_a_wrong_network_is_refused_at_the_start() -> None:
    for option in ("webhook_allow", "webhook_deny"):
        with pytest.raises(ConfigurationError, match=rf"^{option}: .*write a network such as"):
            Emulator("llm", **{option: ["10.0.0.0/99"]}).start()


class Rebinding(aiohttp.abc.AbstractResolver):
    """Leads elsewhere, and from the second question on to this machine."""

    def __init__(self, *_: object, **__: object) -> None:
        self._asked = 0

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[Any]:
        self._asked += 1
        address = "10.1.2.3" if self._asked == 1 else "127.0.0.1"
        return [{"hostname": host, "host": address, "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


def test_a_name_that_leads_elsewhere_in_between_reaches_nothing(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address that is checked is the one that is called: between a check and a call a name may change."""
    monkeypatch.setattr("aiohttp.connector.DefaultResolver", Rebinding)
    limits: dict[str, Any] = {"webhook_deny": ["127.0.0.0/8", "10.0.0.0/8"]}
    with Emulator("llm", clock="auto", **limits) as emu:
        emu.stub(endpoint="llm", respond={"output": 1})
        attempts = call(emu, f"http://rebinding.test:{receiver.port}/")
    assert attempts[0]["problem"].startswith("10.1.2.3")
    assert all("is denied by" in one["problem"] for one in attempts)
    assert receiver.calls == []
