"""Runs a program in the place of this process, as if it had been started alone."""

from __future__ import annotations

import os
import signal
import sys

USAGE = "usage: runner --program WORD ..."


def main(words: list[str]) -> None:
    """Become the program, and never return; one that can't be run ends this process with 1."""
    if not words:
        sys.exit(USAGE)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, which the program would inherit
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(words[0], words)  # the user's own command  # nosec B606
    except OSError as error:
        sys.exit(f"cannot run {words[0]}: {error.strerror}")
