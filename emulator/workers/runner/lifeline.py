"""Dying with the server: a worker and all its children end when the server is gone, however it went."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import threading
from typing import NoReturn

_F_SETSIG = 10
"""Linux's F_SETSIG, which the fcntl module does not name."""


def end_process_group() -> NoReturn:
    """End this process at once, and all others of its group where it leads one."""
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def hold_lifeline(descriptor: int) -> None:
    """Tie this process to the writer of a pipe, which is the server and nobody else."""
    os.set_inheritable(descriptor, False)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            let_the_kernel_watch(descriptor)
    threading.Thread(target=_wait_for_the_end, args=(descriptor,), name="lifeline", daemon=True).start()


def _wait_for_the_end(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(descriptor, 1):
            pass
    end_process_group()


def let_the_kernel_watch(descriptor: int) -> int:
    """Have the whole group killed when the pipe's writer is gone, also while code holds the interpreter's lock.

    Whom a descriptor signals belongs to the open file, which all workers share: so the
    pipe is opened once more, for this group alone. Answers that descriptor, which must stay open.
    Raises OSError.
    """
    own = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
    leads = os.getpgrp() == os.getpid()
    fcntl.fcntl(own, fcntl.F_SETOWN, -os.getpgrp() if leads else os.getpid())
    fcntl.fcntl(own, _F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(own, fcntl.F_SETFL, fcntl.fcntl(own, fcntl.F_GETFL) | os.O_ASYNC)
    return own
