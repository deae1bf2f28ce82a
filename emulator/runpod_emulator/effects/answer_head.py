"""The head of an HTTP answer, handed to a client's parser by itself: what breaks behind it takes nothing of it away.

aiohttp gives up an answer altogether where something is wrong in what was read together with its head, and
never tells a reader of the body whose connection it closes over wrong chunks.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from runpod_emulator.effects.before import Before

LONGEST = 64 * 1024
"""Bytes of a head that are looked at; a longer one goes on as it comes."""
_STATUS_LINE = re.compile(rb"[\r\n]*HTTP/\d\.\d (\d{3})(?: [^\r\n]*)?\r?\n")
_BEGIN = b"HTTP/"
_END = re.compile(rb"\n\r?\n")
INTERIM = frozenset(range(100, 200)) - {101}
"""Statuses that announce another answer."""
_MOST_INTERIM = 5
"""Of those before one answer, as many as Go's client takes: a server could send them without end."""
_OFTEN_MORE = frozenset((204, 304))
"""Statuses without a body, behind which some send one: it must not be taken for the next answer. After a failure,
servers close the connection without a word."""


class AnswerHead(Before):
    """Stands before a client's protocol until the head of one answer has gone through it; with `lost` it stays.

    `status` is what the status line says, 0 while none has come, or where what came is none; then it
    `is_nonsense`. A connection is used no more after a status behind which there may be something else.
    `lost` is called when the connection is, after the protocol was told.
    """

    status = 0
    is_nonsense = False
    lost: Callable[[], None] | None = None
    _is_over = False
    _interim = 0
    _held = b""

    def data_received(self, data: bytes) -> None:
        """Hand on the head once it is whole, and then what came with it."""
        if self._is_over:
            self._behind.data_received(data)
            return
        self._held += data
        while self._held:
            if not self._read_status():
                return
            end = _END.search(self._held)
            if end is None:
                self._give_up_if_long()
                return
            head, self._held = self._held[: end.end()], self._held[end.end() :]
            self._interim += self.status in INTERIM
            if self._interim > _MOST_INTERIM:
                self._abort()
                return
            self._behind.data_received(head)
            if self.status not in INTERIM:
                self._leave()
                return
            self.status = 0

    def _read_status(self) -> bool:
        """Whether there is a status line; without one the parser gets what came."""
        begins = self._held.lstrip(b"\r\n")
        found = _STATUS_LINE.match(self._held)
        if found is not None:
            self.status = int(found[1])
            if self.status in _OFTEN_MORE or self.status >= 500:
                self._behind.force_close()
        elif b"\n" in begins or not _BEGIN.startswith(begins[: len(_BEGIN)]):
            self.is_nonsense = True
            self._leave()
        else:
            self._give_up_if_long()
        return found is not None

    def _give_up_if_long(self) -> None:
        if len(self._held) > LONGEST:
            self.is_nonsense = not self.status
            self._leave()

    def _abort(self) -> None:
        self.status, self._held = 0, b""
        self._transport.abort()

    def _leave(self) -> None:
        """Step out of the way, or hand on whatever comes."""
        held, self._held = self._held, b""
        self._is_over = True
        if self.lost is None and self._transport.get_protocol() is self:
            self._transport.set_protocol(self._behind)
        if held:
            self._behind.data_received(held)

    def eof_received(self) -> bool | None:
        """The other side sends no more."""
        self._leave()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._leave()
        super().connection_lost(exc)
        if self.lost is not None:
            self.lost()
