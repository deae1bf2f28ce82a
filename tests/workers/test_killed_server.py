"""The server as a command of its own: what is left of its workers when it is killed, and `dev` as a whole."""

from __future__ import annotations

import os
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

CHILDREN = """
subprocess.Popen(['sh', '-c', 'sleep 99 & sleep 99'])
subprocess.Popen(['sh', '-c', 'sleep 99 & sleep 99'], start_new_session=True)
if os.fork() == 0:  # a daemon
    os.setsid()
    os.fork() or os.execvp('sleep', ['sleep', '99'])
    os._exit(0)
os.wait()
"""
SIZE = 7
"""Processes that this comes to."""

ONE_LINE = "subprocess.Popen(['sleep', '99'], start_new_session=True)"
PLAIN_SERVER = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()


def serve():
    HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""

linux = pytest.mark.skipif(sys.platform != "linux", reason="a signal of Linux")


@linux
@needs_proc
def test_a_killed_server_leaves_no_process(start: Starter, tmp_path: Path) -> None:
    """Programs that are idle, computing, deaf to SIGTERM, a handler and an HTTP server; each has a large family."""
    idle = program(tmp_path, f"{CHILDREN}\nserve()", "idle.py")
    busy = program(tmp_path, f"{CHILDREN}\nserve()", "busy.py")
    deaf = program(tmp_path, f"{CHILDREN}\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nserve()", "deaf.py")
    (tmp_path / "own.py").write_text(f"import os, subprocess\n{CHILDREN}\ndef handler(job):\n    return 1\n")
    http = tmp_path / "http_worker.py"
    http.write_text(f"import os, subprocess\n{CHILDREN}\nfrom web import serve\nserve()")
    (tmp_path / "web.py").write_text(PLAIN_SERVER)
    balanced = f"lb={shlex.quote(sys.executable)} {shlex.quote(str(http))}"
    entries = [("--command", f"{name}={line}") for name, line in [("idle", idle), ("busy", busy), ("deaf", deaf)]]
    words = [word for entry in entries for word in entry]
    server = start(*words, "own.py", "--load-balancer", balanced).ready()
    for endpoint, work in (("busy", "__import__('re').match('(a+)+$', 'a' * 100 + 'b')"), ("deaf", "time.sleep(99)")):
        client(server, endpoint).runs(client(server, endpoint).submit(work))
    until(lambda: len(server.processes()) == 1 + 5 * (1 + SIZE))
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: not server.all_processes())


@linux
@needs_proc
def test_a_stopped_server_leaves_no_process_either(start: Starter, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(f"import os, subprocess\n{CHILDREN}\ndef handler(job):\n    return 1\n")
    server = start("--command", "ep=" + program(tmp_path, f"{CHILDREN}\nserve()"), "own.py").ready()
    until(lambda: len(server.processes()) == 1 + 2 * (1 + SIZE))
    assert server.stop() == 0
    assert not server.all_processes()


@linux
@needs_proc
def test_a_worker_that_is_killed_leaves_no_process(start: Starter, tmp_path: Path) -> None:
    server = start(
        "--command", "ep=" + program(tmp_path, f"if not os.path.exists('no'):\n    {ONE_LINE}\nserve()")
    ).ready()
    until(lambda: len(server.processes()) == 3)
    (tmp_path / "no").touch()
    os.kill(client(server).output("os.getpid()"), signal.SIGKILL)
    until(lambda: len(server.processes()) == 1)
    assert client(server).output("1") == 1


@linux
@needs_proc
def test_a_server_that_is_killed_while_a_program_starts_leaves_no_process(start: Starter, tmp_path: Path) -> None:
    server = start("--command", "ep=" + program(tmp_path, f"{CHILDREN}\nwait_for('never')"))
    until(lambda: len(server.processes()) == 2 + SIZE)
    server.stop(signal.SIGKILL)
    until(lambda: not server.all_processes())


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
