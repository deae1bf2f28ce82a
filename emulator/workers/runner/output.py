"""The standard output of a worker: each line says which job wrote it.

A line of a job starts with the mark `\\x1e<job id>\\x1f`, which the server takes off.
What goes around `sys.stdout` and `sys.stderr` (a subprocess, `os.write`) has none.
"""

from __future__ import annotations

import contextlib
import io
import sys
import threading
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


class MarkedOutput(io.TextIOWrapper):
    """A text stream that starts the lines of a job with its mark.

    `print` writes a line in pieces: those are held until the line is whole, or flushed, so
    that jobs and threads which print at the same time do not cut each other's lines.
    """

    def __init__(self, buffer: BinaryIO, jobs: Jobs, like: Likeness = _LIKE_ANY) -> None:
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
        self._held: dict[tuple[str, int], str] = {}
        self._open_line_of: str | None = None

    def write(self, text: str, /) -> int:
        """Write text under the mark of the job that the caller works for."""
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
        mark = f"\x1e{author}\x1f" if author else ""
        lead = mark
        if self._open_line_of is not None:
            lead = "" if self._open_line_of == author else "\n" + mark
        self._open_line_of = None if text[-1] == "\n" else author
        super().write(lead + (text[:-1].replace("\n", "\n" + mark) + text[-1] if mark else text))


def mark_output(jobs: Jobs) -> None:
    """Replace `sys.stdout` and `sys.stderr`; the descriptors and byte buffers stay."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            continue
        like = Likeness(stream.errors, stream.line_buffering, getattr(stream, "mode", "w"))
        marked = MarkedOutput(cast(BinaryIO, stream.detach()), jobs, like)
        setattr(sys, name, marked)
        setattr(sys, f"__{name}__", marked)


def is_marked(stream: object) -> bool:
    """Whether a stream is one of ours; raises ValueError for one that was closed."""
    stream = getattr(stream, "beneath", stream)
    if isinstance(stream, MarkedOutput) and stream.closed:
        raise ValueError("I/O operation on closed file.")
    return isinstance(stream, MarkedOutput)


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
