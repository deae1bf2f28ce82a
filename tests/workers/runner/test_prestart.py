"""Prestart hooks: once, in order, before the first job; and the reason in each job's error when one fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
from runpod_emulator.workers.runner.frames import Kind

HOOKED = """
    import asyncio, os, sys, threading, time
    import runpod

    ran = []

    @runpod.serverless.register_prestart_hook
    def plain():
        ran.append(["plain", threading.current_thread() is threading.main_thread()])
        print("loading")
        PLAIN

    @runpod.serverless.register_prestart_hook
    async def later():
        ran.append(["later", threading.current_thread() is threading.main_thread()])
        LATER

    def handler(job):
        return ran

    runpod.serverless.start({"handler": handler, "prestart_timeout": TIMEOUT, "concurrency_modifier": lambda now: 2})
"""
RULES = ("--rules", "2.0")


def hooked(plain: str = "pass", later: str = "pass", timeout: str = "None") -> str:
    return HOOKED.replace("PLAIN", plain).replace("LATER", later).replace("TIMEOUT", timeout)


def failure(child: Any) -> dict[str, Any]:
    """What a job is told; the worker wants no other."""
    child.job()
    assert child.expect(Kind.CAPACITY, "") == b"0"
    told: dict[str, Any] = json.loads(child.done().error)
    return told


def test_hooks_run_once_before_the_first_job_and_jobs_come_meanwhile(start: Any, tmp_path: Any) -> None:
    gate = tmp_path / "gate"
    wait = f"[time.sleep(0.01) for _ in iter(lambda: os.path.exists({str(gate)!r}), True)]"
    child = start(hooked(wait), options=RULES)
    child.ready()
    child.job(id="one")
    child.job(id="two")
    gate.touch()
    ended = [child.next() for _ in range(2)]
    assert {frame.job for frame in ended} == {"one", "two"}
    assert {frame.kind for frame in ended} == {Kind.DONE}
    assert json.loads(child.run().output) == [["plain", False], ["later", True]]


@pytest.mark.parametrize(
    ("plain", "later", "timeout", "kind", "message", "hook"),
    [
        ("raise RuntimeError('no model')", "pass", "None", "RuntimeError", "no model", "plain"),
        ("sys.exit('no disk')", "pass", "5", "SystemExit", "no disk", "plain"),
        ("pass", "raise KeyError('x')", "5", "KeyError", "'x'", "later"),
        ("pass", "raise asyncio.CancelledError('me')", "None", "CancelledError", None, "later"),
        (
            "time.sleep(60)", "pass", "0.05", "PrestartTimeout",
            "prestart hook 'plain' exceeded prestart_timeout of 0.05s", "plain",
        ),
        (
            "pass", "await asyncio.sleep(60)", "0.05", "PrestartTimeout",
            "prestart hook 'later' exceeded prestart_timeout of 0.05s", "later",
        ),
    ],
    ids=["raised", "exited", "async", "cancelled", "late", "late async"],
)  # fmt: skip
def test_a_failed_hook_fails_every_job_that_came_and_ends_the_process(
    start: Any, plain: str, later: str, timeout: str, kind: str, message: str | None, hook: str
) -> None:
    child = start(hooked(plain, later, timeout), options=RULES, RUNPOD_POD_ID="w1")
    child.ready()
    told = failure(child)
    assert list(told) == [
        "event", "error_type", "error_message", "error_traceback", "worker_id", "runpod_version", "hook", "logs",
    ]  # fmt: skip
    assert (told["event"], told["error_type"], told["worker_id"]) == ("prestart_failed", kind, "w1")
    assert (told["hook"], told["logs"]) == (hook, "loading\n")
    assert message is None or told["error_message"] == message
    assert child.wait() == 1


def test_what_a_hook_printed_is_not_told_where_the_capture_is_off(start: Any) -> None:
    child = start(hooked("raise RuntimeError('x')"), options=RULES, RUNPOD_LOG_CAPTURE="off")
    child.ready()
    assert "logs" not in failure(child)


def test_long_texts_lose_their_middle(start: Any) -> None:
    child = start(hooked("raise RuntimeError('a' * 20_000 + 'b')"), options=RULES)
    child.ready()
    message = failure(child)["error_message"]
    assert message.startswith("aaa") and message.endswith("aab")
    assert "\n...[3617 characters truncated]...\n" in message


def test_the_rules_of_1_12_know_no_hooks(start: Any) -> None:
    pytest.importorskip("runpod")
    told = start(hooked(), options=("--rules", "1.12")).broken()
    assert "AttributeError" in told and "register_prestart_hook" in told
