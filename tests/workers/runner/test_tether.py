"""A program that ends with the server: on Linux the kernel sees to it, whatever the program does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import emulator.workers.runner
from emulator.workers.runner.tether import USAGE
from tests.compat.servers import LIMIT, until
from tests.workers.processes import Family, needs_proc

RUNNER = str(Path(emulator.workers.runner.__file__).parent)
linux = pytest.mark.skipif(sys.platform != "linux", reason="a signal of Linux")


class Tethered:
    """A program behind the tether, and the server's end of its lifeline."""

    def __init__(self, *words: str, cut: bool = False, cwd: Path | None = None) -> None:
        self._family = Family()
        reading, self._writing = os.pipe()
        if cut:
            self.cut()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", RUNNER, "--tether", str(reading), *words],
            env={**os.environ, **self._family.environment},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[reading],
            start_new_session=True,
        )
        os.close(reading)

    def cut(self) -> None:
        """What the death of the server does."""
        if self._writing >= 0:
            os.close(self._writing)
        self._writing = -1

    def ended(self) -> tuple[int, str, str]:
        """Its code and all that it wrote, once it has ended."""
        out, err = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, out, err

    def line(self) -> str:
        """The next line that it writes."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def alive(self) -> set[int]:
        """Itself and all that it started."""
        return self._family.alive()

    def close(self) -> None:
        """Leave nothing behind."""
        self._family.kill()
        self.process.kill()
        self.process.communicate(timeout=LIMIT)
        self.cut()


Starter = Callable[..., Tethered]


@pytest.fixture
def start() -> Iterator[Starter]:
    """Start a program behind the tether."""
    started: list[Tethered] = []

    def start(*words: str, **options: object) -> Tethered:
        started.append(Tethered(*words, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for one in started:
        one.close()


# What the program sees


def test_the_program_is_what_was_asked_for(start: Starter, tmp_path: Path) -> None:
    """Its words as they are, its folder, its place as leader of a session."""
    code = (
        "import json, os, sys; flags = [sys.flags.isolated, sys.flags.no_site]; "
        "print(json.dumps([sys.argv[1:], os.getcwd(), os.getpid(), os.getsid(0), flags]))"
    )
    one = start(sys.executable, "-c", code, "--tether", "", "a b", "$HOME", cwd=tmp_path)
    ended, out, err = one.ended()
    arguments, folder, process, session, flags = json.loads(out)
    assert (ended, err) == (0, "")
    assert arguments == ["--tether", "", "a b", "$HOME"]
    assert (folder, process, session) == (str(tmp_path), one.process.pid, one.process.pid)
    assert flags == [0, 0]  # -I and -S are for the tether alone


def test_its_code_is_the_programs(start: Starter) -> None:
    assert start("sh", "-c", "exit 7").ended() == (7, "", "")


def test_a_word_alone_is_looked_up_and_a_path_is_not(start: Starter, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho found\n")
    tool.chmod(0o755)
    assert start("./tool", cwd=tmp_path).ended() == (0, "found\n", "")
    assert start("tool", cwd=tmp_path).ended() == (1, "", "cannot run tool: No such file or directory\n")


@linux
def test_the_program_has_one_descriptor_more(start: Starter) -> None:
    show = ("ls", "/proc/self/fd")
    alone = subprocess.run(show, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
    _, out, _ = start(*show).ended()
    assert len(out.split()) == len(alone.split()) + 1


@linux
def test_the_program_ignores_no_signal_that_it_would_not_ignore_alone(start: Starter) -> None:
    show = ("grep", "SigIgn", "/proc/self/status")
    alone = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    assert start(*show).ended()[1] == alone


@pytest.mark.parametrize("words", [(), ("nonsense", "true")], ids=["none", "no descriptor"])
def test_a_wrong_call_says_how_to_call_it(words: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, RUNNER, "--tether", *words], capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (1, f"{USAGE}\n")


# Its end

CHILDREN = "import os, subprocess, sys, time; subprocess.Popen(['sh', '-c', 'sleep 99 & sleep 99'])"
WAYS = {
    "waits": "time.sleep(99)",
    "computes": "import re; re.match('(a+)+$', 'a' * 100 + 'b')",
    "ignores SIGTERM": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(99)",
    "ignores SIGIO": "import signal; signal.signal(signal.SIGIO, signal.SIG_IGN); time.sleep(99)",
}


@linux
@needs_proc
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_end_of_the_server_ends_program_and_children(start: Starter, way: str) -> None:
    one = start(sys.executable, "-c", f"{CHILDREN}; print('up', flush=True); {way}")
    assert one.line() == "up"
    until(lambda: len(one.alive()) == 4)
    one.cut()
    assert one.process.wait(LIMIT) == -signal.SIGKILL
    until(lambda: not one.alive())


@linux
@needs_proc
def test_what_a_program_left_behind_ends_too(start: Starter) -> None:
    one = start("sh", "-c", "sleep 99 & echo up")
    assert one.line() == "up"
    assert one.process.wait(LIMIT) == 0
    until(lambda: len(one.alive()) == 1)
    one.cut()
    until(lambda: not one.alive())


@linux
def test_a_program_is_not_begun_when_the_server_is_gone_already(start: Starter) -> None:
    code, out, _ = start("echo", "begun", cut=True).ended()
    assert code != 0 and out == ""


@linux
@needs_proc
def test_one_program_ends_alone(start: Starter) -> None:
    """Each has its own lifeline here; that they share one in a server is tested with a server."""
    first, second = (start("sh", "-c", "echo up; sleep 99") for _ in range(2))
    assert first.line() == second.line() == "up"
    first.cut()
    assert first.process.wait(LIMIT) == -signal.SIGKILL
    assert second.alive()
