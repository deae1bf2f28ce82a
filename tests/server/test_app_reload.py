"""What the source of an app declares is followed while the server runs; a program stands in for its interpreter."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.endpoint.balancer import Balancer
from runpod_emulator.server.app_reload import AppReload
from runpod_emulator.server.server import Server

from tests.compat.servers import LIMIT
from tests.config.test_apps import API, QUEUE, answers, describes, manifest

ADDER = {**QUEUE, "workersMax": 2}


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """A server that is not started, with a function of an app and an endpoint of stubs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.py").write_text("")
    python = describes(manifest(ADDER))
    settings = read_settings(app=["shop.py"], mock=["other"], python=python, port=0, reload=True, no_config=True)
    one = Server(settings)
    yield one
    await asyncio.wait_for(one.stop(), LIMIT)


async def saved(server: Server, *resources: dict[str, Any]) -> None:
    """The source declares this from now on."""
    describes(manifest(*resources))
    await AppReload(server).look()


def maxima(server: Server) -> dict[str, int]:
    """The most workers of each endpoint of the first world."""
    return {name: one.settings.workers_max for name, one in server.emulator.endpoints.items()}


async def test_numbers_hold_at_once_in_every_world_and_after_a_reset(server: Server) -> None:
    other = server.worlds.named("blue")
    await saved(server, {**ADDER, "workersMin": 1, "workersMax": 7, "maxConcurrency": 1})
    assert maxima(server) == {"adder": 7, "other": 3}
    assert other.endpoints["adder"].settings.workers_max == 7
    assert server.worlds.named("green").endpoints["adder"].settings.workers_max == 7
    await server.emulator.endpoints.starts.restore()
    assert maxima(server)["adder"] == 7


async def test_functions_come_and_go(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "runpod_emulator.reload"):
        await saved(server, API)
    assert maxima(server) == {"other": 3, "web": 3}
    assert isinstance(server.emulator.endpoints["web"], Balancer)
    await server.emulator.endpoints.starts.restore()
    assert maxima(server) == {"other": 3, "web": 3}
    assert [record.message for record in caplog.records] == [
        "adder: no longer declared, and no longer served",
        "web: web of app shop in shop.py is served from now on",
    ]


@pytest.mark.parametrize("change", [{"env": {"A": "1"}}, {"maxConcurrency": 2}, {"kind": "api"}, {"module": "lab"}])
async def test_an_endpoint_declared_in_another_way_begins_anew(server: Server, change: dict[str, Any]) -> None:
    before = server.emulator.endpoints["adder"]
    await saved(server, {**ADDER, **change})
    assert server.emulator.endpoints["adder"] is not before
    after = server.emulator.endpoints["adder"]
    await saved(server, {**ADDER, **change})
    assert server.emulator.endpoints["adder"] is after


async def test_what_is_wrong_changes_nothing(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    answers('{"refused": "shop.py cannot be imported"}')
    await AppReload(server).look()
    assert maxima(server) == {"adder": 2, "other": 3}
    assert caplog.messages == ["app shop.py: shop.py cannot be imported\n  what was declared before stays in use"]
    await saved(server, {**ADDER, "name": "other"})
    assert maxima(server) == {"adder": 2, "other": 3}, "something else serves that id"
