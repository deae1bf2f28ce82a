"""One request from a client to a worker and its answer back, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import aiohttp
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from yarl import URL

from emulator.api.connection import break_off
from emulator.api.guards import read_body
from emulator.api.raw_headers import RawRequest, as_text
from emulator.core.balancer import Seat
from emulator.core.balancer_errors import AnswerTooLarge, AnswerTooLate, WorkerFailed
from emulator.core.clock import ticks
from emulator.core.errors import BodyTooLarge
from emulator.core.platform import Platform
from emulator.effects.unmocked import unmocked

WORKER = "x-runpod-worker-id"
_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade")
)  # fmt: skip
_KEPT_ALIVE = 1.0
"""Seconds that an idle connection to a worker is used again: less than any server keeps it open."""
_REPEATABLE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))
"""What does no more when it is done twice (RFC 9110, 9.2.2)."""
_AT_ONCE = 64 * 1024
"""Bytes; a body announced as no larger is read before it is sent on."""

_LONGEST_HEADER = 256 * 1024
_TOO_LARGE = "error.balanced_body_too_large"
"""The ledger's row of a body that is refused."""

RawHeaders = list[tuple[bytes, bytes]]


class Forwarder:
    """The connections to workers, opened when they are first needed."""

    def __init__(self) -> None:
        self._sessions: dict[bool, aiohttp.ClientSession] = {}
        self._failed: dict[str, float] = {}
        """When each worker last answered that it has failed: it may close the connection then without saying so."""

    async def send(self, seat: Seat, method: str, url: URL, body: Any, **more: Any) -> aiohttp.ClientResponse:
        """A worker's answer. A request that finds a kept connection dead goes out on another, if that does no harm."""
        fresh = method not in _REPEATABLE and ticks() < self._failed.get(seat.address, 0.0) + _KEPT_ALIVE
        repeatable = method in _REPEATABLE and not isinstance(body, AsyncIterator)
        while True:
            sent = _Sent()
            try:
                answer = await self.session(fresh).request(method, url, data=body, trace_request_ctx=sent, **more)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if not (repeatable and sent.on_kept):
                    raise
                fresh = True
                continue
            if answer.status >= 500:
                self._failed[seat.address] = ticks()
            return answer

    def session(self, fresh: bool = False) -> aiohttp.ClientSession:
        """The client of all workers. It adds nothing of its own to a request, and takes nothing away.

        A `fresh` one uses no connection twice.
        """
        if fresh not in self._sessions:
            kept: dict[str, Any] = {"force_close": True} if fresh else {"keepalive_timeout": _KEPT_ALIVE}
            session = self._sessions[fresh] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, **kept),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
                auto_decompress=False,
                request_class=RawRequest,
                max_line_size=_LONGEST_HEADER,
                max_field_size=_LONGEST_HEADER,
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
                trace_configs=[_tracing()],
            )
            # It would send what a worker has dropped a second time, and there is no public way to forbid that.
            session._retry_connection = False
            unmocked(session)
        return self._sessions[fresh]

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()


class _Sent:
    """Whether a request went out on a connection that was used before."""

    on_kept = False


def _tracing() -> aiohttp.TraceConfig:
    async def reused(_: aiohttp.ClientSession, context: Any, __: Any) -> None:
        if context.trace_request_ctx is not None:  # a WebSocket has none
            context.trace_request_ctx.on_kept = True

    config = aiohttp.TraceConfig()
    config.on_connection_reuseconn.append(reused)
    return config


def headers_to_worker(scope: Scope, platform: Platform) -> list[tuple[str, str]]:
    """The client's headers, without those of its connection and its key, with those that say whom a proxy serves."""
    dropped = (
        _HOP_BY_HOP | _named(scope["headers"]) | {b"content-length", b"expect", b"x-forwarded-for", WORKER.encode()}
    )
    if not platform.forward_authorization:
        dropped |= {b"authorization"}
    kept = [(name.decode("latin-1"), as_text(value)) for name, value in scope["headers"] if name not in dropped]
    client = scope.get("client")
    before = [as_text(value) for name, value in scope["headers"] if name == b"x-forwarded-for"]
    kept.append(("x-forwarded-for", ", ".join((*before, client[0] if client else "127.0.0.1"))))
    if not any(name == "x-forwarded-proto" for name, _ in kept):
        kept.append(("x-forwarded-proto", scope["scheme"].replace("ws", "http")))
    return kept


def _named(headers: Iterable[tuple[bytes, bytes]]) -> frozenset[bytes]:
    """The headers that the header Connection names: they belong to the connection too."""
    return frozenset(
        part.strip().lower() for name, value in headers if name.lower() == b"connection" for part in value.split(b",")
    )


def url_at(seat: Seat, scope: Scope, raw_path: bytes) -> URL:
    """The same path and query at the worker; `*`, which some ask for the options of, is its root."""
    path, query = raw_path if raw_path.startswith(b"/") else b"/", scope["query_string"]
    return URL(seat.address + as_text(path + (b"?" + query if query else b"")), encoded=True)


