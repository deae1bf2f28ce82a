"""The variables of a client that goes through the proxy: which there are, and whom it reaches past it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.config.settings import read_settings
from runpod_emulator.server.proxy_environment import proxied
from runpod_emulator.server.server import Server
from runpod_emulator.server.tls import Authority

URL = "http://127.0.0.1:8899"
HERE = "127.0.0.1,localhost,::1"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


def variables(folder: Path, **settings: Any) -> dict[str, str]:
    """What a server sets for its clients."""
    server = Server(read_settings(port=0, mock=["llm"], tls_folder=folder, tls_port=0, config=os.devnull, **settings))
    try:
        return server.client_environment()
    finally:
        server._listeners.release()


def test_every_library_finds_its_own_names() -> None:
    assert proxied(URL, "127.0.0.1") == {
        "HTTPS_PROXY": URL, "https_proxy": URL, "HTTP_PROXY": URL, "http_proxy": URL,
        "NO_PROXY": HERE, "no_proxy": HERE, "NODE_USE_ENV_PROXY": "1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        ("corp.test, .own.test,10.0.0.0/8", "corp.test,.own.test,10.0.0.0/8,"),
        ("*", ""),
        ("runpod.ai", ""),
        (".runpod.ai,corp.test", "corp.test,"),
        ("*.runpod.io", ""),
        ("API.runpod.ai:443", ""),
        ("llm.api.runpod.ai", ""),
        ("ai", ""),
        ("notrunpod.ai", "notrunpod.ai,"),
    ],
)
def test_whoever_was_reached_directly_still_is_but_for_the_service(
    given: str, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", given)
    assert proxied(URL, "127.0.0.1")["NO_PROXY"] == kept + HERE


def test_the_servers_own_host_is_reached_directly() -> None:
    assert proxied(URL, "[fd00::1]")["no_proxy"] == f"{HERE},fd00::1"


def test_a_client_has_the_proxy_and_the_plain_base_url(tmp_path: Path) -> None:
    found = variables(tmp_path, proxy=0)
    assert found["RUNPOD_ENDPOINT_BASE_URL"].startswith("http://127.0.0.1:"), "for who knows no proxies"
    assert found["HTTPS_PROXY"].startswith("http://127.0.0.1:")
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
        assert found[name] == str(tmp_path / "ca.pem")
    assert variables(tmp_path, proxy=0, tls=True)["RUNPOD_ENDPOINT_BASE_URL"].startswith("https://")
    assert "HTTPS_PROXY" not in variables(tmp_path, tls=True)


def test_who_reaches_other_sites_too_trusts_them_too(tmp_path: Path) -> None:
    found = variables(tmp_path, proxy=0, proxy_pass=True)
    bundle = tmp_path / "bundle.pem"
    assert {found[name] for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")} == {str(bundle)}
    assert found["NODE_EXTRA_CA_CERTS"] == str(tmp_path / "ca.pem")
    content = bundle.read_text()
    assert content.startswith((tmp_path / "ca.pem").read_text())
    assert content.count("BEGIN CERTIFICATE") > 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle.pem", "ca-key.pem", "ca.pem"]


def test_what_a_user_trusts_besides_is_trusted_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "corporate.pem").write_text("of a company\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "corporate.pem"))
    authority = Authority(tmp_path / "tls")
    assert authority.bundle().read_text() == authority.ca_file.read_text() + "of a company\n"
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    assert authority.bundle().read_text().count("BEGIN CERTIFICATE") > 20, "its own file alone would reach nobody else"
