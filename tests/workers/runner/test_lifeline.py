"""No worker outlives its server, and nothing that a worker started does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import emulator.workers.runner

FAMILY = """
    import multiprocessing, os, subprocess, time
    import runpod

    def handler(job):
        subprocess.Popen(["sleep", "1000"])
        multiprocessing.get_context("fork").Process(target=time.sleep, args=(1000,)).start()
        runpod.serverless.progress_update(job, "started")
        while True:
            time.sleep(1000)

    runpod.serverless.start({"handler": handler})
    """


def test_the_end_of_the_server_ends_worker_and_children(start: Any) -> None:
    child = start(FAMILY)
    child.ready()
    child.job()
    child.next()
    child.cut_lifeline()
    assert child.wait() == -signal.SIGKILL  # the log ends when its last writer is gone


def test_a_worker_that_is_still_loading_ends_too(start: Any) -> None:
    child = start("print('loading')\nimport time\ntime.sleep(1000)")
    child.logged("loading")
    child.cut_lifeline()
    assert child.wait() == -signal.SIGKILL


def test_only_the_leader_of_a_group_ends_the_group() -> None:
    """Without a group of its own the worker ends itself alone: else it would take the server with it."""
    ours, theirs = socket.socketpair()
    reading, writing = os.pipe()
    folder = str(Path(emulator.workers.runner.__file__).parent)
    command = [sys.executable, folder, "--handler", "json:dumps"]
    command += ["--channel", str(theirs.fileno()), "--lifeline", str(reading)]
    worker = subprocess.Popen(command, pass_fds=(theirs.fileno(), reading))
    assert ours.recv(7)
    os.close(writing)
    assert worker.wait(30) in (1, -signal.SIGKILL)
    for end in (ours, theirs):
        end.close()
    os.close(reading)


@pytest.mark.skipif(sys.platform != "linux", reason="a signal of Linux")
def test_the_kernel_ends_a_worker_that_holds_the_interpreters_lock(start: Any) -> None:
    child = start(
        """
        import re, subprocess
        import runpod

        def handler(job):
            subprocess.Popen(["sleep", "1000"])
            runpod.serverless.progress_update(job, "started")
            re.match("(a+)+$", "a" * 100 + "b")
        """
    )
    child.ready()
    child.job()
    child.next()
    child.cut_lifeline()
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
