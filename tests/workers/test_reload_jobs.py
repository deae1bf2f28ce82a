"""Jobs that run or wait while new code comes into use, and what becomes of the old workers."""

from __future__ import annotations

import pytest

from tests.compat.servers import until
from tests.workers import sites
from tests.workers.processes import needs_proc
from tests.workers.sites import Site

pytestmark = pytest.mark.compat

host = sites.host
site = sites.site
handler_site = sites.handler_site


@needs_proc
def test_a_running_job_ends_on_the_old_code_and_its_process_after_it(site: Site) -> None:
    site.write_main("NUMBER = 1")
    here = site.serve(workers_max=1)
    old = here.output("os.getpid()")
    running = here.submit("wait_for('gate') or [NUMBER, os.getpid()]")
    here.runs(running)
    site.write_main("NUMBER = 2")
    site.reloaded(1)
    number, new = here.output("[NUMBER, os.getpid()]")
    assert number == 2 and new != old
    assert {old, new} <= site.pids()
    site.write_main("NUMBER = 3")  # the oldest one still runs
    site.reloaded(2)
    assert here.output("NUMBER") == 3
    (site.folder / "gate").touch()
    ended = here.ended(running)
    assert (ended["status"], ended["output"], "retries" in ended) == ("COMPLETED", [1, old], False)
    until(lambda: not {old, new} & site.pids())
    assert here.workers() == {"idle": 1}


def test_a_job_that_waits_while_the_only_worker_is_busy_runs_the_new_code(site: Site) -> None:
    site.write_main("NUMBER = 1")
    here = site.serve(workers_max=1)
    running = here.submit("wait_for('gate') or NUMBER")
    here.runs(running)
    waiting = [here.submit("NUMBER") for _ in range(2)]
    site.write_main("NUMBER = 2")
    assert [here.ended(job)["output"] for job in waiting] == [2, 2]
    (site.folder / "gate").touch()
    assert here.ended(running)["output"] == 1


@needs_proc
def test_an_endpoint_without_workers_gets_the_new_code(handler_site: Site) -> None:
    """There is none where a cold start is simulated: else the last good one stays."""
    site = handler_site
    site.write_main("NUMBER = 1")
    here = site.serve(set=["idle_timeout=100"], cold_start="1ms")
    until(lambda: here.workers() == {} and not site.pids())
    site.write_main("NUMBER = 2")
    site.reloaded(1)
    assert here.output("NUMBER") == 2
    until(lambda: here.workers() == {} and not site.pids())
    site.write_main("raise RuntimeError('no model')")
    site.failed()
    assert not here.workers().get("idle")
    assert site.said("no worker with good code is left") == 1
    job = here.submit("NUMBER")
    site.server.line(f"ep/{job}: it waits for a handler that can be imported: RuntimeError: no model")
    site.write_main("NUMBER = 3")
    assert here.ended(job)["output"] == 3


@needs_proc
def test_the_server_may_stop_while_new_code_is_tried(site: Site) -> None:
    """The end of every test asserts that no process is left."""
    site.write_main("NUMBER = 1")
    site.serve()
    site.write_main("open('began', 'w').close()\nwait_for('never')")
    until((site.folder / "began").exists)
    assert len(site.pids()) == 2
    site.server.do(site.server.server.emulator.stop())
    assert not site.pids()


def test_without_the_option_nothing_is_watched(site: Site) -> None:
    """A worker that comes later runs what the file then holds, as ever."""
    site.write_main("NUMBER = 1")
    here = site.serve(reload=False)
    emulator = site.server.server.emulator
    assert not emulator.endpoints._reloader._codes and emulator.endpoints._reloader._watching is None
    site.write_main("NUMBER = 2")
    assert here.output("NUMBER") == 1


def test_new_code_comes_into_use_where_there_is_no_place_for_another_worker(handler_site: Site) -> None:
    site = handler_site
    site.write_main("NUMBER = 1")
    here = site.serve(max_processes=1)
    running = here.submit("wait_for('gate') or NUMBER")
    here.runs(running)
    site.write_main("NUMBER = 2")
    until(lambda: site.said("changed"))
    (site.folder / "gate").touch()
    assert here.ended(running)["output"] == 1
    site.reloaded(1)
    assert here.output("NUMBER") == 2


@needs_proc
def test_every_worker_goes_and_as_many_come_as_are_always_on(handler_site: Site) -> None:
    site = handler_site
    site.write_main("NUMBER = 1")
    here = site.serve(workers_min=2)
    old = site.pids()
    assert len(old) == 2
    site.write_main("NUMBER = 2")
    site.reloaded(1)
    until(lambda: here.workers() == {"idle": 2} and len(site.pids()) == 2)
    assert not old & site.pids()


def test_an_endpoint_that_may_have_no_worker_has_none_for_new_code(handler_site: Site) -> None:
    site = handler_site
    site.write_main("NUMBER = 1")
    here = site.serve(workers_max=0, set=["paused_endpoint=queue"])
    job = here.submit("NUMBER")
    site.write_main("NUMBER = 2")
    until(lambda: site.said("changed"))
    assert here.workers() == {}
    assert here.status(job)["status"] == "IN_QUEUE"
