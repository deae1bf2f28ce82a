"""One request from a client to a worker and its answer back, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

import aiohttp
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from yarl import URL

from emulator.api.connection import break_off
from emulator.api.guards import read_body
from emulator.core.balancer import Seat
from emulator.core.errors import AnswerTooLarge, AnswerTooLate, BodyTooLarge, WorkerFailed
from emulator.core.platform import Platform

WORKER = "x-runpod-worker-id"
_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade")
)  # fmt: skip
_KEPT_ALIVE = 1.0
"""Seconds that an idle connection to a worker is used again: less than any server keeps it open."""
_AT_ONCE = 64 * 1024
"""Bytes; a body announced as no larger is read before it is sent on."""

RawHeaders = list[tuple[bytes, bytes]]


class Forwarder:
    """The connections to workers, opened when they are first needed."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """The client of all workers. It adds nothing of its own to a request, and takes nothing away."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
                auto_decompress=False,
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            )
        return self._session

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


def headers_to_worker(scope: Scope, platform: Platform) -> list[tuple[str, str]]:
    """The client's headers, without those of its connection and its key, with those that say whom a proxy serves."""
    dropped = _HOP_BY_HOP | _named(scope["headers"]) | {b"content-length", WORKER.encode()}
    if not platform.forward_authorization:
        dropped |= {b"authorization"}
    kept = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"] if name not in dropped
    ]
    client = scope.get("client")
    kept.append(("x-forwarded-for", client[0] if client else "127.0.0.1"))
    kept.append(("x-forwarded-proto", {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])))
    return kept


def _named(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The headers that the header Connection names: they belong to the connection too."""
    return frozenset(
        part.strip().lower() for name, value in headers if name.lower() == b"connection" for part in value.split(b",")
    )


def url_at(seat: Seat, scope: Scope, raw_path: bytes) -> URL:
    """The same path and query at the worker."""
    query = scope["query_string"]
    target = raw_path + (b"?" + query if query else b"")
    return URL(seat.address + target.decode("latin-1"), encoded=True)


class Forwarded(Response):
    """An answer that passes from a worker to the client as it comes; `leave` is called at its end."""

    def __init__(
        self, answer: aiohttp.ClientResponse, worker: str, limit: int, leave: Callable[[], Awaitable[None]]
    ) -> None:
        self.status_code = answer.status
        self.raw_headers = headers_to_client(answer, worker)
        self.background = None
        self._answer = answer
        self._limit = limit
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the status, the headers, and each part of the body as it comes.

        Where the worker ends too early, or says too much, the connection is cut.
        """
        gone = asyncio.ensure_future(until_gone(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            whole = await self._pass(send, gone)
            if whole:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            self._answer.close()
            await self._leave()
        if not whole and not gone.done():
            await break_off(scope, receive, "close")

    async def _pass(self, send: Send, gone: asyncio.Future[None]) -> bool:
        """Pass the body on; answers whether it was the whole one."""
        content, sent = self._answer.content, 0
        while not content.at_eof():
            part = asyncio.ensure_future(content.readany())
            await asyncio.wait((part, gone), return_when=asyncio.FIRST_COMPLETED)
            if not part.done():
                part.cancel()
                return False
            if part.exception() is not None:
                return False
            body = part.result()
            sent += len(body)
            if sent > self._limit:
                return False
            await send({"type": "http.response.body", "body": body, "more_body": True})
        return content.exception() is None


class Whole(Response):
    """A worker's answer that has come as a whole."""

    def __init__(self, answer: aiohttp.ClientResponse, body: bytes, worker: str) -> None:
        self.status_code = answer.status
        self.body = body
        self.background = None
        self.raw_headers = headers_to_client(answer, worker)


def headers_to_client(answer: aiohttp.ClientResponse, worker: str) -> RawHeaders:
    """The worker's headers without those of its connection, and with its id."""
    dropped = _HOP_BY_HOP | _named(answer.raw_headers) | {WORKER.encode()}
    kept = [(name.lower(), value) for name, value in answer.raw_headers if name.lower() not in dropped]
    return [*kept, (WORKER.encode(), worker.encode())]


async def until_gone(receive: Receive) -> None:
    """Wait until the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def forward(
    forwarder: Forwarder,
    request: Request,
    url: URL,
    seat: Seat,
    platform: Platform,
    leave: Callable[[], Awaitable[None]],
) -> Response | None:
    """The worker's answer; None for a client who has hung up. A streamed one calls `leave` at its end, others do not.

    Raises BodyTooLarge, WorkerFailed, AnswerTooLarge, AnswerTooLate.
    """
    limit = platform.balancer_body_limit
    try:
        answer = await _ask(forwarder, request, url, platform)
        if answer is None:
            return None
        length = answer.content_length
        if length is not None and length > limit and request.method != "HEAD":
            answer.close()
            raise AnswerTooLarge(limit)
        if length is None or length > _AT_ONCE:
            return Forwarded(answer, seat.worker, limit, leave)
        async with answer:
            return Whole(answer, await answer.read(), seat.worker)
    except asyncio.TimeoutError as error:
        raise AnswerTooLate(platform.balancer_answer_limit) from error
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error.__cause__, BodyTooLarge):
            raise error.__cause__ from error
        if isinstance(error.__cause__, ClientDisconnect):
            return None
        raise WorkerFailed(seat.worker, str(error) or type(error).__name__) from error


async def _ask(forwarder: Forwarder, request: Request, url: URL, platform: Platform) -> aiohttp.ClientResponse | None:
    """The beginning of the worker's answer; None when the client hangs up before it."""
    headers = headers_to_worker(request.scope, platform)
    body = await _body(request, platform.balancer_body_limit, headers)
    asking = asyncio.ensure_future(
        forwarder.session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=platform.balancer_answer_limit / 1000, sock_connect=10),
        )
    )  # fmt: skip
    if not isinstance(body, bytes | None):
        return await asking
    gone = asyncio.ensure_future(until_gone(request.receive))
    try:
        await asyncio.wait((asking, gone), return_when=asyncio.FIRST_COMPLETED)
        return await asking if asking.done() else None
    finally:
        gone.cancel()
        asking.cancel()


async def _body(request: Request, limit: int, headers: list[tuple[str, str]]) -> bytes | AsyncIterator[bytes] | None:
    """The request's body: whole if it is small, else in parts; its length, where it is known, joins `headers`.

    Raises BodyTooLarge.
    """
    length = request.headers.get("content-length", "")
    if not length:
        return _parts(request, limit) if "transfer-encoding" in request.headers else None
    if int(length) <= _AT_ONCE or int(length) > limit:
        return await read_body(request, limit)
    headers.append(("content-length", length))
    return _parts(request, limit)


async def _parts(request: Request, limit: int) -> AsyncIterator[bytes]:
    sent = 0
    async for part in request.stream():
        sent += len(part)
        if sent > limit:
            raise BodyTooLarge(limit)
        if part:
            yield part
