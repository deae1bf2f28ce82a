"""Code that cannot be started does not come into use, and costs nothing that worked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compat.servers import until
from tests.workers import sites
from tests.workers.processes import needs_proc
from tests.workers.sites import SOON, Site

pytestmark = pytest.mark.compat

host = sites.host
site = sites.site
handler_site = sites.handler_site


def ready(site: Site) -> Any:
    """What the server says of its handlers."""
    return site.server.http.get(f"{site.server.root_url}/__emulator/ready").json()


BREAKS = {
    "def broken(:": "SyntaxError",
    "raise RuntimeError('no model')": "RuntimeError: no model",
    "import nothing_of_this_name": "No module named 'nothing_of_this_name'",
}


@needs_proc
def test_while_a_file_is_broken_the_last_good_worker_answers(site: Site) -> None:
    site.write("helper.py", "")
    site.write_main("import helper\nNUMBER = 1")
    here = site.serve()
    pid = here.output("os.getpid()")
    for times, (source, words) in enumerate(BREAKS.items(), start=1):
        if times % 2:
            site.write_main(source)
        else:
            site.write_main("import helper\nNUMBER = 2")
            site.write("helper.py", source)
        site.failed(times)
        site.server.line(words)
        assert here.output("[NUMBER, os.getpid()]") == [1, pid]
    assert here.workers() == {"idle": 1, "unhealthy": 1}
    site.write("helper.py", "")
    site.write_main("import helper\nNUMBER = 3")
    until(lambda: here.output("NUMBER") == 3)
    until(lambda: here.workers() == {"idle": 1} and pid not in site.pids())


def idle_out(site: Site, endpoint: str = "other") -> None:
    """Wait until one of two workers of another endpoint has idled out, who worked after all others."""
    other = site.client(endpoint)
    gate = site.folder / "both"
    jobs = [other.submit("wait_for('both')") for _ in range(2)]
    for job in jobs:
        other.runs(job)
    gate.touch()
    for job in jobs:
        other.ended(job)
    until(lambda: other.workers() == {"idle": 1})


@needs_proc
@pytest.mark.parametrize("idle_timeout", [300, 100])
def test_the_last_good_worker_is_there_when_new_code_is_broken_however_long_it_was_idle(
    site: Site, idle_timeout: int
) -> None:
    site.write_main("NUMBER = 1")
    site.write_main("NUMBER = 1", name="apart/other.py")
    here = site.serve("apart/other.py", set=[f"idle_timeout={idle_timeout}"])
    pid = here.output("os.getpid()")
    idle_out(site)
    site.write_main("raise RuntimeError('no model')")
    site.failed()
    assert site.said("the last good workers stay") == 1
    assert here.output("[NUMBER, os.getpid()]") == [1, pid]
    assert not any("waits for a handler" in line for line in site.server.log)


@needs_proc
def test_the_last_good_worker_does_not_idle_out(site: Site) -> None:
    """A worker of another endpoint, idle for less long, tells when it would have been gone."""
    site.write_main("NUMBER = 1")
    site.write_main("NUMBER = 1", name="apart/other.py")
    here = site.serve("apart/other.py", set=["idle_timeout=300"])
    busy = here.submit("wait_for('gate') or os.getpid()")
    here.runs(busy)
    site.write_main("raise RuntimeError('no model')")
    site.failed()
    (site.folder / "gate").touch()
    pid = here.ended(busy)["output"]
    idle_out(site)
    assert here.workers() == {"idle": 1, "unhealthy": 1}
    assert here.output("os.getpid()") == pid
    site.write_main("NUMBER = 2")
    site.reloaded(1)
    assert here.output("NUMBER") == 2
    until(lambda: here.workers() == {"idle": 1} and pid not in site.pids())


def test_code_that_is_broken_at_the_start_does_not_stop_the_server(site: Site) -> None:
    site.write("helper.py", "raise RuntimeError('no model')")
    site.write_main("from helper import NUMBER")
    here = site.serve()
    site.server.line("RuntimeError: no model")
    assert ready(site) == {"ready": True, "broken": {"ep": "RuntimeError: no model"}}
    job = here.submit("NUMBER")
    site.server.line(f"ep/{job}: it waits for a handler that can be imported: RuntimeError: no model")
    assert here.workers() == {"unhealthy": 1}
    site.write("helper.py", "NUMBER = 2\n")
    assert here.ended(job)["output"] == 2
    until(lambda: here.workers() == {"idle": 1})
    assert ready(site) == {"ready": True}
    site.write("helper.py", "def half(:\n")
    site.failed()
    assert list(ready(site)["broken"]) == ["ep"]
    assert here.output("NUMBER") == 2
    assert site.server.log and not any(f"{here.submit('NUMBER')}: it waits" in line for line in site.server.log)


def test_a_function_of_a_package_may_be_broken_at_the_start(handler_site: Site) -> None:
    site = handler_site
    site.write("package/__init__.py", "")
    site.write("package/main.py", "def handler(job:")
    site.main = "package.main:handler"
    here = site.serve()
    site.write_main("NUMBER = 2", name="package/main.py")
    site.reloaded(1)
    assert here.output("NUMBER") == 2


def test_a_missing_module_that_is_written_mends_the_code(site: Site) -> None:
    site.write_main("NUMBER = 1")
    here = site.serve()
    site.write_main("from helper import NUMBER")
    site.failed()
    site.write("helper.py", "NUMBER = 2\n")
    until(lambda: here.output("NUMBER") == 2, SOON)


def test_a_broken_module_behind_another_error_is_known(handler_site: Site) -> None:
    site = handler_site
    site.write("helper.py", "raise ValueError('no model')")
    site.write_main(
        "try:\n    from helper import NUMBER\n"
        "except ValueError as error:\n    raise RuntimeError('no helper') from error"
    )
    here = site.serve()
    site.server.line("no helper")
    site.write("helper.py", "NUMBER = 2\n")
    until(lambda: site.reloads(), SOON)
    assert here.output("NUMBER") == 2


@needs_proc
def test_the_last_good_worker_does_not_idle_out_while_new_code_is_tried(handler_site: Site) -> None:
    """A worker of another endpoint, idle for less long, tells when it would have been gone."""
    site = handler_site
    site.write_main("NUMBER = 1")
    site.write_main("NUMBER = 1", name="apart/other.py")
    here = site.serve("apart/other.py", set=["idle_timeout=300"])
    busy = here.submit("wait_for('gate') or os.getpid()")
    here.runs(busy)
    site.write_main("open('began', 'w').close()\nwait_for('end')\nraise RuntimeError('no model')")
    until((site.folder / "began").exists)
    (site.folder / "gate").touch()
    pid = here.ended(busy)["output"]
    idle_out(site)
    (site.folder / "end").touch()
    site.failed()
    assert pid in site.pids()
    assert here.workers() == {"idle": 1, "unhealthy": 1}


@needs_proc
def test_the_last_good_worker_stays_where_there_is_no_place_for_another(handler_site: Site) -> None:
    site = handler_site
    site.write_main("NUMBER = 1")
    here = site.serve(max_processes=1)
    pid = here.output("os.getpid()")
    site.write_main("raise RuntimeError('no model')")
    site.failed()
    assert pid in site.pids()
    assert here.workers() == {"idle": 1, "unhealthy": 1}
