"""A reset leaves nothing of the test before: what follows is what follows a start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from runpod_emulator import Emulator
from runpod_emulator.core.time.clock import ticks

from tests.plain import PLAIN
from tests.tables import table
from tests.timing import expect_within, timed

FILE = """
stubs: [{id: kept, endpoint: of-a-file, respond: {output: 1}}]
faults: [{fault: worker_crash, id: kept, endpoint: of-a-file, ttl: 1h}]
"""


def admin(emu: Emulator, method: str, path: str, body: Any = None) -> Any:
    answer = httpx.request(method, emu.base_url.removesuffix("/v2") + "/__emulator" + path, json=body, **PLAIN)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def client(emu: Emulator, path: str, body: Any = None) -> Any:
    key = {"authorization": emu.key}
    return httpx.post(emu.base_url + path, json=body or {"input": {"a": 1}}, headers=key, **PLAIN).json()


def seen(emu: Emulator) -> dict[str, Any]:
    """Everything that a test could find of one before."""
    return {
        "endpoints": sorted(admin(emu, "GET", "/endpoints"), key=str),
        "stubs": admin(emu, "GET", "/stubs"),
        "faults": admin(emu, "GET", "/faults"),
        "jobs": emu.jobs(),
        "requests": emu.requests(),
        "webhooks": emu.webhooks.received,
        "calls": admin(emu, "GET", "/webhooks"),
    }


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    file = tmp_path_factory.mktemp("stubs") / "stubs.yaml"
    file.write_text(FILE)
    with Emulator("llm", clock="virtual", stubs=[file], workers_max=2) as emu:
        yield emu


LEFT: dict[str, Callable[[Emulator], object]] = {
    "a stub's endpoint": lambda emu: emu.stub(endpoint="new", respond={"output": 1}),
    "a function's endpoint": lambda emu: emu.handler("new", len),
    "a function": lambda emu: emu.handler("llm", len),
    "settings": lambda emu: admin(emu, "PATCH", "/endpoints/llm", {"workers_max": 7, "idle_timeout": "1h"}),
    "settings of a stub's endpoint": lambda emu: admin(emu, "PATCH", "/endpoints/of-a-file", {"workers_min": 1}),
    "a pause": lambda emu: admin(emu, "PATCH", "/endpoints/llm", {"workers_max": 0}),
    "an endpoint that was taken away": lambda emu: admin(emu, "DELETE", "/endpoints/llm"),
    "one of a file that was taken away": lambda emu: admin(emu, "DELETE", "/endpoints/of-a-file"),
    "time": lambda emu: emu.clock.advance("3d"),
    "a job": lambda emu: client(emu, "/llm/run"),
    "a job that waits": lambda emu: (
        emu.stub(respond={"queue_delay": "1h"}),
        client(emu, "/llm/run", {"input": {"a": 1}, "webhook": emu.webhooks.url}),
        emu.clock.advance("2s"),
    ),
    "a webhook that is owed": lambda emu: (
        emu.stub(respond={"output": 1}),
        emu.webhooks.answer(500, times=9),
        client(emu, "/llm/run", {"input": {"a": 1}, "webhook": emu.webhooks.url}),
        emu.clock.advance("1s"),
    ),
    "a stub of a file": lambda emu: admin(emu, "DELETE", "/stubs/kept"),
    "a fault": lambda emu: emu.fault("status", status=500),
    "a fault of a file": lambda emu: admin(emu, "DELETE", "/faults"),
}


@table("left", list(LEFT))
def test_a_reset_leaves_nothing_of_the_test_before(shared: Emulator, left: str) -> None:
    shared.reset()
    now, start = shared.clock.now(), seen(shared)
    LEFT[left](shared)
    shared.reset()
    assert (shared.clock.now(), seen(shared)) == (now, start)
    shared.stub(endpoint="llm", respond={"delay": "2s", "output": "{{ uuid() }}"})
    first = _life(shared)
    shared.reset()
    shared.stub(endpoint="llm", respond={"delay": "2s", "output": "{{ uuid() }}"})
    assert _life(shared) == first


def _life(emu: Emulator) -> Any:
    job = client(emu, "/llm/run", {"input": {"a": 1}, "webhook": emu.webhooks.url})["id"]
    emu.clock.run_until_idle()
    emu.wait_for(webhooks=1)
    record = emu.job(job)
    return record.id, record.output, record.transitions[-1].at, [call.status for call in emu.webhooks.received]


def test_an_endpoint_that_was_added_on_purpose_stays_with_its_own_settings(shared: Emulator) -> None:
    shared.reset()
    admin(shared, "POST", "/endpoints", {"id": "added", "workers_max": 5})
    admin(shared, "PATCH", "/endpoints/added", {"workers_max": 6})
    shared.reset()
    assert [one["workers_max"] for one in admin(shared, "GET", "/endpoints") if one["id"] == "added"] == [5]
    admin(shared, "DELETE", "/endpoints/added")
    shared.reset()
    assert "added" not in [one["id"] for one in admin(shared, "GET", "/endpoints")]


def test_time_that_an_automatic_clock_left_out_is_there_again() -> None:
    with Emulator("llm", clock="auto") as emu:
        emu.stub(respond={"delay": "80s", "output": 1})
        assert client(emu, "/llm/runsync")["status"] == "COMPLETED"
        assert emu.clock.now() - time.time() > 79
        emu.reset()
        assert emu.clock.now() - time.time() < 1
        emu.stub(respond={"delay": "80s", "output": 2})
        assert client(emu, "/llm/runsync")["output"] == 2


def test_a_worker_that_idles_goes_when_it_would_have_gone(shared: Emulator) -> None:
    shared.reset()
    shared.stub(endpoint="llm", respond={"output": 1})
    shared.clock.advance("1h")
    client(shared, "/llm/runsync")
    shared.clock.advance("3s")
    shared.reset()
    idle = lambda: shared.link.ask(lambda world: len(world.endpoints.queues["llm"].fleet.workers))  # noqa: E731
    assert idle() == 1
    shared.clock.advance("1s")
    assert idle() == 1
    shared.clock.advance("1s")
    assert idle() == 0


@timed
def test_a_reset_of_what_was_not_used_takes_a_millisecond(tmp_path: Path) -> None:
    with Emulator("llm", "tts", "img", clock="virtual") as emu:
        emu.reset()
        began = ticks()
        for _ in range(100):
            emu.reset()
        expect_within((ticks() - began) / 100, 0.001)
