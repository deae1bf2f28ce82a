"""Code that cannot be started does not come into use, and costs nothing that worked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compat.servers import until
from tests.workers import served_code
from tests.workers.processes import needs_proc
from tests.workers.served_code import SOON, ServedCode

pytestmark = pytest.mark.compat

host = served_code.host
code = served_code.code
handler_code = served_code.handler_code


def ready(code: ServedCode) -> Any:
    """What the server says of its handlers."""
    return code.server.http.get(f"{code.server.root_url}/__emulator/ready").json()


BREAKS = {
    "def broken(:": "SyntaxError",
    "raise RuntimeError('no model')": "RuntimeError: no model",
    "import nothing_of_this_name": "No module named 'nothing_of_this_name'",
}


@needs_proc
def test_while_a_file_is_broken_the_last_good_worker_answers(code: ServedCode) -> None:
    code.write("helper.py", "")
    code.write_main("import helper\nNUMBER = 1")
    here = code.serve()
    pid = here.output("os.getpid()")
    for times, (source, words) in enumerate(BREAKS.items(), start=1):
        if times % 2:
            code.write_main(source)
        else:
            code.write_main("import helper\nNUMBER = 2")
            code.write("helper.py", source)
        code.failed(times)
        code.server.line(words)
        assert here.output("[NUMBER, os.getpid()]") == [1, pid]
    assert here.workers() == {"idle": 1, "unhealthy": 1}
    code.write("helper.py", "")
    code.write_main("import helper\nNUMBER = 3")
    until(lambda: here.output("NUMBER") == 3)
    until(lambda: here.workers() == {"idle": 1} and pid not in code.pids())


def idle_out(code: ServedCode, endpoint: str = "other") -> None:
    """Wait until one of two workers of another endpoint has idled out, who worked after all others."""
    other = code.client(endpoint)
    gate = code.folder / "both"
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
    code: ServedCode, idle_timeout: int
) -> None:
    code.write_main("NUMBER = 1")
    code.write_main("NUMBER = 1", name="apart/other.py")
    here = code.serve("apart/other.py", set=[f"idle_timeout={idle_timeout}"])
    pid = here.output("os.getpid()")
    idle_out(code)
    code.write_main("raise RuntimeError('no model')")
    code.failed()
    assert code.said("the last good workers stay") == 1
    assert here.output("[NUMBER, os.getpid()]") == [1, pid]
    assert not any("waits for a handler" in line for line in code.server.log)


@needs_proc
def test_the_last_good_worker_does_not_idle_out(code: ServedCode) -> None:
    """A worker of another endpoint, idle for less long, tells when it would have been gone."""
    code.write_main("NUMBER = 1")
    code.write_main("NUMBER = 1", name="apart/other.py")
    here = code.serve("apart/other.py", set=["idle_timeout=300"])
    busy = here.submit("wait_for('gate') or os.getpid()")
    here.runs(busy)
    code.write_main("raise RuntimeError('no model')")
    code.failed()
    (code.folder / "gate").touch()
    pid = here.ended(busy)["output"]
    idle_out(code)
    assert here.workers() == {"idle": 1, "unhealthy": 1}
    assert here.output("os.getpid()") == pid
    code.write_main("NUMBER = 2")
    code.reloaded(1)
    assert here.output("NUMBER") == 2
    until(lambda: here.workers() == {"idle": 1} and pid not in code.pids())


def test_code_that_is_broken_at_the_start_does_not_stop_the_server(code: ServedCode) -> None:
    code.write("helper.py", "raise RuntimeError('no model')")
    code.write_main("from helper import NUMBER")
    here = code.serve()
    code.server.line("RuntimeError: no model")
    assert ready(code) == {"ready": True, "broken": {"ep": "RuntimeError: no model"}}
    job = here.submit("NUMBER")
    code.server.line(f"ep {job[:4]} ({job}): it waits for a handler that can be imported: RuntimeError: no model")
    assert here.workers() == {"unhealthy": 1}
    code.write("helper.py", "NUMBER = 2\n")
    assert here.ended(job)["output"] == 2
    until(lambda: here.workers() == {"idle": 1})
    assert ready(code) == {"ready": True}
    code.write("helper.py", "def half(:\n")
    code.failed()
    assert list(ready(code)["broken"]) == ["ep"]
    assert here.output("NUMBER") == 2
    assert code.server.log and not any(f"{here.submit('NUMBER')}: it waits" in line for line in code.server.log)


def test_a_file_saved_beside_broken_code_is_one_line_of_what_is_broken_still(code: ServedCode) -> None:
    code.write("notes.py", "")
    code.write_main("raise RuntimeError('no model')")
    here = code.serve()
    code.server.line("RuntimeError: no model")
    said = len(code.server.log)
    code.write("notes.py", "1\n")
    until(lambda: code.said("still broken") == 1)
    code.write("notes.py", "1\n2\n")
    until(lambda: code.said("still broken") == 2)
    told = [line.split(": ", 1)[1] for line in code.server.log[said:] if line.startswith("ep: ")]
    still = "still broken: RuntimeError: no model; no job waits"
    assert told == ["notes.py changed", still] * 2
    code.write_main("NUMBER = 2")
    assert here.output("NUMBER") == 2


def test_a_function_of_a_package_may_be_broken_at_the_start(handler_code: ServedCode) -> None:
    code = handler_code
    code.write("package/__init__.py", "")
    code.write("package/main.py", "def handler(job:")
    code.main = "package.main:handler"
    here = code.serve()
    code.write_main("NUMBER = 2", name="package/main.py")
    code.reloaded(1)
    assert here.output("NUMBER") == 2


def test_a_missing_module_that_is_written_mends_the_code(code: ServedCode) -> None:
    code.write_main("NUMBER = 1")
    here = code.serve()
    code.write_main("from helper import NUMBER")
    code.failed()
    code.write("helper.py", "NUMBER = 2\n")
    until(lambda: here.output("NUMBER") == 2, SOON)


def test_a_broken_module_behind_another_error_is_known(handler_code: ServedCode) -> None:
    code = handler_code
    code.write("helper.py", "raise ValueError('no model')")
    code.write_main(
        "try:\n    from helper import NUMBER\n"
        "except ValueError as error:\n    raise RuntimeError('no helper') from error"
    )
    here = code.serve()
    code.server.line("no helper")
    code.write("helper.py", "NUMBER = 2\n")
    until(lambda: code.reloads(), SOON)
    assert here.output("NUMBER") == 2


@needs_proc
def test_the_last_good_worker_does_not_idle_out_while_new_code_is_tried(handler_code: ServedCode) -> None:
    """A worker of another endpoint, idle for less long, tells when it would have been gone."""
    code = handler_code
    code.write_main("NUMBER = 1")
    code.write_main("NUMBER = 1", name="apart/other.py")
    here = code.serve("apart/other.py", set=["idle_timeout=300"])
    busy = here.submit("wait_for('gate') or os.getpid()")
    here.runs(busy)
    code.write_main("open('began', 'w').close()\nwait_for('end')\nraise RuntimeError('no model')")
    until((code.folder / "began").exists)
    (code.folder / "gate").touch()
    pid = here.ended(busy)["output"]
    idle_out(code)
    (code.folder / "end").touch()
    code.failed()
    assert pid in code.pids()
    assert here.workers() == {"idle": 1, "unhealthy": 1}


@needs_proc
def test_the_last_good_worker_stays_where_there_is_no_place_for_another(handler_code: ServedCode) -> None:
    code = handler_code
    code.write_main("NUMBER = 1")
    here = code.serve(max_processes=1)
    pid = here.output("os.getpid()")
    code.write_main("raise RuntimeError('no model')")
    code.failed()
    assert pid in code.pids()
    assert here.workers() == {"idle": 1, "unhealthy": 1}
