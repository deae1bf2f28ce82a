"""dev --debug: an editor attaches to the worker, also after a reload."""

from __future__ import annotations

import socket
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.editor import Editor
from tests.compat.servers import LIMIT, Command, Starter, commands

pytestmark = pytest.mark.compat

HANDLER = """\
import runpod


def handler(job):
    x = job["input"]["x"]
    y = x + 1
    return y


runpod.serverless.start({"handler": handler})
"""
LINE = 6


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    with commands(tmp_path) as start:
        yield start


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def debugged(server: Command, port: int, file: Path, line: int, x: int) -> tuple[str, Any]:
    """What an editor reads of `x` at a breakpoint of a job, and what the job gives once it goes on."""
    answers: list[Any] = []
    policy = {"executionTimeout": 5000}  # does not count here

    def call() -> None:
        answers.append(server.http.post("/h/runsync", json={"input": {"x": x}, "policy": policy}).json())

    editor = Editor(port, file, line)
    calling = threading.Thread(target=call)
    calling.start()
    thread, frame = editor.stopped()
    assert (frame["name"], frame["line"]) == ("handler", line)
    seen = editor.variable(frame, "x")
    editor.ask("continue", threadId=thread)
    calling.join(LIMIT)
    assert not calling.is_alive()
    editor.close()
    return seen, answers[0].get("output")


def test_an_editor_stops_a_job_reads_a_variable_and_lets_it_go_on_before_and_after_a_reload(
    start: Starter, tmp_path: Path
) -> None:
    file, port = tmp_path / "h.py", free_port()
    file.write_text(HANDLER)
    server = start("dev", "--debug", port, "h.py", "--port", 0).ready()
    assert server.out.line("  debugger").split() == ["debugger", f"127.0.0.1:{port}", "for", "h"]
    assert "1-1 workers" in server.out.line("endpoints")
    assert debugged(server, port, file, LINE, 41) == ("41", 42)
    file.write_text(HANDLER.replace("x + 1", "x + 2").replace("\n\n\ndef", "\n\n\n\ndef"))
    server.err.line("new jobs run the new code")
    assert debugged(server, port, file, LINE + 1, 41) == ("41", 43)
    assert server.stop() == 0
    assert not server.processes()


def test_breakpoint_stops_in_the_editor_that_is_attached(start: Starter, tmp_path: Path) -> None:
    file, port = tmp_path / "h.py", free_port()
    file.write_text(HANDLER.replace("y = x + 1", "breakpoint()\n    y = x + 1"))
    server = start("dev", "--debug", port, "h.py", "--port", 0).ready()
    editor = Editor(port, file, line=1)  # which is not run any more
    calling = threading.Thread(target=server.http.post, args=("/h/runsync",), kwargs={"json": {"input": {"x": 5}}})
    calling.start()
    thread, frame = editor.stopped()
    assert (frame["name"], frame["source"]["path"]) == ("handler", str(file))
    assert editor.variable(frame, "x") == "5"
    editor.ask("continue", threadId=thread)
    calling.join(LIMIT)
    assert not calling.is_alive()
    editor.close()


def test_without_an_editor_a_breakpoint_says_where_to_attach_and_its_port_is_its_own(
    start: Starter, tmp_path: Path
) -> None:
    (tmp_path / "h.py").write_text(HANDLER.replace("y = x", "breakpoint(); y = x"))
    port = free_port()
    server = start("dev", "--debug", port, "h.py", "--port", 0).ready()
    assert server.http.post("/h/runsync", json={"input": {"x": 1}}).json()["output"] == 2
    assert f"no editor is attached. Attach one to 127.0.0.1:{port}" in server.err.line("is passed over")
    other = start("dev", "--debug", port, "h.py", "--port", 0)
    assert f"h.py is broken: Port {port} is taken, perhaps by another" in other.out.line("Ready, but")
    assert "--environment" not in other.err.text


def test_an_interpreter_without_debugpy_is_told_before_anything_is_served(start: Starter, tmp_path: Path) -> None:
    (tmp_path / "h.py").write_text(HANDLER)
    python = tmp_path / "python"
    python.write_text(textwrap.dedent(f"#!/bin/sh\nexec '{sys.executable}' -S \"$@\"\n"))
    python.chmod(0o755)
    server = start("dev", "--debug", "--python", python, "h.py", "--port", 0)
    assert server.code() == 2
    assert f"Install it: {python} -m pip install debugpy" in server.err.whole()
