"""The standard output of a worker: each line says which job wrote it.

A line of a job starts with the mark `\\x1e<job id>\\x1f`, which the server takes off.
What goes around `sys.stdout` and `sys.stderr` (a subprocess, `os.write`) has none.
"""

from __future__ import annotations

import contextlib
import io
import sys
from typing import BinaryIO, cast

from .jobs import Jobs


class MarkedOutput(io.TextIOWrapper):
    """A text stream that starts the lines of a job with its mark."""

    def __init__(self, buffer: BinaryIO, jobs: Jobs) -> None:
        super().__init__(
            buffer,
            encoding="utf-8",
            errors="backslashreplace",
            newline="\n",
            line_buffering=True,
            write_through=isinstance(buffer, io.RawIOBase),  # python -u
        )
        self._jobs = jobs
        self._author = ""
        self._within_line = False

    def write(self, text: str, /) -> int:
        """Write text; an unfinished line of another job is ended first."""
        if not text or not isinstance(text, str):
            return super().write(text)
        author = self._jobs.current()
        mark = f"\x1e{author}\x1f" if author else ""
        lead = mark
        if self._within_line:
            lead = "" if author == self._author else "\n" + mark
        self._author = author
        self._within_line = text[-1] != "\n"
        super().write(lead + (text[:-1].replace("\n", "\n" + mark) + text[-1] if mark else text))
        return len(text)


def mark_output(jobs: Jobs) -> None:
    """Replace `sys.stdout` and `sys.stderr`; the descriptors and byte buffers stay."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            continue
        marked = MarkedOutput(cast(BinaryIO, stream.detach()), jobs)
        setattr(sys, name, marked)
        setattr(sys, f"__{name}__", marked)


def flush_output() -> None:
    """Hand what was printed to the server."""
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 - costs less than suppress(), once a job
            stream.flush()
        except Exception:  # the handler's code may have closed or replaced it
            pass


def say(text: str) -> None:
    """Tell the reader of the log something."""
    with contextlib.suppress(Exception):
        print(text, file=sys.stderr, flush=True)
