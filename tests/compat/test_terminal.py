"""serve and dev in a terminal: its keys, how it is left, and a breakpoint in it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import textwrap
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.servers import HANDLERS, LIMIT, SOURCE, until
from tests.compat.terminals import SERVER, Opener, Terminal, terminals
from tests.conftest import require

pytestmark = pytest.mark.compat

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))

PROMPT = r"bash-[\d.]+[#$] "
"""What a shell shows once it takes commands; what is typed before is given to what runs until then."""

STOPS = """
    import os, pdb, runpod

    def handler(job):
        x = job["input"]["x"]
        print("before", os.getpid())
        if x < 0:
            pdb.set_trace()
        else:
            breakpoint()
        print("after")
        return x + 1

    runpod.serverless.start({"handler": handler})
"""


@pytest.fixture
def seat(tmp_path: Path) -> Iterator[Opener]:
    (tmp_path / "stops.py").write_text(textwrap.dedent(STOPS))
    with terminals(tmp_path) as open_one:
        yield open_one


def serving(seat: Opener, *words: str) -> tuple[Terminal, str]:
    """A server in a terminal, ready, and its base URL."""
    terminal = seat(*SERVER, *words, "--port", "0")
    return terminal, re.findall(r"base URL +(\S+)", terminal.sees(r"Ready[^\n]*keys\."))[0]


class Answer(threading.Thread):
    """A job that is waited for in the background."""

    def __init__(self, url: str, x: int) -> None:
        super().__init__(daemon=True)
        self._asked = urllib.request.Request(
            f"{url}/stops/runsync", json.dumps({"input": {"x": x}}).encode(), {"Authorization": "k"}
        )
        self.said: Any = None
        self.start()

    def run(self) -> None:
        try:
            with DIRECT.open(self._asked, timeout=LIMIT) as answer:
                self.said = json.load(answer)
        except OSError as error:
            self.said = error

    def result(self) -> Any:
        self.join(LIMIT)
        return self.said


def test_keys_do_what_their_list_says_and_the_terminal_is_left_as_it_was(seat: Opener) -> None:
    terminal, _ = serving(seat, "dev", str(HANDLERS / "echo.py"))
    assert not terminal.is_sane, "keys come without Enter"
    terminal.type("h")
    assert re.findall(r"^  (\w)  ", terminal.sees("this list"), re.MULTILINE) == ["o", "c", "r", "l", "q", "h"]
    terminal.type("l")
    terminal.sees("Log level: debug")
    terminal.type("lll")
    terminal.sees("Log level: info")
    terminal.type("\x1b[Ax\r")  # an arrow, and letters without a meaning
    terminal.type("r")
    terminal.sees("Workers are fresh")
    terminal.type("c")
    terminal.sees(re.escape("\x1b[2J"))
    terminal.type("q")
    terminal.sees("Stopping")
    assert terminal.code() == 0
    assert terminal.is_sane
    until(lambda: not terminal.processes())


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_the_terminal_is_left_as_it_was_whatever_signal_ends_the_server(seat: Opener, sign: signal.Signals) -> None:
    terminal, _ = serving(seat, "serve", "--mock", "m")
    os.kill(terminal.pid, sign)
    assert terminal.code() == (0 if sign in (signal.SIGINT, signal.SIGTERM) else -sign)
    assert terminal.is_sane


def modes(shell: Terminal) -> set[str]:
    """How the shell leaves the terminal to what it starts."""
    shell.type("stty -a; echo sho''wn\n")
    return {"icanon", "echo", "isig"} & set(re.split(r"[\s;]+", shell.sees(rf"shown[\s\S]*{PROMPT}")))


def test_a_shell_stops_and_continues_the_server_and_has_its_terminal_meanwhile(seat: Opener) -> None:
    require("bash", "stty")
    sane = {"icanon", "echo", "isig"}
    shell = seat("bash", "--norc", "--noprofile", "-i")
    line = " ".join((*SERVER, "serve --mock m --port 0"))
    shell.type(f"{line}\n")
    shell.sees("for the keys")
    for following in ("fg", "fg", "bg"):
        shell.type("h")
        shell.sees("this list")
        shell.type("\x1a")
        shell.sees(rf"Stopped[\s\S]*{PROMPT}")
        assert modes(shell) == sane
        shell.type(f"{following}\n")
    shell.type("echo di''d\n")
    shell.sees("did")
    assert modes(shell) == sane
    shell.type("jobs; echo li''sted\n")
    assert "Running" in shell.sees("listed")
    shell.type("kill %1; wait; echo en''ded\n")
    shell.sees("Stopping[^$]*ended")


def test_a_server_in_the_background_is_not_stopped_and_has_the_keys_once_it_is_in_front(seat: Opener) -> None:
    require("bash", "stty")
    shell = seat("bash", "--norc", "--noprofile", "-i")
    shell.type(" ".join((*SERVER, "serve --mock m --port 0 &\n")))
    shell.sees("for the keys")
    assert len(modes(shell)) == 3
    shell.type("jobs; echo li''sted\n")
    assert "Running" in shell.sees("listed"), "neither reads nor changes stop it"
    shell.type("fg\n")
    shell.sees("runpod_emulator serve")
    shell.type("h")
    shell.sees("this list")
    shell.type("q")
    shell.sees(rf"Stopping[\s\S]*{PROMPT}")
    assert len(modes(shell)) == 3


def test_a_breakpoint_has_the_terminal_until_it_goes_on(seat: Opener) -> None:
    terminal, url = serving(seat, "dev", "stops.py")
    answer = Answer(url, 41)
    said = terminal.sees(r"\(Pdb\) ")
    assert re.search(r"before \d+.*\n.*stopped at stops\.py:\d+\. This terminal is its debugger's", said)
    terminal.type("p x\n")
    terminal.sees(r"41\s+\(Pdb\) ")
    terminal.type("import sys; sys.stdin.isatty()\n")
    terminal.sees(r"True\s+\(Pdb\) ")
    terminal.type("h\n")  # is the debugger's, not the list of keys
    assert "this list" not in terminal.sees(r"Documented commands[\s\S]*\(Pdb\) ")
    terminal.type("p 'unfinis")
    terminal.sees("unfinis")
    terminal.type("\x03")
    terminal.sees(r"--KeyboardInterrupt--\s+\(Pdb\) ")
    terminal.type("n\n")
    assert "after" in terminal.sees(r"-> return x \+ 1\s+\(Pdb\) "), "what it prints is shown between two steps"
    terminal.type("n\n")
    assert re.search(r"^--Return--\r?\n> ", terminal.sees(r"--Return--[\s\S]*\(Pdb\) "), re.MULTILINE)
    terminal.type("c\n")
    assert answer.result()["output"] == 42
    terminal.type("h")
    terminal.sees("this list")
    again = Answer(url, -1)
    terminal.sees(r"\(Pdb\) ")
    terminal.type("q\n")
    assert again.result()["status"] == "FAILED"
    assert "BdbQuit" in again.result()["error"]
    last = Answer(url, 7)
    terminal.sees(r"\(Pdb\) ")
    terminal.type("\x04")
    assert last.result()["status"] == "FAILED", "Ctrl-D is q"
    terminal.type("q")
    assert terminal.code() == 0
    assert terminal.is_sane


def test_a_breakpoint_of_a_server_in_the_background_waits_for_fg_and_ctrl_z_leaves_it_again(
    seat: Opener, tmp_path: Path
) -> None:
    require("bash", "stty")
    shell = seat("bash", "--norc", "--noprofile", "-i")
    shell.sees(PROMPT)
    shell.type(" ".join((*SERVER, "serve stops.py --port 0 --port-file port &\n")))
    until((tmp_path / "port").exists)
    shell.sees("Ready")
    answer = Answer(f"http://127.0.0.1:{(tmp_path / 'port').read_text().strip()}/v2", 41)
    shell.sees(r"stopped at stops\.py:\d+[\s\S]*in the background: fg brings it")
    for _ in range(2):
        assert len(modes(shell)) == 3
        shell.type("fg\n")
        shell.sees("runpod_emulator serve")
        shell.type("p x\n")
        shell.sees(r"41\s+\(Pdb\) ")
        shell.type("\x1a")
        shell.sees(rf"Stopped[\s\S]*{PROMPT}")
    shell.type("fg\nc\n")
    assert answer.result()["output"] == 42
    shell.type("q")
    shell.sees(rf"Stopping[\s\S]*{PROMPT}")


def test_lines_of_others_wait_for_the_debugger_and_the_next_one_for_its_turn(seat: Opener) -> None:
    terminal, url = serving(seat, "dev", "stops.py", str(HANDLERS / "failing.py"))
    first = Answer(url, 1)
    terminal.sees(r"\(Pdb\) ")
    second = Answer(url, 2)
    asked = urllib.request.Request(f"{url}/failing/runsync", b'{"input": {"mode": "raise"}}', {"Authorization": "k"})
    with DIRECT.open(asked, timeout=LIMIT) as answer:
        assert json.load(answer)["status"] == "FAILED"
    terminal.type("p x\n")
    assert "RuntimeError" not in terminal.sees(r"1\s+\(Pdb\) ")
    terminal.type("c\n")
    assert "RuntimeError" in terminal.sees(r"\(Pdb\) ")
    terminal.type("p x\n")
    terminal.sees(r"2\s+\(Pdb\) ")
    assert first.result()["output"] == 2
    terminal.type("c\n")
    assert second.result()["output"] == 3


def test_a_worker_that_is_killed_at_its_prompt_leaves_the_terminal_in_order(seat: Opener) -> None:
    terminal, url = serving(seat, "serve", "stops.py", "--set", "platform_retries=0")
    answer = Answer(url, 1)
    worker = int(re.findall(r"before (\d+)", terminal.sees(r"\(Pdb\) "))[-1])
    os.kill(worker, signal.SIGKILL)
    assert answer.result()["status"] == "FAILED"
    terminal.type("h")
    terminal.sees("this list")
    Answer(url, 2)
    terminal.sees(r"\(Pdb\) ")
    terminal.type("\x03\x03")
    terminal.sees(r"Stopping: 1 job abandoned \(stops [0-9a-f]{4}\)")
    assert terminal.code() == 0
    assert terminal.is_sane
    until(lambda: not terminal.processes())


def test_run_stops_in_the_terminal_while_its_output_goes_elsewhere(seat: Opener, tmp_path: Path) -> None:
    words = " ".join((*SERVER, "run stops.py x=1 > out.json; echo left $?"))
    shell = seat("sh", "-c", words)
    shell.sees(r"\(Pdb\) ")
    shell.type("x = 10\n")
    shell.sees(r"\(Pdb\) ")
    shell.type("c\n")
    shell.sees("left 0")
    assert (tmp_path / "out.json").read_text() == "11\n"


def test_a_fork_and_a_dead_frame_say_where_and_why(seat: Opener, tmp_path: Path) -> None:
    (tmp_path / "more.py").write_text(
        textwrap.dedent("""
        import os, pdb

        def handler(job):
            if not os.fork():
                breakpoint()
                os._exit(0)
            os.wait()
            try:
                return 1 / 0
            except ZeroDivisionError:
                pdb.post_mortem()
    """)
    )
    terminal = seat(*SERVER, "run", "more.py", "x=1")
    said = terminal.sees(r"\(Pdb\) ")
    assert re.search(r"breakpoint at more\.py:\d+ is passed over: [^\n]* not for a fork", said)
    assert "stopped at more.py:10." in said
    terminal.type("c\n")
    assert terminal.code() == 0


def test_without_a_terminal_a_breakpoint_is_passed_over_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "stops.py").write_text(textwrap.dedent(STOPS))
    for x in (1, -1):
        done = subprocess.run(
            [*SERVER, "run", "stops.py", f"x={x}"], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT,
            stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, f"{x + 1}\n"), done.stderr
        assert re.search(r"breakpoint at stops\.py:\d+ is passed over: .*'runpod-emulator dev --debug", done.stderr)
