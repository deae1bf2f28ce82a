"""With a worker ends all that it began, wherever that went, and with the server end all workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.workers.runner.keeper import TOLD, _children, _children_by_looking_at_all

from tests.compat.servers import LIMIT, until
from tests.workers.processes import alive, is_keeper, needs_proc
from tests.workers.runner import keepers
from tests.workers.runner.keepers import Kept, Starter

pytestmark = [needs_proc, pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets orphans be adopted")]

keep = keepers.keep

FAMILY = """
import os, signal, subprocess, sys, time

NAP = [sys.executable, "-S", "-c", "import time; time.sleep(99)"]
subprocess.Popen(NAP)                                       # a child
subprocess.Popen(NAP, start_new_session=True)               # one in a session of its own
subprocess.Popen(["sh", "-c", "sleep 99 & sleep 99"])       # one with a child
for left in range(2):                                       # a daemon, and one that is deaf
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            if left:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.execv(NAP[0], NAP)
        os._exit(0)
    os.wait()
subprocess.Popen(["true"], start_new_session=True)          # what ends meanwhile
"""
SIZE = 7
"""Processes that it comes to, without the program itself."""

WAYS = {
    "waits": "time.sleep(99)",
    "computes": "import re; re.match('(a+)+$', 'a' * 100 + 'b')",
    "ignores SIGTERM": "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(99)",
}


def family(keep: Starter, then: str = "time.sleep(99)") -> Kept:
    """A program with a family, once it is complete."""
    one = keep(sys.executable, "-c", f"{FAMILY}\nprint(os.getpid(), flush=True)\n{then}")
    one.worker = int(one.line())
    until(lambda: len(one.alive()) == 1 + SIZE)
    return one


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_the_end_of_the_server_ends_the_whole_family(keep: Starter, way: str) -> None:
    one = family(keep, way)
    one.cut()
    assert one.process.wait(LIMIT) == -signal.SIGKILL
    assert not one.all()


@pytest.mark.parametrize(
    ("then", "code"),
    [
        ("sys.exit(7)", 7),
        ("pass", 0),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("os.kill(os.getpid(), signal.SIGUSR1)", -10),
    ],
    ids=["exit", "last line", "SIGKILL", "SIGUSR1"],
)
def test_the_end_of_the_worker_ends_its_family_and_is_the_keepers_own(
    keep: Starter, tmp_path: Path, then: str, code: int
) -> None:
    gate = tmp_path / "gate"
    one = family(keep, f"while not os.path.exists({str(gate)!r}): time.sleep(0.01)\n{then}")
    gate.touch()
    assert one.process.wait(LIMIT) == code
    assert not one.all()
    assert one.leash.recv(64).endswith(TOLD)


def test_a_worker_that_somebody_kills_ends_with_its_family(keep: Starter) -> None:
    one = family(keep)
    os.kill(one.worker, signal.SIGKILL)
    assert one.process.wait(LIMIT) == -signal.SIGKILL
    assert not one.all()


def test_a_signal_goes_to_the_worker_and_its_group(keep: Starter) -> None:
    child = """
import os, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
print("up", flush=True)
signal.pause()
"""
    worker = f"""
import signal, subprocess, sys
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
code = subprocess.Popen([sys.executable, "-c", {child!r}]).wait()
sys.exit(code + len(heard))
"""
    one = keep(sys.executable, "-c", worker)
    assert one.line() == "up"
    one.process.terminate()
    assert one.process.wait(LIMIT) == 3 + 1


def test_a_killed_keeper_takes_the_worker_with_it(keep: Starter) -> None:
    one = family(keep)
    worker = int(one.leash.recv(64))
    assert worker == one.worker
    one.process.kill()
    until(lambda: not alive(worker))


def test_a_keeper_is_known_by_its_name(keep: Starter) -> None:
    one = family(keep)
    assert is_keeper(one.process.pid)
    assert Path(f"/proc/{one.process.pid}/comm").read_text().startswith("keeper of ")
    assert one.all() - one.alive() == {one.process.pid}


def test_nobody_stays_a_zombie(keep: Starter) -> None:
    body = "for _ in range(20):\n    if os.fork() == 0:\n        os.fork() or os._exit(0)\n        os._exit(0)"
    one = keep(sys.executable, "-c", f"import os, signal\n{body}\nprint('up', flush=True); "
               "[os.wait() for _ in range(20)]; print('waited', flush=True); signal.pause()")  # fmt: skip
    assert (one.line(), one.line()) == ("up", "waited")
    children = Path(f"/proc/{one.process.pid}/task/{one.process.pid}/children")
    until(lambda: len(children.read_text().split()) == 1)


def test_only_the_family_ends(keep: Starter) -> None:
    """A stranger of the same user, session and environment stays; so does another worker."""
    with subprocess.Popen(["sleep", "99"]) as stranger:
        first, second = family(keep), family(keep)
        first.cut()
        first.process.wait(LIMIT)
        assert len(second.alive()) == 1 + SIZE
        assert stranger.poll() is None
        stranger.kill()


def test_a_program_is_not_begun_when_the_server_is_gone_already(keep: Starter) -> None:
    assert keep("echo", "begun", cut=True).ended() == (1, "", "")


def test_children_are_found_without_the_kernels_list_too() -> None:
    with subprocess.Popen(["sleep", "99"]) as child:
        for found in (set(_children()), set(_children_by_looking_at_all(os.getpid()))):
            assert child.pid in found and os.getppid() not in found
        child.kill()


# Below a handler


HANDLER = """
    import multiprocessing, os, subprocess, time
    import runpod

    def handler(job):
        subprocess.Popen(["sleep", "1000"], start_new_session=True)
        multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,)).start()
        runpod.serverless.progress_update(job, "started")
        THEN

    runpod.serverless.start({"handler": handler})
    """


@pytest.mark.parametrize("then", ["time.sleep(1000)", "__import__('re').match('(a+)+$', 'a' * 100 + 'b')"])
def test_the_end_of_the_server_ends_worker_and_children(start: Any, then: str) -> None:
    child = start(HANDLER.replace("THEN", then))
    child.ready()
    child.job()
    child.next()
    child.cut_leash()
    assert child.wait() == -signal.SIGKILL  # the log ends when its last writer is gone


def test_a_worker_that_is_still_loading_ends_too(start: Any) -> None:
    child = start("print('loading')\nimport time\ntime.sleep(1000)")
    child.logged("loading")
    child.cut_leash()
    assert child.wait() == -signal.SIGKILL


def test_children_do_not_inherit_the_channel(start: Any) -> None:
    child = start(
        """
        import os, subprocess, sys

        def handler(job):
            code = "import os; print(sorted(int(name) for name in os.listdir('/dev/fd')))"
            return subprocess.run([sys.executable, "-c", code], close_fds=False, capture_output=True, text=True).stdout
        """
    )
    child.ready()
    alone = subprocess.run(
        [sys.executable, "-c", "import os; print(sorted(int(name) for name in os.listdir('/dev/fd')))"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert eval(eval(child.run().output)) == eval(alone)
