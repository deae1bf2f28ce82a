"""The bodies of the admin API: JSON whatever they are called, and no more of it than can be parsed in a moment."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runpod_emulator.core.errors import BadRequest, RequestError
from runpod_emulator.http.call import read_body
from runpod_emulator.http.nesting import nests_deeper

_LONGEST = 20 * 1024 * 1024
"""Bytes: as much as the output of a job, which a stub may hold."""
_SNAPSHOT = "/state"
_LONGEST_SNAPSHOT = 1 << 30
"""Bytes of a snapshot, which is parsed in a thread: a million usual jobs."""
_MOST_VALUES = 500_000
"""Commas, of which every list and object has one for each value but the first. Parsing and checking that many takes
0.4 s for numbers and 1.8 s for small objects, in which nobody else is answered."""
_DEEPEST = 500


class JsonBodies:
    """Reads each body within bounds and says of it that it is JSON; refuses others with `answer`."""

    def __init__(self, app: ASGIApp, answer: Callable[[RequestError], Response]) -> None:
        self.app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its body in one piece."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        try:
            is_snapshot = scope["path"].removeprefix(scope.get("root_path", "")) == _SNAPSHOT
            body = await read_body(Request(scope, receive), _LONGEST_SNAPSHOT if is_snapshot else _LONGEST)
            if not is_snapshot:
                _check(body)
        except ClientDisconnect:
            return
        except RequestError as error:
            await self._answer(error)(scope, receive, send)
            return
        others = [header for header in scope["headers"] if header[0] != b"content-type"]
        scope = {**scope, "headers": [*others, (b"content-type", b"application/json")]}
        await self.app(scope, _once(body, receive), send)


def _check(body: bytes) -> None:
    if nests_deeper(body, _DEEPEST):
        raise BadRequest(f"body: nested more than {_DEEPEST} levels deep")
    if body.count(b",") > _MOST_VALUES:
        raise BadRequest(f"body: more than {_MOST_VALUES} commas; write long lists as a text, or as fewer values")


def _once(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body first."""
    left = [body]

    async def receiving() -> Message:
        return {"type": "http.request", "body": left.pop(), "more_body": False} if left else await receive()

    return receiving