class Forwarded(Response):
    """An answer that passes from a worker to the client as it comes."""

    def __init__(self, answer: aiohttp.ClientResponse, worker: str, limit: int, left: asyncio.Future[None]) -> None:
        self.status_code = answer.status
        self.raw_headers = headers_to_client(answer, worker)
        self.background = None
        self._answer = answer
        self._limit = limit
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the status, the headers, and each part of the body as it comes.

        Where the worker ends too early, or says too much, the connection is cut.
        """
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        if await self._pass(send):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif not self._left.done():
            await break_off(scope, receive, "close")

    async def _pass(self, send: Send) -> bool:
        """Pass the body on; answers whether it was the whole one."""
        content, sent = self._answer.content, 0
        while not content.at_eof():
            body = await self._next(content)
            sent += len(body or b"")
            if body is None or sent > self._limit:
                return False
            await send({"type": "http.response.body", "body": body, "more_body": True})
            if content.exception() is not None:
                return False
        return True

    async def _next(self, content: aiohttp.StreamReader) -> bytes | None:
        """What has come since; None when the client or the worker has gone, and nothing has come before."""
        part = asyncio.ensure_future(content.readany())
        try:
            await asyncio.wait((part, self._left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not part.done():
                part.cancel()
        if not part.done() or part.cancelled():
            return None
        return part.result() if part.exception() is None else _rest(content)


def _rest(content: aiohttp.StreamReader) -> bytes | None:
    """What came together with the end of a broken answer, and would be kept from us."""
    try:
        return content._read_nowait(-1) or None
    except asyncio.TimeoutError:
        return None


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
    if answer.status == 304:  # the length of what the client has; there is no body
        dropped |= {b"content-length"}
    kept = [(name.lower(), value) for name, value in answer.raw_headers if name.lower() not in dropped]
    return [*kept, (WORKER.encode(), worker.encode())]


async def forward(
    forwarder: Forwarder,
    request: Request,
    url: URL,
    seat: Seat,
    platform: Platform,
    left: asyncio.Future[None],
    closing: AsyncExitStack,
) -> Response | None:
    """The worker's answer, to be closed with `closing`; None for a client who has `left`.

    Raises BodyTooLarge, WorkerFailed, AnswerTooLarge, AnswerTooLate.
    """
    limit = platform.balancer_body_limit
    try:
        answer = await unless(left, _ask(forwarder, request, url, seat, platform))
        if answer is None:
            return None
        closing.callback(answer.close)
        length = answer.content_length
        if length is not None and length > limit and request.method != "HEAD":
            raise AnswerTooLarge(limit)
        if length is None or length > _AT_ONCE:
            return Forwarded(answer, seat.worker, limit, left)
        body = await unless(left, answer.read())
        answer.release()
        return None if body is None else Whole(answer, body, seat.worker)
    except asyncio.TimeoutError as error:
        raise AnswerTooLate(platform.balancer_answer_limit) from error
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error.__cause__, BodyTooLarge):
            raise error.__cause__ from error
        if isinstance(error.__cause__, ClientDisconnect):
            return None
        raise WorkerFailed(seat.worker, str(error) or type(error).__name__) from error


async def _ask(
    forwarder: Forwarder, request: Request, url: URL, seat: Seat, platform: Platform
) -> aiohttp.ClientResponse:
    """The beginning of the worker's answer."""
    headers = headers_to_worker(request.scope, platform)
    body = await _body(request, platform.balancer_body_limit, headers)
    return await forwarder.send(
        seat, request.method, url, body, headers=headers, allow_redirects=False,
        timeout=aiohttp.ClientTimeout(total=platform.balancer_answer_limit / 1000, sock_connect=10),
    )  # fmt: skip


Value = TypeVar("Value")


async def unless(left: asyncio.Future[None], work: Coroutine[Any, Any, Value]) -> Value | None:
    """What the work comes to; None when the client has left before."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()


async def _body(request: Request, limit: int, headers: list[tuple[str, str]]) -> bytes | AsyncIterator[bytes] | None:
    """The request's body: whole if it is small, else in parts; its length, where it is known, joins `headers`.

    Raises BodyTooLarge.
    """
    length = request.headers.get("content-length", "")
    if not length:
        return _parts(request, limit) if "transfer-encoding" in request.headers else None
    if int(length) <= _AT_ONCE or int(length) > limit:
        return await read_body(request, limit, _TOO_LARGE)
    headers.append(("content-length", length))
    return _parts(request, limit)


async def _parts(request: Request, limit: int) -> AsyncIterator[bytes]:
    sent = 0
    async for part in request.stream():
        sent += len(part)
        if sent > limit:
            raise BodyTooLarge(limit, _TOO_LARGE)
        if part:
            yield part
