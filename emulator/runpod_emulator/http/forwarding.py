"""One request from a client to a worker and its answer back, byte for byte."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import AsyncExitStack
from http.client import responses
from typing import Any, TypeVar

import aiohttp
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from yarl import URL

from runpod_emulator.core.balancer_errors import AnswerTooLarge, AnswerTooLate, WorkerFailed
from runpod_emulator.core.endpoint.balancer import Seat
from runpod_emulator.core.errors import BodyTooLarge
from runpod_emulator.core.platform import Platform
from runpod_emulator.effects.kept import Sent, tracing
from runpod_emulator.effects.unmocked import unmocked
from runpod_emulator.http.call import read_body
from runpod_emulator.http.connection import begin_with, break_off
from runpod_emulator.http.raw_headers import RawRequest, as_text
from runpod_emulator.http.refusals import RawHeaders

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

_SOON = 0.05
"""Seconds in which the rest of a small answer is waited for: it is sent on whole then, else as it comes."""
_LONGEST_HEADER = 256 * 1024
ANSWER_LIMITS: dict[str, Any] = {"max_line_size": _LONGEST_HEADER, "max_field_size": _LONGEST_HEADER}
"""What the head of an answer may hold."""
if "max_headers" in inspect.signature(aiohttp.ClientSession).parameters:  # else there is no bound
    ANSWER_LIMITS["max_headers"] = 10_000
_TOO_LARGE = "error.balanced_body_too_large"
"""The ledger's row of a body that is refused."""


def client(**more: Any) -> aiohttp.ClientSession:
    """A client of workers: it takes answers as they come."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEPT_ALIVE),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        auto_decompress=False,
        skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        **{"request_class": RawRequest, **ANSWER_LIMITS, **more},
    )
    # It would send what a worker has dropped a second time, and there is no public way to forbid that.
    session._retry_connection = False
    unmocked(session)
    return session


class Forwarder:
    """The connections to workers, opened when they are first needed."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def send(self, method: str, url: URL, body: Any, **more: Any) -> aiohttp.ClientResponse:
        """A worker's answer. A request that finds a kept connection dead goes out on another, if that does no harm."""
        repeatable = method in _REPEATABLE and not isinstance(body, AsyncIterator)
        while True:
            sent = Sent()
            try:
                return await self.session().request(method, url, data=body, trace_request_ctx=sent, **more)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientResponseError):
                if not (repeatable and sent.is_on_kept):
                    raise

    def session(self) -> aiohttp.ClientSession:
        """The client of all workers. It adds nothing of its own to a request, and takes nothing away."""
        if self._session is None:
            self._session = client(trace_configs=[tracing()])
        return self._session

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()


def headers_to_worker(scope: Scope, platform: Platform) -> list[tuple[str, str]]:
    """The client's headers, without those of its connection and its key, with those that say whom a proxy serves."""
    dropped = (
        _HOP_BY_HOP | _named(scope["headers"]) | {b"content-length", b"expect", b"x-forwarded-for", WORKER.encode()}
    )
    if not platform.forward_authorization:
        dropped |= {b"authorization"}
    kept = [(name.decode("latin-1"), _text(value)) for name, value in scope["headers"] if name not in dropped]
    client = scope.get("client")
    before = [_text(value) for name, value in scope["headers"] if name == b"x-forwarded-for"]
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
    """The request's path and query at the worker; `*`, which some ask for the options of, is its root."""
    path, query = raw_path if raw_path.startswith(b"/") else b"/", scope["query_string"]
    return URL(seat.address + _text(path + (b"?" + query if query else b"")), encoded=True)


def _text(raw: bytes) -> str:
    return raw.decode() if raw.isascii() else as_text(raw)


def status_to_send(scope: Scope, status: int, reason: str | None) -> int:
    """The status for the web server, whose status line is replaced where it would be another than the worker's."""
    if reason == responses.get(status) and 200 <= status < 600:
        return status
    said = (reason or "").encode("utf-8", "surrogateescape")
    is_said = begin_with(scope, b"HTTP/1.1 %03d %b" % (status, said))
    return status if 200 <= status < 600 or not is_said else 599


