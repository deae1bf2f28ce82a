"""Where clients are pointed at, and that all is put back as it was."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from runpod_emulator.plugin.redirect import KEY, Redirect, Reserved, Settings
from runpod_emulator.server.server import DEFAULT_KEY

BASE, NAME = "http://127.0.0.1:4000/v2", "RUNPOD_ENDPOINT_BASE_URL"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"RUNPOD_API_KEY": "real", "PATH": "/bin"})
    monkeypatch.delitem(sys.modules, "runpod", raising=False)


def told() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def load(monkeypatch: pytest.MonkeyPatch, base: str, key: str | None) -> SimpleNamespace:
    runpod = SimpleNamespace(endpoint_url_base=base, api_key=key)
    monkeypatch.setitem(sys.modules, "runpod", runpod)  # type: ignore[arg-type]
    return runpod


def test_the_key_is_the_one_that_an_emulator_tells():
    assert KEY == DEFAULT_KEY


def test_the_environment_is_put_back():
    redirect = Redirect(4000)
    for _ in range(2):
        redirect.on()
        redirect.on()
        assert told() == {"RUNPOD_API_KEY": KEY, NAME: BASE, "PATH": "/bin"}
        redirect.off()
        redirect.off()
        assert told() == {"RUNPOD_API_KEY": "real", "PATH": "/bin"}


def test_what_the_user_sets_meanwhile_stays():
    redirect = Redirect(4000)
    redirect.on()
    os.environ["RUNPOD_API_KEY"] = "mine"
    redirect.off()
    assert os.environ["RUNPOD_API_KEY"] == "mine"


def test_proxies_are_passed_by():
    os.environ["HTTP_PROXY"] = "http://proxy:3128"
    redirect = Redirect(4000)
    redirect.on()
    assert "127.0.0.1" in os.environ["NO_PROXY"]
    redirect.off()
    assert "NO_PROXY" not in os.environ


@pytest.mark.parametrize(
    ("base", "key"), [("https://api.runpod.ai/v2", "real"), ("http://mine:8000/v2", None), ("http://mine", "other")]
)
def test_the_module_is_put_back(monkeypatch: pytest.MonkeyPatch, base: str, key: str | None):
    runpod, redirect = load(monkeypatch, base, key), Redirect(4000)
    redirect.on()
    assert (runpod.endpoint_url_base, runpod.api_key) == (BASE, KEY)
    redirect.off()
    assert (runpod.endpoint_url_base, runpod.api_key) == (base, key)


def test_a_module_that_was_imported_meanwhile_is_as_if_it_had_not_been(monkeypatch: pytest.MonkeyPatch):
    redirect = Redirect(4000)
    redirect.on()
    runpod = load(monkeypatch, BASE, KEY)  # the file read both from the environment
    redirect.off()
    assert (runpod.endpoint_url_base, runpod.api_key) == ("https://api.runpod.ai/v2", "real")
    redirect.on()
    runpod.api_key = "mine"
    redirect.off()
    assert (runpod.endpoint_url_base, runpod.api_key) == ("https://api.runpod.ai/v2", "mine")


@pytest.mark.parametrize("in_test", [False, True])
def test_a_module_without_a_key_is_told_one_as_it_is_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, in_test: bool
):
    (tmp_path / "runpod.py").write_text(
        "import os\napi_key, endpoint_url_base = None, os.environ.get('RUNPOD_ENDPOINT_BASE_URL', 'default')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    finders, outer, inner = list(sys.meta_path), Redirect(4000), pytest.MonkeyPatch()
    settings = Settings({NAME: "http://own", "RUNPOD_API_KEY": "own"}, inner.setattr)
    outer.on()
    if in_test:
        before = dict(os.environ)
        inner.setitem(os.environ, NAME, "http://own")
        settings.on(before)
    import runpod

    assert runpod.__loader__ is runpod.__spec__.loader and "runpod_emulator" not in type(runpod.__loader__).__module__
    assert (runpod.endpoint_url_base, runpod.api_key) == (("http://own", "own") if in_test else (BASE, KEY))
    settings.stop()
    inner.undo()
    assert (runpod.endpoint_url_base, runpod.api_key) == (BASE, KEY)
    outer.off()
    assert (runpod.endpoint_url_base, runpod.api_key) == ("https://api.runpod.ai/v2", None)
    assert sys.meta_path == finders


def test_a_reserved_port_refuses_and_is_lent():
    port = Reserved()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port.number))
    with socket.create_server(("127.0.0.1", port.lend())):
        port.take_back()  # somebody was quicker, and keeps it
        socket.create_connection(("127.0.0.1", port.number)).close()
    port.take_back()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port.number))
    port.release()
