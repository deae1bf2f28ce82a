"""What the journal gets of a body that no verb has read: those of refused requests, above all."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import NamedTuple

from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from runpod_emulator.core.records.news import LONGEST_BODY
from runpod_emulator.core.time.clock import turn
from runpod_emulator.http.routing import HEADERS

BODY = "emulator.body"
"""Where the scope of a request has its body, once that was read."""
UNREAD = "emulator.unread"
"""Where it has an `Unread`, if the body was not read, or not to its end."""
MADE_BY = "emulator.fault"
"""Where it has the id of the fault that has changed its answer."""
LET_IN = "emulator.let_in"
"""Where it has when it was let in, in ms."""
STUB = "emulator.stub"
"""Where it has the id of the stub that its job plays."""
WHY = "emulator.why"
"""Where it has the reason for its refusal, in words."""
_BEGINNING = "emulator.beginning"
LONG = f"it is longer than {LONGEST_BODY} bytes"
LOST = "the connection was lost"
_LATE = "it had not come when the request was answered"
_UNASKED = "the client waited to be asked for it"
_WAIT = 0.1
"""Seconds that a refused client has for the rest of its body: most send it in the packet behind the head."""
_AT_ONCE = 64
"""Clients that are waited for at once: in a flood the others are kept as far as they have come."""
_NONE = (b"", b"0")


class Unread(NamedTuple):
    """Why a body was not kept whole, and how many bytes it has as far as is known."""

    reason: str
    size: int


class Beginning:
    """A body as it comes, as far as the journal keeps it."""

    __slots__ = ("_parts", "is_lost", "is_whole", "size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0
        """Bytes that came."""
        self.is_whole = self.is_lost = False

    def take(self, message: Message) -> None:
        """One message more."""
        if message["type"] == "http.disconnect":
            self.is_lost = True
            return
        part: bytes = message.get("body", b"")
        if part and self.size < LONGEST_BODY:
            self._parts.append(part[: LONGEST_BODY - self.size])
        self.size += len(part)
        self.is_whole = not message.get("more_body", False)

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come, or would be kept."""
        return self.is_whole or self.is_lost or self.size > LONGEST_BODY

    def put(self, scope: Scope) -> None:
        """Leave it for the journal, with the reason where it is not whole."""
        kept = scope[BODY] = b"".join(self._parts)
        if not (self.is_whole and len(kept) == self.size):
            reason = LONG if self.size > len(kept) else LOST if self.is_lost else _LATE
            scope[UNREAD] = Unread(reason, max(self.size, announced(scope)))


def beginning_of(scope: Scope) -> Beginning:
    """What was read of a request's body by whoever did not want it."""
    beginning: Beginning | None = scope.get(_BEGINNING)
    if beginning is None:
        beginning = scope[_BEGINNING] = Beginning()
    return beginning


def has_body(scope: Scope) -> bool:
    """Whether the headers of a request announce a body."""
    headers = scope[HEADERS]
    return headers.get(b"content-length", b"") not in _NONE or b"transfer-encoding" in headers


def announced(scope: Scope) -> int:
    """The bytes that a body has by its header; 0 where that says nothing."""
    length = scope[HEADERS].get(b"content-length", b"")
    return int(length) if length.isdigit() and len(length) < 20 else 0


class Rest:
    """Keeps the bodies of requests that were answered without a look at them."""

    def __init__(self) -> None:
        self._waited_for = 0

    async def keep(self, request: Request) -> None:
        """Leave the body for the journal, unless a verb has read it."""
        scope = request.scope
        if BODY in scope or UNREAD in scope:
            return
        if announced(scope) > LONGEST_BODY:
            scope[UNREAD] = Unread(LONG, announced(scope))
        elif scope[HEADERS].get(b"expect", b"").lower() == b"100-continue":
            scope[UNREAD] = Unread(_UNASKED, announced(scope))
        else:
            beginning = beginning_of(scope)
            await self.wait_for(_read(beginning, request.receive))
            del scope[_BEGINNING]
            beginning.put(scope)

    async def wait_for(self, body: Coroutine[object, object, None]) -> None:
        """Read a body that should be here, or come at once."""
        reading = asyncio.ensure_future(body)
        try:
            await turn()
            if not reading.done() and self._waited_for < _AT_ONCE:
                await self._wait(reading)
        finally:
            reading.cancel()

    async def _wait(self, reading: asyncio.Future[None]) -> None:
        self._waited_for += 1
        try:
            await asyncio.wait([reading], timeout=_WAIT)
        finally:
            self._waited_for -= 1


async def _read(beginning: Beginning, receive: Receive) -> None:
    while not beginning.is_over:
        beginning.take(await receive())
