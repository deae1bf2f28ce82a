"""How a worker process ends: by its handler, by a signal, by the end of its channel."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from runpod_emulator.workers.runner.frames import Kind, pack

from tests.workers.runner.test_loop import ASYNC


def test_leaving_by_sys_exit_ends_the_process_without_a_report(start: Any) -> None:
    child = start(ASYNC)
    child.ready()
    child.expect(Kind.PROGRESS, child.job("wait", "sibling"))
    child.job("exit")
    assert child.wait() == 7
    assert child.frames == []
    assert child.printed.endswith("<job-1>last words")


def test_an_interrupt_ends_the_process_too(start: Any) -> None:
    child = start("def handler(job):\n    raise KeyboardInterrupt")
    child.ready()
    child.job()
    assert child.wait() == -signal.SIGINT
    assert child.frames == []


def test_dying_ends_the_channel(start: Any) -> None:
    child = start("import os\ndef handler(job):\n    os._exit(9)")
    child.ready()
    child.job()
    assert child.wait() == 9
    assert child.frames == []


def test_an_idle_worker_that_is_terminated_leaves_in_peace(start: Any) -> None:
    child = start("import runpod\nrunpod.serverless.start({'handler': print})\nprint('after start')")
    child.ready()
    child.process.terminate()
    assert child.wait() == 0
    assert child.log == "after start\n"


BUSY = {
    "async": "async def handler(job):\n    {0}\n    while not os.path.exists('gate'): await asyncio.sleep(0.01)",
    "plain": "def handler(job):\n    {0}\n    while not os.path.exists('gate'):\n        time.sleep(0.01)",
}


def busy(start: Any, kind: str) -> Any:
    lines = BUSY[kind].format("runpod.serverless.progress_update(job, 1)")
    child = start(f"import asyncio, os, time\nimport runpod\n{lines}")
    child.ready()
    child.expect(Kind.PROGRESS, child.job())
    return child


@pytest.mark.parametrize("kind", BUSY)
@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_busy_worker_that_is_asked_to_leave_ends_its_job_first(
    start: Any, tmp_path: Any, kind: str, sign: signal.Signals
) -> None:
    child = busy(start, kind)
    child.process.send_signal(sign)
    (tmp_path / "gate").touch()
    while (frame := child.next()).kind is not Kind.DONE:
        assert (frame.kind, frame.body) == (Kind.CAPACITY, b"0")
    assert child.wait() == 0


@pytest.mark.parametrize("kind", BUSY)
def test_a_worker_whose_jobs_are_given_up_leaves_at_once(start: Any, kind: str) -> None:
    child = busy(start, kind)
    child.socket.sendall(pack(Kind.GIVE_UP))
    child.process.terminate()
    assert child.wait() == -signal.SIGTERM


def test_the_end_of_the_channel_is_the_end_of_the_worker(start: Any) -> None:
    child = start(ASYNC)
    child.ready()
    child.expect(Kind.PROGRESS, child.job("wait"))
    child.socket.shutdown(1)
    assert child.wait() == 1


ENDS = {
    "stops the loop": "asyncio.get_running_loop().stop(); await asyncio.Event().wait()",
    "exits in a task": "asyncio.get_running_loop().create_task(leave()); await asyncio.Event().wait()",
    "cancels everything": "[task.cancel() for task in asyncio.all_tasks()]; await asyncio.Event().wait()",
}


@pytest.mark.parametrize("end", ENDS)
def test_a_worker_that_ends_with_its_loop_says_nothing_of_its_jobs(start: Any, end: str) -> None:
    """Its end tells all: a job that it gives back before would free its place for the next one, which is lost too."""
    child = start(
        f"""
        import asyncio, sys
        import runpod

        async def leave():
            sys.exit(3)

        async def handler(job):
            if job["input"] == "end":
                {ENDS[end]}
            runpod.serverless.progress_update(job, "waiting")
            await asyncio.Event().wait()

        runpod.serverless.start({{"handler": handler, "concurrency_modifier": lambda current: 8}})
        """
    )
    child.ready()
    for name in [f"sibling-{n}" for n in range(7)]:
        child.expect(Kind.PROGRESS, child.job("wait", name))
    child.job("end")
    assert child.wait() not in (0, None)
    assert child.frames == []