class Forwarded(Response):
    """An answer that passes from a worker to the client as it comes; what has `begun` of its body has come."""

    def __init__(
        self, answer: aiohttp.ClientResponse, worker: str, limit: int, left: asyncio.Future[None], begun: bytes = b""
    ) -> None:
        self.status_code = answer.status
        self.raw_headers = headers_to_client(answer, worker)
        self.background = None
        self._answer = answer
        self._begun = begun
        self._limit = limit
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the status, the headers, and each part of the body as it comes.

        Where the worker ends too early, or says too much, the connection is cut.
        """
        status = status_to_send(scope, self.status_code, self._answer.reason)
        await send({"type": "http.response.start", "status": status, "headers": self.raw_headers})
        if await self._pass(send):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        elif not self._left.done():
            await break_off(scope, receive, "close")

    async def _pass(self, send: Send) -> bool:
        """Pass the body on; returns whether it was the whole one."""
        content, sent = self._answer.content, len(self._begun)
        if self._begun:
            await send({"type": "http.response.body", "body": self._begun, "more_body": True})
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
        self._reason = answer.reason

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        status = status_to_send(scope, self.status_code, self._reason)
        await send({"type": "http.response.start", "status": status, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})


def headers_to_client(answer: aiohttp.ClientResponse, worker: str) -> RawHeaders:
    """The worker's headers without those of its connection, and with its id."""
    dropped = _HOP_BY_HOP | _named(answer.raw_headers) | {WORKER.encode()}
    if answer.status in (204, 304):  # the length of what the client has; there is no body
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
        answer = await unless(left, _ask(forwarder, request, url, platform))
        if answer is None:
            return None
        return await passed_on(answer, seat, limit, left, closing)
    except asyncio.TimeoutError as error:
        raise AnswerTooLate(platform.balancer_answer_limit) from error
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error.__cause__, BodyTooLarge):
            raise error.__cause__ from error
        if isinstance(error.__cause__, ClientDisconnect):
            return None
        raise WorkerFailed(seat.worker, str(error) or type(error).__name__) from error


async def passed_on(
    answer: aiohttp.ClientResponse, seat: Seat, limit: int, left: asyncio.Future[None], closing: AsyncExitStack
) -> Response | None:
    """What the client gets of an answer that has begun; None when it has `left`.

    Raises WorkerFailed, AnswerTooLarge.
    """
    closing.callback(answer.close)
    if answer.status == 101:
        raise WorkerFailed(seat.worker, "it changes the protocol, which it was not asked for")
    length = answer.content_length
    if length is not None and length > limit and answer.method != "HEAD":
        raise AnswerTooLarge(limit)
    if length is None or length > _AT_ONCE:
        return Forwarded(answer, seat.worker, limit, left)
    body, is_whole = await _begin(answer.content, left)
    if left.done():
        return None
    if not is_whole:
        return Forwarded(answer, seat.worker, limit, left, body)
    answer.release()
    return Whole(answer, body, seat.worker)


async def _begin(content: aiohttp.StreamReader, left: asyncio.Future[None]) -> tuple[bytes, bool]:
    """What comes of a small body at once, and whether that is all of it."""
    if content.is_eof():
        return content.read_nowait(), True
    parts: list[bytes] = []
    reading = asyncio.ensure_future(_collect(content, parts))
    try:
        await asyncio.wait((reading, left), timeout=_SOON, return_when=asyncio.FIRST_COMPLETED)
    finally:
        reading.cancel()
    await asyncio.wait((reading,))
    return b"".join(parts), not reading.cancelled() and reading.exception() is None


async def _collect(content: aiohttp.StreamReader, parts: list[bytes]) -> None:
    while not content.at_eof():
        parts.append(await content.readany())


async def _ask(forwarder: Forwarder, request: Request, url: URL, platform: Platform) -> aiohttp.ClientResponse:
    """The beginning of the worker's answer."""
    headers = headers_to_worker(request.scope, platform)
    body = await _body(request, platform.balancer_body_limit, headers)
    return await forwarder.send(
        request.method, url, body, headers=headers, allow_redirects=False,
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
