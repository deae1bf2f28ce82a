"""Jobs that run or wait while new code comes into use, and what becomes of the old workers."""

from __future__ import annotations

import pytest

from tests.compat.servers import until
from tests.workers import served_code
from tests.workers.processes import needs_proc
from tests.workers.served_code import ServedCode

pytestmark = pytest.mark.compat

host = served_code.host
code = served_code.code
handler_code = served_code.handler_code


@needs_proc
def test_a_running_job_ends_on_the_old_code_and_its_process_after_it(code: ServedCode) -> None:
    code.write_main("NUMBER = 1")
    here = code.serve(workers_max=1)
    old = here.output("os.getpid()")
    running = here.submit("wait_for('gate') or [NUMBER, os.getpid()]")
    here.runs(running)
    code.write_main("NUMBER = 2")
    code.reloaded(1)
    number, new = here.output("[NUMBER, os.getpid()]")
    assert number == 2 and new != old
    assert {old, new} <= code.pids()
    code.write_main("NUMBER = 3")  # the oldest one still runs
    code.reloaded(2)
    assert here.output("NUMBER") == 3
    (code.folder / "gate").touch()
    ended = here.ended(running)
    assert (ended["status"], ended["output"], "retries" in ended) == ("COMPLETED", [1, old], False)
    until(lambda: not {old, new} & code.pids())
    assert here.workers() == {"idle": 1}


def test_a_job_that_waits_while_the_only_worker_is_busy_runs_the_new_code(code: ServedCode) -> None:
    code.write_main("NUMBER = 1")
    here = code.serve(workers_max=1)
    running = here.submit("wait_for('gate') or NUMBER")
    here.runs(running)
    waiting = [here.submit("NUMBER") for _ in range(2)]
    code.write_main("NUMBER = 2")
    assert [here.ended(job)["output"] for job in waiting] == [2, 2]
    (code.folder / "gate").touch()
    assert here.ended(running)["output"] == 1


@needs_proc
def test_an_endpoint_without_workers_gets_the_new_code(handler_code: ServedCode) -> None:
    """There is none where a cold start is simulated: else the last good one stays."""
    code = handler_code
    code.write_main("NUMBER = 1")
    here = code.serve(set=["idle_timeout=100"], cold_start="1ms")
    until(lambda: here.workers() == {} and not code.pids())
    code.write_main("NUMBER = 2")
    code.reloaded(1)
    assert here.output("NUMBER") == 2
    until(lambda: here.workers() == {} and not code.pids())
    code.write_main("raise RuntimeError('no model')")
    code.failed()
    assert not here.workers().get("idle")
    assert code.said("no worker with good code is left") == 1
    job = here.submit("NUMBER")
    code.server.line(f"ep {job[:4]} ({job}): it waits for a handler that can be imported: RuntimeError: no model")
    code.write_main("NUMBER = 3")
    assert here.ended(job)["output"] == 3


@needs_proc
def test_the_server_may_stop_while_new_code_is_tried(code: ServedCode) -> None:
    """The end of every test asserts that no process is left."""
    code.write_main("NUMBER = 1")
    code.serve()
    code.write_main("open('began', 'w').close()\nwait_for('never')")
    until((code.folder / "began").exists)
    assert len(code.pids()) == 2
    code.server.do(code.server.server.emulator.stop())
    assert not code.pids()


def test_without_the_option_nothing_is_watched(code: ServedCode) -> None:
    """A worker that comes later runs what the file then holds, as ever."""
    code.write_main("NUMBER = 1")
    here = code.serve(reload=False)
    code.write_main("NUMBER = 2")
    assert here.output("NUMBER") == 1


def test_new_code_comes_into_use_where_there_is_no_place_for_another_worker(handler_code: ServedCode) -> None:
    code = handler_code
    code.write_main("NUMBER = 1")
    here = code.serve(max_processes=1)
    running = here.submit("wait_for('gate') or NUMBER")
    here.runs(running)
    code.write_main("NUMBER = 2")
    until(lambda: code.said("changed"))
    (code.folder / "gate").touch()
    assert here.ended(running)["output"] == 1
    code.reloaded(1)
    assert here.output("NUMBER") == 2


@needs_proc
def test_every_worker_goes_and_as_many_come_as_are_always_on(handler_code: ServedCode) -> None:
    code = handler_code
    code.write_main("NUMBER = 1")
    here = code.serve(workers_min=2)
    old = code.pids()
    assert len(old) == 2
    code.write_main("NUMBER = 2")
    code.reloaded(1)
    until(lambda: here.workers() == {"idle": 2} and len(code.pids()) == 2)
    assert not old & code.pids()


def test_an_endpoint_that_may_have_no_worker_has_none_for_new_code(handler_code: ServedCode) -> None:
    code = handler_code
    code.write_main("NUMBER = 1")
    here = code.serve(workers_max=0, set=["paused_endpoint=queue"])
    job = here.submit("NUMBER")
    code.write_main("NUMBER = 2")
    until(lambda: code.said("changed"))
    assert here.workers() == {}
    assert here.status(job)["status"] == "IN_QUEUE"
