"""Runs a program that ends with the server, in the place of this process.

On Linux the kernel kills the program's whole group when the server is gone, however it
went; elsewhere nothing does.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import NoReturn

from .lifeline import let_the_kernel_watch

USAGE = "usage: runner --tether LIFELINE WORD ..."


def main(arguments: list[str]) -> NoReturn:
    """Tie this process to the lifeline and become the program; one that can't be run ends it with 1."""
    try:
        lifeline, words = int(arguments[0]), arguments[1:]
    except (IndexError, ValueError):
        sys.exit(USAGE)
    if sys.platform == "linux":
        os.set_inheritable(let_the_kernel_watch(lifeline), True)
        if select.select([lifeline], [], [], 0)[0]:  # the server went before the kernel watched
            sys.exit(1)
    os.close(lifeline)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, which the program would inherit
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(words[0], words)
    except OSError as error:
        sys.exit(f"cannot run {words[0]}: {error.strerror}")
