"""Every request gets an answer: what goes wrong becomes one, and the journal has each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response

from runpod_emulator.core.errors import InternalError, RequestError
from runpod_emulator.core.records.news import LONGEST_BODY, Entry
from runpod_emulator.core.settings import FLASH
from runpod_emulator.http import wire
from runpod_emulator.http.access import world_of_client
from runpod_emulator.http.bodies import BODY, LET_IN, UNREAD, Unread, has_body
from runpod_emulator.http.bounded import HEAD
from runpod_emulator.http.call import FIDELITY, JOB, STUB, HttpCaller
from runpod_emulator.http.remarks import REMARKS, Remarks, remarks_of
from runpod_emulator.http.strays import log_stray
from runpod_emulator.http.why import why
from runpod_emulator.world.world import World

log = logging.getLogger("runpod_emulator.api")

WORLD = "emulator.world"
"""Where the scope of a request has its world, from the moment it is known."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def answering(
    work: Callable[[Request, World, HttpCaller], Awaitable[Response]],
    find_world: Callable[[Request], World] = world_of_client,
    caller_of: Callable[[Request], HttpCaller] = HttpCaller,
    noted_as: str | None = "",
    refused: Callable[[Request, World, RequestError], Response] | None = None,
) -> Handler:
    """A request handler that does `work`, and turns whatever goes wrong into an answer: by default a `refusal`.

    The journal has the request as the operation `noted_as`, where that is not empty; None is for whoever notes it.
    """
    refuse = refused or refusal

    async def answer(request: Request) -> Response:
        caller = caller_of(request)
        emulator: World | None = None
        age = 0
        try:
            emulator = request.scope[WORLD] = find_world(request)
            emulator.open_requests += 1
            age = emulator.resets
            response = await work(request, emulator, caller)
        except RequestError as error:
            response = refuse(request, emulator or request.app.state.worlds.first, error)
        except (ClientDisconnect, asyncio.CancelledError):
            # Cancelled only by a stop of the server, for a request that did not come to its end.
            response = Response(status_code=499)
            remarks_of(request.scope).why = "the client has left"
        except Exception:
            log.exception("%s %s failed", request.method, request.url.path)
            response = refuse(request, emulator or request.app.state.worlds.first, InternalError())
        finally:
            if caller.watch is not None:
                caller.answered()
            if caller.coming is not None:
                caller.arrive()
            if emulator is not None:
                emulator.open_requests -= 1
        if noted_as and emulator is not None and age == emulator.resets:  # a reset forgets what was on its way
            scope = request.scope
            if BODY not in scope and scope["method"] != "GET" and has_body(scope):  # it was refused before a look at it
                await request.app.state.rest.keep(request)
            note(request, request.scope["path_params"].get("endpoint_id", FLASH), noted_as, response.status_code)
        elif noted_as == "" or (noted_as and emulator is None):
            _stray(request, response.status_code, emulator)
        return response

    return answer


def _stray(request: HTTPConnection, status: int, emulator: World | None) -> None:
    """Log a request that is not in the journal: a worker's, or one of no world."""
    options = (emulator or request.app.state.worlds.first).log
    remarks = remarks_of(request.scope)
    log_stray(request.scope, status, remarks.why, options)
    remarks.noted = True


def refusal(request: HTTPConnection, emulator: World, error: RequestError) -> Response:
    """An error as the answer of a request; the journal and the log have the reason."""
    remarks_of(request.scope).why = why(error, request.scope, emulator)
    return problem(error, emulator)


def problem(error: RequestError, emulator: World) -> Response:
    """An error in the service's own shape."""
    headers = {FIDELITY: emulator.ledger.headers[error.row], **error.headers}
    content_type = error.media_type or emulator.platform.error_content_type
    return Response(wire.problem(error), error.status, headers, media_type=content_type)


def note(request: HTTPConnection, endpoint_id: str, operation: str, status: int) -> None:
    """Tell the effects of a request's world how it was answered: the journal is one of them."""
    scope = request.scope
    emulator: World | None = scope.get(WORLD)
    if emulator is None:
        _stray(request, status, None)
        return
    emulator.requests += 1
    path, query = scope["path"], scope["query_string"].decode("latin-1")
    job: str = scope.get(JOB, "") or scope.get("path_params", {}).get("job_id", "")
    method = scope.get("method", "WEBSOCKET")
    body = scope.get(BODY, b"")
    if body:
        scope[BODY] = b""  # a connection keeps the scope of its last request, and is a ring when it ends
    size, unread = len(body), ""
    if UNREAD in scope:
        left: Unread = scope[UNREAD]
        unread, size = left.reason, max(size, left.size)
    fault = reason = ""
    if REMARKS in scope:
        remarks: Remarks = scope[REMARKS]
        remarks.noted = True
        fault, reason = remarks.fault, remarks.why
    at = emulator.timeline.now()
    entry = Entry(
        emulator.requests, at, endpoint_id, operation, method, path, query, scope["headers"],
        body if size <= LONGEST_BODY else body[:LONGEST_BODY], status, job, size, scope.get(HEAD, 0), unread,
        fault, at - scope.get(LET_IN, at), scope.get(STUB, ""), reason,
    )  # fmt: skip
    for answered in emulator.news.answered:
        answered(entry)
    if status >= 400 or not status:
        for refused in emulator.news.refused:
            refused(entry)
