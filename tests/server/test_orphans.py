"""Processes whose parents are gone, where the server is process 1: none stays behind as a zombie."""

from __future__ import annotations

import subprocess
import sys

from tests.compat.servers import LIMIT, ROOT
from tests.workers.processes import needs_proc

_PROGRAM = """
import asyncio, ctypes, os, sys
from pathlib import Path
from runpod_emulator.server.orphans import Reaper

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

def leave_an_orphan():
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"%d" % (os.fork() or os._exit(0)))
        os._exit(0)
    os.waitpid(child, 0)
    return int(os.read(reader, 20))

async def main():
    orphans = [leave_an_orphan() for _ in range(3)]
    assert all(Path(f"/proc/{pid}").exists() for pid in orphans)
    reaper = Reaper(every=0.01)
    reaper.begin()
    own = await asyncio.create_subprocess_exec(sys.executable, "-c", "raise SystemExit(7)")
    while any(Path(f"/proc/{pid}").exists() for pid in orphans):
        await asyncio.sleep(0.005)
    assert await own.wait() == 7  # what it waits for itself is not taken from it
    reaper.end()

asyncio.run(asyncio.wait_for(main(), 20))
"""


@needs_proc
def test_orphans_that_have_ended_are_reaped_and_own_children_are_not() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
