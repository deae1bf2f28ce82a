"""What the other servers of a world tell of requests, webhook calls and lines of workers, and what they are told.

So whoever looks, at whichever server, sees what clients have sent to any. Records of it are kept here as of our own;
logs and strict checks are each server's own matter. Keys of clients are masked before anybody is told.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from runpod_emulator.core.jobs.board import Board
from runpod_emulator.core.records.news import Attempt, Effect, Entry, Line
from runpod_emulator.core.secrets.masks import Masks

log = logging.getLogger("runpod_emulator")

_encode = msgspec.msgpack.Encoder().encode
_kind_and_rest = msgspec.msgpack.Decoder(tuple[str, msgspec.Raw]).decode
_DECODE: Mapping[str, Callable[[Any], Any]] = {
    "answered": msgspec.msgpack.Decoder(Entry).decode,
    "tried": msgspec.msgpack.Decoder(Attempt).decode,
    "printed": msgspec.msgpack.Decoder(Line).decode,
}


class Others(Effect):
    """Tells a `board` what happens here, and `records` what it says of other servers.

    `next_number` is that of a request of this world: each server counts those of all.
    """

    def __init__(self, board: Board, masks: Masks, next_number: Callable[[], int], records: Mapping[str, Any]) -> None:
        self._board = board
        self._masks = masks
        self._next_number = next_number
        self._records = records
        board.listen(self._heard)

    def answered(self, entry: Entry) -> None:
        """A request has got its answer here."""
        headers = [(name, self._shown(name, value)) for name, value in entry.headers]
        self._put("answered", entry._replace(headers=headers, query=self._masks.text(entry.query)))

    def tried(self, attempt: Attempt) -> None:
        """A webhook was called from here."""
        self._put("tried", attempt)

    def printed(self, line: Line) -> None:
        """A worker of this server has printed a line."""
        self._put("printed", line)

    def _shown(self, name: bytes, value: bytes) -> bytes:
        return self._masks.header(name.decode("latin-1"), value.decode("latin-1")).encode("latin-1", "replace")

    def _put(self, kind: str, thing: object) -> None:
        self._board.put(_encode((kind, thing)))

    def _heard(self, piece: bytes) -> None:
        kind, rest = _kind_and_rest(piece)
        decode = _DECODE.get(kind)
        if decode is None:  # a newer version tells of more
            return
        thing = decode(rest)
        if isinstance(thing, Entry):
            thing = thing._replace(number=self._next_number())
        getattr(self._records[kind], kind)(thing)
