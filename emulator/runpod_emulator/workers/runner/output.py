"""The standard output of a worker, and whose each line is.

It goes where any program's goes: to descriptors 1 and 2, the log. While a worker has one job at a time, everybody knows
whose that is. Where jobs overlap, and for what comes from a job that has ended, the text goes to the server through the
channel, with the job's id: so the log holds no mark that a handler could print too, or that could be seen.
What goes around `sys.stdout` and `sys.stderr` (a subprocess, `os.write`) is always in the log.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Callable
from typing import BinaryIO, NamedTuple, cast

from .capture import paused
from .jobs import Jobs

_HELD_AT_MOST = 8192


class Likeness(NamedTuple):
    """What a handler may see of a stream, as Python made it."""

    errors: str
    line_buffering: bool
    mode: str


_LIKE_ANY = Likeness("strict", False, "w")


class WorkerOutput(io.TextIOWrapper):
    """A text stream that gives the lines of one job among several to `tell(job, text)`, where that takes them.

    `print` writes a line in pieces: those are held until the line is whole, or flushed, so
    that jobs and threads which print at the same time do not cut each other's lines.
    """

    def __init__(
        self, buffer: BinaryIO, jobs: Jobs, tell: Callable[[str, bytes], bool], like: Likeness = _LIKE_ANY
    ) -> None:
        super().__init__(
            buffer,
            encoding="utf-8",
            errors=like.errors,
            newline="\n",
            line_buffering=like.line_buffering,
            write_through=isinstance(buffer, io.RawIOBase),  # python -u
        )
        self.mode = like.mode  # type: ignore[misc]  # Python sets it on the streams that it makes
        self._jobs = jobs
        self._tell = tell
        self._file = self._present_file()
        self._held: dict[tuple[str, int], str] = {}
        self._open_line_of: str | None = None

    def write(self, text: str, /) -> int:
        """Write text for the job that the caller works for."""
        if not isinstance(text, str):
            return super().write(text)
        if not text.isascii():
            text.encode("utf-8", self.errors or "strict")  # raises for the caller's own text, not for what is around it
        author = self._jobs.current()
        key = author, threading.get_ident()
        whole = self._held.pop(key, "") + text
        cut = len(whole) if len(whole) > _HELD_AT_MOST else max(whole.rfind("\n"), whole.rfind("\r")) + 1
        if cut:
            self._emit(author, whole[:cut])
        if cut < len(whole):
            self._held[key] = whole[cut:]
        return len(text)

    def flush(self) -> None:
        """Write what the caller has begun; outside of any job, what anybody has."""
        if self._held:
            author = self._jobs.current()
            everything = not author and threading.current_thread() is threading.main_thread()
            own = author, threading.get_ident()
            self._release([key for key in tuple(self._held) if everything or key == own])
        super().flush()

    def finish(self) -> None:
        """Write what the threads of the caller's job have begun: it has ended."""
        if self._held:
            author = self._jobs.current()
            self._release([key for key in tuple(self._held) if key[0] == author])
        self.flush()

    def _release(self, keys: list[tuple[str, int]]) -> None:
        for key in keys:
            self._emit(key[0], self._held.pop(key, ""))

    def _emit(self, author: str, text: str) -> None:
        """One write to the stream; an unfinished line of another job is ended first."""
        if not text:
            return
        if author and not self._jobs.is_alone(author) and self._told(author, text):
            return
        lead = "" if self._open_line_of in (None, author) else "\n"
        self._open_line_of = None if text[-1] == "\n" else author
        super().write(lead + text)

    def _told(self, author: str, text: str) -> bool:
        """Whether the server has taken it; what the handler has closed or led elsewhere is as in any program."""
        if self.closed or self._file is None or self._present_file() != self._file:
            return False
        return self._tell(author, text.encode(self.encoding, self.errors or "strict"))

    def _present_file(self) -> tuple[int, int] | None:
        try:
            found = os.fstat(self.fileno())
        except (OSError, ValueError):
            return None
        return found.st_dev, found.st_ino


def take_output(jobs: Jobs, tell: Callable[[str, bytes], bool]) -> None:
    """Replace `sys.stdout` and `sys.stderr`; the descriptors and byte buffers stay."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            continue
        like = Likeness(stream.errors, stream.line_buffering, getattr(stream, "mode", "w"))
        ours = WorkerOutput(cast(BinaryIO, stream.detach()), jobs, tell, like)
        setattr(sys, name, ours)
        setattr(sys, f"__{name}__", ours)


def is_ours(stream: object) -> bool:
    """Whether a stream is one of ours; raises ValueError for one that was closed."""
    stream = getattr(stream, "beneath", stream)
    if isinstance(stream, WorkerOutput) and stream.closed:
        raise ValueError("I/O operation on closed file.")
    return isinstance(stream, WorkerOutput)


def flush_output() -> None:
    """Hand what was printed to the server, unfinished lines too."""
    for stream in (sys.stdout, sys.stderr):
        try:  # noqa: SIM105 - costs less than suppress(), once a job
            getattr(stream, "finish", stream.flush)()
        except Exception:  # the handler's code may have closed or replaced it  # nosec B110
            pass


def say(text: str) -> None:
    """Tell the reader of the log something."""
    with contextlib.suppress(Exception), paused():
        print(text, file=sys.stderr, flush=True)
