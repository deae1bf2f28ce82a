"""Dying with the server: a worker and all its children end when the server is gone, however it went."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
from typing import NoReturn

_PR_SET_PDEATHSIG = 1


def end_process_group() -> NoReturn:
    """End this process at once, and all others of its group where it leads one."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def hold_lifeline(descriptor: int) -> None:
    """Tie this process to the writer of a pipe, which is the server and nobody else."""
    os.set_inheritable(descriptor, False)
    parent = os.getppid()
    threading.Thread(target=_wait_for_the_end, args=(descriptor,), name="lifeline", daemon=True).start()
    if sys.platform == "linux":
        _follow(parent)


def _wait_for_the_end(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(descriptor, 1):
            pass
    end_process_group()


def _follow(parent: int) -> None:
    """Let the kernel end us too: code that never gives up the interpreter's lock keeps the thread from running."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        end_process_group()
