"""What is under way as a reset comes is of the test before: nothing of it reaches the next one."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from runpod_emulator import Emulator
from runpod_emulator.core.errors import ConfigurationError

from tests.compat.servers import until
from tests.plain import PLAIN
from tests.tables import table


@pytest.fixture(scope="module")
def shared() -> Iterator[Emulator]:
    with Emulator("llm", clock="virtual") as emu:
        yield emu


def ask(emu: Emulator, path: str = "/run", **more: Any) -> Any:
    body = {"input": {"a": 1}, **more}
    url = f"{emu.base_url}/llm{path}"
    return httpx.post(url, json=body, headers={"authorization": emu.key}, timeout=60, **PLAIN).json()


@table("kind", ["repeated_report", "late_report"])
def test_a_late_report_is_not_the_next_jobs(shared: Emulator, kind: Any) -> None:
    shared.reset()
    shared.stub(respond={"output": "old"})
    shared.fault(kind, delay="5s")
    old = ask(shared)["id"]
    shared.clock.advance("1s")
    shared.reset()
    shared.stub(respond={"never": True})
    assert ask(shared)["id"] == old, "ids begin anew"
    shared.clock.advance("10s")
    assert shared.job(old).status == "IN_PROGRESS"


@table("kind", ["throttled_workers", "cold_starts"])
def test_a_worker_that_comes_late_is_not_waited_for(shared: Emulator, kind: Any) -> None:
    shared.reset()
    shared.fault(kind, delay="1h")
    ask(shared)
    shared.reset()
    shared.stub(respond={"output": "new"})
    assert shared.job(ask(shared)["id"]).output == "new"


@table("kind", ["webhook_late", "webhook_out_of_order"])
def test_a_late_webhook_does_not_come(shared: Emulator, kind: Any) -> None:
    shared.reset()
    shared.stub(respond={"output": "old"})
    shared.fault(kind, delay="5s")
    ask(shared, webhook=shared.webhooks.url)
    shared.clock.advance("1s")
    shared.reset()
    shared.clock.advance("10s")
    assert shared.webhooks.received == []


def test_a_request_that_was_held_is_not_in_the_journal(shared: Emulator) -> None:
    shared.reset()
    shared.stub(respond={"never": True})
    answers: list[Any] = []
    held = threading.Thread(target=lambda: answers.append(ask(shared, "/runsync")))
    held.start()
    until(lambda: shared.jobs())
    shared.reset()
    held.join(30)
    assert answers[0]["title"] == "Not Found"
    assert shared.requests() == []


@table("wrong", [{}, {"job": None}, {"endpoint": "llm"}, {"timeout": 5}, {"count": 99}])
def test_a_wait_for_nothing_is_refused(shared: Emulator, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="say what to wait for"):
        shared.wait_for(**wrong)


def test_a_job_may_be_waited_for_until_a_state(shared: Emulator) -> None:
    shared.reset()
    shared.stub(respond={"delay": "1h", "output": 1})
    job = ask(shared)["id"]
    shared.wait_for(job=job, status="IN_PROGRESS")
    with pytest.raises(TimeoutError, match="is IN_PROGRESS, and was never COMPLETED"):
        shared.wait_for(job=job, status="COMPLETED")


@table("patience", [0, -1, None, "5s", float("nan"), True])
def test_a_patience_that_is_none_is_refused(patience: Any) -> None:
    with pytest.raises(ConfigurationError, match="patience: "):
        Emulator("llm", patience=patience)


@table(("option", "near"), [("strictt", "strict"), ("patienc", "patience")])
def test_options_of_python_are_among_the_nearest(option: str, near: str) -> None:
    with pytest.raises(ConfigurationError, match=f"no option {option}; the nearest is {near}"):
        Emulator("llm", **{option: True})  # type: ignore[misc]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_is_told_at_once(shared: Emulator) -> None:
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()

    def child() -> None:
        for call in (shared.jobs, lambda: shared.base_url, lambda: shared.clock.advance(1)):
            try:
                call()
            except RuntimeError as error:
                told.put(str(error))
        shared.stop()

    fork = context.Process(target=child)
    fork.start()
    fork.join(20)
    assert fork.exitcode == 0
    assert ["another process" in told.get() for _ in range(3)] == [True] * 3
    assert shared.base_url
