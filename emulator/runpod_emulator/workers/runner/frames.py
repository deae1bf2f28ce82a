"""The boundary between the emulator and a worker process: one page, standard library only.

A frame is a kind, a job id (empty where none belongs) and a body of bytes. Both ends
load this file, the child under whatever interpreter the user's handler needs.

Parent to child
    TRACE     the trace that the job which comes next belongs to, as text of the header `traceparent`
    JOB       the job as its handler gets it, a JSON object
    STOP      stop this one job; its siblings go on
    GIVE_UP   whatever runs is given up: the signal that follows ends the worker at once
Child to parent
    READY     the handler is imported; the body is JSON: {"concurrency", "cooperative", "runpod_version", "started"},
              the last false where the handler's file never called start, and is served all the same
    BROKEN    the handler could not be imported; the body is the traceback
    FILES     the files of the handler's own folder that its code comes from so far, and those that may
              have been saved since they were read: two JSON lists of paths in a list
    CAPACITY  how many jobs the worker wants at once, as decimal text
    PROGRESS  the JSON of a progress update
    CHUNK     the JSON of one stream chunk
    DONE      how the job ended, a packed `Result`
    REFUSED   the job had no id or input: the worker dropped it and will never report on it
    STOPPED   the job was stopped before it had a result
    PRINTED   what one of several jobs has printed: the log itself cannot say whose its lines are
    LOST      the official worker would never report on the job; the body is JSON: {"reason", "leaves"}, the second
              true where the worker leaves after it
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

HEADER = struct.Struct("!BHI")
_RESULT = struct.Struct("!BI")
_LARGE = 1 << 16
"""Bytes of a body that is not copied to be sent in one piece."""
_HAS_OUTPUT, _HAS_ERROR, _STOP_WORKER = 1, 2, 4


class Kind(IntEnum):
    """What a frame says."""

    JOB = 1
    STOP = 2
    READY = 3
    BROKEN = 4
    CAPACITY = 5
    PROGRESS = 6
    CHUNK = 7
    DONE = 8
    REFUSED = 9
    STOPPED = 10
    FILES = 11
    LOST = 12
    GIVE_UP = 13
    PRINTED = 14
    TRACE = 15


_KINDS = {kind.value: kind for kind in Kind}


class Frame(NamedTuple):
    """One message."""

    kind: Kind
    job: str
    body: bytes


class Result(NamedTuple):
    """How a run ended. `output` is JSON, absent when the handler gave none."""

    output: bytes | None
    error: str | None
    stop_worker: bool


def pack(kind: Kind, job: str = "", body: bytes = b"") -> bytes:
    """The bytes of one frame."""
    return b"".join(pieces(kind, job, body))


def pieces(kind: Kind, job: str = "", body: bytes = b"") -> tuple[bytes, ...]:
    """The bytes of one frame in one piece, or in two where the body is too large to be copied."""
    name = job.encode()
    head = HEADER.pack(kind, len(name), len(body)) + name
    return (head + body,) if len(body) < _LARGE else (head, body)


def pack_result(result: Result) -> bytes:
    """The body of a DONE frame."""
    flags = 0
    error = b""
    if result.output is not None:
        flags |= _HAS_OUTPUT
    if result.error is not None:
        flags |= _HAS_ERROR
        error = result.error.encode()
    if result.stop_worker:
        flags |= _STOP_WORKER
    return b"".join((_RESULT.pack(flags, len(error)), error, result.output or b""))


def unpack_result(body: bytes) -> Result:
    """The `Result` inside a DONE frame."""
    flags, length = _RESULT.unpack_from(body)
    start = _RESULT.size
    error = body[start : start + length].decode() if flags & _HAS_ERROR else None
    output = body[start + length :] if flags & _HAS_OUTPUT else None
    return Result(output, error, bool(flags & _STOP_WORKER))


class Decoder:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._rest = b""
        """The beginning of a frame up to its body."""
        self._head: tuple[Kind, str] | None = None
        """Of a frame whose body has begun."""
        self._parts: list[bytes] = []
        self._missing = 0

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take what was read and give every frame that is complete; raises ValueError for what is no frame."""
        if self._head is None:
            data = self._rest + data
        elif len(data) < self._missing:
            self._parts.append(data)
            self._missing -= len(data)
            return
        else:
            yield self._finish(*self._head, data[: self._missing])
            data = data[self._missing :]
        start, size = 0, len(data)
        while size - start >= HEADER.size:
            number, name_length, body_length = HEADER.unpack_from(data, start)
            kind = _KINDS.get(number) or Kind(number)
            body_at = start + HEADER.size + name_length
            end = body_at + body_length
            if size < body_at:
                break
            name = data[body_at - name_length : body_at].decode()
            if size < end:
                self._head, self._parts, self._missing = (kind, name), [data[body_at:]], end - size
                start = size
                break
            yield Frame(kind, name, data[body_at:end])
            start = end
        self._rest = data[start:]

    def _finish(self, kind: Kind, name: str, last: bytes) -> Frame:
        parts, self._parts, self._head = self._parts, [], None
        return Frame(kind, name, b"".join((*parts, last)))
