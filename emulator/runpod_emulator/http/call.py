"""One request of a client: who calls, what was sent, and what can be answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.errors import BodyTooLarge
from runpod_emulator.core.fidelity import Ledger
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.rates import Admission
from runpod_emulator.core.time.waiting import Caller, Waiter
from runpod_emulator.http import wire
from runpod_emulator.http.bodies import BODY, LOST, UNREAD, Beginning, Unread, announced, beginning_of
from runpod_emulator.http.connection import EXTENSION
from runpod_emulator.http.members import check_depth
from runpod_emulator.world.world import World

FIDELITY = "X-Emulator-Fidelity"
_FIDELITY, _JSON = FIDELITY.lower().encode(), (b"content-type", b"application/json")
_AT_ONCE = 1 << 20
"""Bytes whose nesting is checked on the loop; a text that is made for it takes 20 ms then."""
JOB, STUB = "emulator.job", "emulator.stub"
"""Where the scope of a request has the job that it made, and the id of the stub that a job plays."""


class HttpCaller(Caller):
    """The client of one request, watched from the moment it has to wait, unless somebody else sees it leave."""

    def __init__(self, request: Request, is_watched: bool = False) -> None:
        self._request = request
        self._is_watched = is_watched
        self.watch: asyncio.Task[None] | None = None
        """Reads on, where the connection does not tell by itself that the client has left."""

    def attach(self, waiter: Waiter) -> None:
        """The wait that the client's leaving will end."""
        self._waiter = waiter
        if self._is_watched:
            return
        self._is_watched = True
        scope = self._request.scope
        ways = scope.get("extensions") if BODY in scope else None
        if ways and EXTENSION in ways:
            ways[EXTENSION]["left"](self.hang_up)
        else:
            self.watch = asyncio.ensure_future(self._until_gone())

    def answered(self) -> None:
        """Watch no more."""
        if self.watch is not None:
            self.watch.cancel()

    async def _until_gone(self) -> None:
        scope = self._request.scope
        if BODY in scope:
            while (await self._request.receive())["type"] != "http.disconnect":
                pass
        else:
            await self._read_until_gone(beginning_of(scope))
        self.hang_up()

    async def _read_until_gone(self, beginning: Beginning) -> None:
        while not beginning.is_lost:
            beginning.take(await self._request.receive())


@dataclass(slots=True)
class Call:
    """One request that was let in."""

    request: Request
    emulator: World
    endpoint: Endpoint
    caller: HttpCaller
    ledger: Ledger
    admission: Admission
    """Counts the request in its rate limits until it is answered."""
    platform: Platform
    """The numbers in force."""
    at: int
    """When it was let in, in ms."""

    @property
    def job_id(self) -> str:
        """The job in the path."""
        job_id: str = self.request.scope["path_params"]["job_id"]
        return job_id

    def keep_admission(self) -> Admission:
        """The admission, to be ended when a streamed answer has."""
        return self.admission.take_on()

    def duration(self, name: str, low: int, high: int | None, default: int | None) -> int | None:
        """A duration of the query string in ms; raises OutOfRange."""
        if not self.request.scope["query_string"]:
            return default
        return wire.milliseconds(self.request.query_params, name, low, high, default, self.platform)

    def wait(self, default: int) -> int:
        """When a held answer must go out: now plus `?wait=`."""
        wait = self.duration("wait", self.platform.wait_min, self.platform.wait_max, default)
        return self.at + (default if wait is None else wait)

    def count(self, name: str, default: int, low: int, high: int | None = None) -> int:
        """A whole number of the query string; raises InvalidQuery."""
        return wire.count(self.request.query_params, name, default, low, high)

    async def body(self, limit: int, row: str | None = None) -> bytes:
        """The whole body; raises BodyTooLarge, whose ledger row is `row`."""
        scope = self.request.scope
        try:
            body = scope[BODY] = await read_body(self.request, limit, row)
        except BodyTooLarge:
            scope[UNREAD] = Unread(f"it is longer than {limit} bytes", announced(scope))
            raise
        except ClientDisconnect:
            scope[UNREAD] = Unread(LOST, announced(scope))
            raise
        return body

    async def json(self, limit: int, row: str | None = None) -> bytes:
        """The whole body, which is not nested too deep; raises BodyTooLarge (of ledger row `row`), InvalidBody."""
        body = await self.body(limit, row)
        if len(body) > _AT_ONCE:
            await asyncio.to_thread(check_depth, body, self.platform)
        elif len(body) > self.platform.json_depth_limit:
            check_depth(body, self.platform)
        return body

    def reply(self, row: str, body: bytes, status: int = 200) -> Response:
        """An answer whose evidence is ledger row `row`."""
        return Answer(body, status, self.ledger.headers[row])


class Answer(Response):
    """An answer in JSON: nothing about its headers needs to be found out."""

    def __init__(self, body: bytes, status: int, fidelity: str) -> None:
        self.body = body
        self.status_code = status
        self.background = None
        self.raw_headers = [
            (_FIDELITY, fidelity.encode()), (b"content-length", b"%d" % len(body)), _JSON
        ]  # fmt: skip


async def read_body(request: Request, limit: int, row: str | None = None) -> bytes:
    """The whole body; raises BodyTooLarge when it has more than `limit` bytes, of which no more are kept.

    The rest is read and dropped, so that the client gets to see the answer.
    """
    parts: list[bytes] = []
    size = announced(request.scope)
    held, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more, part = message.get("more_body", False), message.get("body", b"")
        held += len(part)
        if held > limit or size > limit:
            size = limit + 1
            parts.clear()
        else:
            parts.append(part)
    if size > limit:
        raise BodyTooLarge(limit, row)
    return parts[0] if len(parts) == 1 else b"".join(parts)
