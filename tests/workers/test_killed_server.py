"""The server as a command of its own: what is left of its workers when it is killed, and `dev` as a whole."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path

import pytest

from tests.compat.servers import Command, commands, until
from tests.workers import programs
from tests.workers.processes import needs_proc
from tests.workers.programs import Starter, client, program

pytestmark = pytest.mark.compat

start = programs.start

CHILDREN = "subprocess.Popen(['sh', '-c', 'sleep 99 & sleep 99'])"

linux = pytest.mark.skipif(sys.platform != "linux", reason="a signal of Linux")


@linux
@needs_proc
def test_a_killed_server_leaves_no_process(start: Starter, tmp_path: Path) -> None:
    """Two programs and a handler share the lifeline: idle, computing, deaf to SIGTERM; each has three children."""
    idle = program(tmp_path, f"{CHILDREN}\nserve()", "idle.py")
    busy = program(tmp_path, f"{CHILDREN}\nserve()", "busy.py")
    deaf = program(tmp_path, f"{CHILDREN}\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nserve()", "deaf.py")
    (tmp_path / "own.py").write_text("def handler(job):\n    return 1\n")
    entries = [("--command", f"{name}={line}") for name, line in [("idle", idle), ("busy", busy), ("deaf", deaf)]]
    server = start(*[word for entry in entries for word in entry], "own.py").ready()
    for endpoint, work in (("busy", "__import__('re').match('(a+)+$', 'a' * 100 + 'b')"), ("deaf", "time.sleep(99)")):
        client(server, endpoint).runs(client(server, endpoint).submit(work))
    until(lambda: len(server.processes()) == 1 + 3 * 4 + 1)
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: not server.processes())


@linux
@needs_proc
def test_a_server_that_is_killed_while_a_program_starts_leaves_no_process(start: Starter, tmp_path: Path) -> None:
    server = start("--command", "ep=" + program(tmp_path, f"{CHILDREN}\nwait_for('never')"))
    until(lambda: len(server.processes()) == 5)
    server.stop(signal.SIGKILL)
    until(lambda: not server.processes())


@needs_proc
def test_dev_is_the_whole_cycle(tmp_path: Path) -> None:
    def save(source: str) -> None:
        (tmp_path / "handler.py").write_text(f"import os\n{source}\n")

    def output(server: Command) -> object:
        answer = server.http.post("/handler/runsync", json={"input": {"a": 1}}).json()
        return answer.get("output")

    with commands(tmp_path) as begin:
        save("def handler(job): return 1")
        server = begin("dev", "handler.py", "--port", 0, "--idle-timeout", "10m").ready()
        assert output(server) == 1
        save("raise RuntimeError('no model')")
        server.err.line("RuntimeError: no model")
        server.err.line("the new code can't be started")
        assert output(server) == 1
        save("def handler(job): return 2")
        server.err.line("new jobs run the new code")
        assert output(server) == 2
        assert len(server.processes()) >= 2
        assert server.stop() == 0
        assert "\x1b" not in server.err.whole()  # no terminal, no colours
        until(lambda: not server.processes())


@needs_proc
def test_dev_serves_a_program_too(tmp_path: Path) -> None:
    with commands(tmp_path) as begin:
        program(tmp_path, "NUMBER = 1\nserve()")
        line = f"ep={shlex.quote(sys.executable)} worker.py"
        server = begin("dev", "--command", line, "--port", 0, "--idle-timeout", "10m").ready()
        here = client(server)
        assert here.output("NUMBER") == 1
        program(tmp_path, "NUMBER = 2\nserve()")
        server.err.line("new jobs run the new code")
        assert here.output("NUMBER") == 2
        assert server.stop(signal.SIGINT) == 0
        until(lambda: not server.processes())
