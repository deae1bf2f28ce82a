"""A program below its keeper: it sees what it would see alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from runpod_emulator.workers.runner.program import USAGE

from tests.compat.servers import LIMIT
from tests.workers.runner import keepers
from tests.workers.runner.conftest import RUNNER
from tests.workers.runner.keepers import Starter

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

keep = keepers.keep


def test_the_program_is_what_was_asked_for(keep: Starter, tmp_path: Path) -> None:
    """Its words as they are, its folder, its place as leader of a session."""
    code = (
        "import json, os, sys; flags = [sys.flags.isolated, sys.flags.no_site]; "
        "print(json.dumps([sys.argv[1:], os.getcwd(), os.getpid(), os.getsid(0), flags]))"
    )
    one = keep(sys.executable, "-c", code, "--program", "", "a b", "$HOME", cwd=tmp_path)
    ended, out, err = one.ended()
    arguments, folder, process, session, flags = json.loads(out)
    assert (ended, err) == (0, "")
    assert arguments == ["--program", "", "a b", "$HOME"]
    assert (folder, process) == (str(tmp_path), session)
    assert flags == [0, 0]  # -I and -S are for the keeper alone


def test_its_code_is_the_programs(keep: Starter) -> None:
    assert keep("sh", "-c", "exit 7").ended() == (7, "", "")


def test_a_word_alone_is_looked_up_and_a_path_is_not(keep: Starter, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho found\n")
    tool.chmod(0o755)
    assert keep("./tool", cwd=tmp_path).ended() == (0, "found\n", "")
    assert keep("tool", cwd=tmp_path).ended() == (1, "", "cannot run tool: No such file or directory\n")


@linux
def test_the_program_has_no_descriptor_more(keep: Starter) -> None:
    show = ("ls", "/proc/self/fd")
    alone = subprocess.run(show, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
    _, out, _ = keep(*show).ended()
    assert len(out.split()) == len(alone.split())


@linux
def test_the_program_ignores_no_signal_that_it_would_not_ignore_alone(keep: Starter) -> None:
    show = ("grep", "SigIgn", "/proc/self/status")
    alone = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    assert keep(*show).ended()[1] == alone


def test_a_wrong_call_says_how_to_call_it() -> None:
    done = subprocess.run([sys.executable, RUNNER, "--program"], capture_output=True, text=True, timeout=LIMIT)
    assert (done.returncode, done.stderr) == (1, f"{USAGE}\n")
