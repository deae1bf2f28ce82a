"""What a worker waits for before it serves, seen over HTTP: a place, a machine, a container, its own start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from runpod_emulator.core.errors import ConfigurationError

from tests.compat.servers import until
from tests.workers import programs, served_code
from tests.workers.processes import needs_proc
from tests.workers.programs import Host, Starter
from tests.workers.served_code import ServedCode

pytestmark = pytest.mark.compat

host = served_code.host
code = served_code.code
handler_code = served_code.handler_code
start = programs.start

NEVER = f"ep={sys.executable} -c 'import time; print(\"loading\", flush=True); time.sleep(99)'"

# A place


@needs_proc
def test_a_worker_without_a_place_is_throttled_until_an_idle_one_made_room(code: ServedCode) -> None:
    code.write_main("")
    code.write_main("", name="other.py")
    here = code.serve("other.py", reload=False, max_processes=1)
    other = code.client("other")
    busy = here.submit("wait_for('gate') or os.getpid()")
    here.runs(busy)
    waiting = other.submit("os.getpid()")
    assert (here.workers(), other.workers()) == ({"running": 1}, {"throttled": 1})
    assert other.status(waiting)["status"] == "IN_QUEUE"
    assert len(code.pids()) == 1
    (code.folder / "gate").touch()
    first = here.ended(busy)["output"]
    assert other.ended(waiting)["output"] != first
    until(lambda: here.workers() == {} and other.workers() == {"idle": 1} and first not in code.pids())


@needs_proc
def test_two_endpoints_take_turns_in_one_place(handler_code: ServedCode) -> None:
    code = handler_code
    code.write_main("")
    code.write_main("", name="other.py")
    here = code.serve("other.py", reload=False, max_processes=1)
    other = code.client("other")
    pids = [one.output("os.getpid()") for one in (here, other, here, other)]
    assert len(set(pids)) == 4
    jobs = [(one, one.submit("1 + 1")) for one in (here, other) * 2]
    assert [one.ended(job)["output"] for one, job in jobs] == [2] * 4
    until(lambda: len(code.pids()) == 1)


def test_a_second_worker_of_one_endpoint_is_throttled_too(handler_code: ServedCode) -> None:
    code = handler_code
    code.write_main("")
    here = code.serve(reload=False, max_processes=1)
    jobs = [here.submit("wait_for('gate') or ME") for _ in range(2)]
    here.runs(jobs[0])
    assert here.workers() == {"running": 1, "throttled": 1}
    (code.folder / "gate").touch()
    for job in jobs:
        assert here.ended(job)["status"] == "COMPLETED"


# A machine and a container


def test_a_job_waits_for_a_cold_start(handler_code: ServedCode) -> None:
    code = handler_code
    code.write_main("")
    here = code.serve(reload=False, cold_start="800ms")
    until(lambda: here.workers() == {})  # the check of the start has left no warm worker
    job = here.submit("ME")
    assert here.workers() == {"initializing": 1}
    assert here.ended(job)["delayTime"] >= 800
    again = here.ended(here.submit("ME"))
    assert again["output"] == here.status(job)["output"]
    assert again["delayTime"] < here.status(job)["delayTime"]


def test_a_job_waits_for_a_machine(handler_code: ServedCode) -> None:
    code = handler_code
    code.write_main("")
    here = code.serve(reload=False, throttle="600ms", cold_start="200ms")
    until(lambda: here.workers() == {})
    job = here.submit("ME")
    assert here.workers() == {"throttled": 1}
    until(lambda: here.workers() == {"initializing": 1})
    assert here.ended(job)["delayTime"] >= 800


# Its own start


def test_a_program_that_never_polls_is_not_waited_for(host: Host) -> None:
    server = host(None, command=[NEVER], init_timeout="300ms")
    with pytest.raises(ConfigurationError, match=r"endpoint ep: .*not ready within 0.3 s \(init_timeout\)"):
        server.ready()
    until(lambda: not server.processes())


@needs_proc
def test_a_start_that_takes_too_long_ends_with_code_2(start: Starter) -> None:
    server = start("--command", NEVER, "--init-timeout", "1s")
    assert server.code() == 2
    error = server.err.whole()
    assert "not ready within 1 s (init_timeout)" in error and "Traceback" not in error
    assert "Ready." not in server.out.whole()
    until(lambda: not server.processes())


def test_a_handler_that_never_ends_its_import_is_not_waited_for(host: Host, tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text("import time\ntime.sleep(99)\n")
    server = host(None, endpoint=["ep=handler.py"], environment={"RUNPOD_INIT_TIMEOUT": "0.3"})
    with pytest.raises(ConfigurationError, match=r"not ready within 0.3 s"):
        server.ready()


@needs_proc
def test_new_code_that_takes_too_long_leaves_the_old_worker(handler_code: ServedCode) -> None:
    code = handler_code
    code.write_main("NUMBER = 1")
    here = code.serve(init_timeout="4s")
    pid = here.output("os.getpid()")
    code.write_main("wait_for('never')")
    code.failed()
    code.server.line("not ready within 4 s")
    assert here.output("[NUMBER, os.getpid()]") == [1, pid]
    until(lambda: code.pids() == {pid})
