"""What a test takes of a world, and brings back."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from runpod_emulator import Emulator
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.testing import Loaded, Snapshot

from tests.plain import PLAIN
from tests.testing.conftest import Client

KEY = "rpa_ABCDEFGHIJKLMNOPQRSTUVWXYZ123456"


def admin(emu: Emulator, path: str) -> Any:
    answer = httpx.get(f"{emu.base_url.removesuffix('/v2')}/__emulator{path}", **PLAIN)
    assert answer.is_success
    return answer.json()


def test_a_world_is_as_it_was(emu: Emulator, client: Client) -> None:
    emu.stub(id="slow", endpoint="llm", respond={"delay": "5m", "output": "{{ input.prompt }}"})
    emu.fault("latency", delay="1s", id="late", endpoint="other")
    job = client.run(webhook=emu.webhooks.url)
    emu.clock.advance("1m")
    base, then = emu.state.take(), emu.clock.now()
    assert (repr(base), base.jobs) == ("<snapshot of 1 job>", 1)
    for _ in range(2):
        assert emu.state.load(base) == Loaded(jobs=1, lost=1, unserved={})
        assert emu.clock.now() == then
        assert [(one.id, one.status, one.retries) for one in emu.jobs()] == [(job, "IN_PROGRESS", 1)]
        assert [one["id"] for one in admin(emu, "/faults")] == ["late"]
        emu.clock.advance("6m")
        assert emu.job(job).output == "hello"
        emu.wait_for(webhooks=1)
        client.run("another")
        assert "Submitted +0 s" in emu.story()


def test_what_a_test_asserted_of_requests_is_forgotten_with_them(client: Client, emu: Emulator) -> None:
    base = emu.state.take()
    client.ask("POST", "/nobody/run", {"input": {}})
    emu.assert_requested(status=404)
    emu.state.load(base)
    assert emu.requests() == []
    client.ask("POST", "/nobody/run", {"input": {}})
    assert len(emu.unmet()) == 1


def test_it_goes_through_a_file_whole_and_for_nobody_else(emu: Emulator, client: Client, tmp_path: Path) -> None:
    emu.stub(endpoint="llm", respond={"never": True})
    client.ask("POST", "/llm/run", {"input": {"api_key": KEY}})
    path = tmp_path / "state.json"
    emu.state.take().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KEY in path.read_text()
    assert KEY not in repr(emu.state.take())
    with Emulator("llm") as other:
        assert other.state.load(str(path)).jobs == 1
        (job,) = other.jobs()
        assert job.input == {"api_key": "****3456"}  # as it is shown everywhere


def test_each_namespace_has_its_own(emu: Emulator) -> None:
    two = emu.namespace("w2")
    two.stub(id="of-two", endpoint="llm", respond={"output": 2})
    base = two.state.take()
    two.reset()
    two.state.load(base)
    assert [one["id"] for one in admin(emu, "/stubs")] == []
    assert json.loads(two.state.take().data)["worlds"][0]["stubs"][0]["id"] == "of-two"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: Snapshot(b"{}", 0), "snapshot: it is no state of runpod-emulator"),
        (lambda path: path.write_text("x") and path, "snapshot: it is no JSON"),
    ],
)
def test_what_is_none_is_refused_and_changes_nothing(
    emu: Emulator, client: Client, tmp_path: Path, make: Callable[[Path], Any], told: str
) -> None:
    job = client.run()
    with pytest.raises(ConfigurationError, match=told):
        emu.state.load(make(tmp_path / "state.json"))
    with pytest.raises(FileNotFoundError):
        emu.state.load(tmp_path / "nowhere")
    assert [one.id for one in emu.jobs()] == [job]


def test_endpoints_that_nobody_serves_are_told(emu: Emulator) -> None:
    with Emulator("far", clock="virtual") as other:
        Client(other).run(endpoint="far")
        base = other.state.take()
    assert emu.state.load(base).unserved == {"far": 1}


async def test_it_can_be_awaited(emu: Emulator, client: Client) -> None:
    job = await asyncio.to_thread(client.run)
    base = await emu.aio.state.take()
    await emu.aio.reset()
    assert (await emu.aio.state.load(base)).jobs == 1
    assert [one.id for one in await emu.aio.jobs()] == [job]


def test_an_emulator_keeps_its_state_from_one_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    for number in (1, 2, 3):
        with Emulator("llm", state=path, clock="virtual") as emu:
            assert len(emu.jobs()) == number - 1
            Client(emu).run()
            emu.clock.advance("1m")
            assert emu.clock.now() == pytest.approx(1_700_000_000 + 60 * number)
