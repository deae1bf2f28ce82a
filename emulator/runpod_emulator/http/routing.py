"""Routes, and how an ordinary request finds its own without being matched against them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.routing import Route
from starlette.types import Scope

from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import FLASH

_HEADERS = "emulator.headers"


class ExactRoute(Route):
    """Answers its methods alone: the HEAD that Starlette adds to GET would take a job, or a chunk, and drop it."""

    def __init__(self, path: str, handler: Any, methods: Iterable[str]) -> None:
        super().__init__(path, handler, methods=list(methods))
        self.methods = set(methods)


class Door(ExactRoute):
    """A route of clients; the API page tells `operation` and `tag` what it is."""

    def __init__(self, path: str, handler: Any, methods: Iterable[str], operation: Operation, tag: str) -> None:
        super().__init__(path, handler, methods)
        self.operation = operation
        self.tag = tag


class _EndpointId(StringConvertor):
    """An endpoint's id in a path. Flash routes need not be tried before all others: none of these is theirs."""

    regex = f"(?!{FLASH}/)[^/]+"


register_url_convertor("endpoint", _EndpointId())


class ShortCut:
    """Finds doors at `/v2/<endpoint_id>/<verb>` and `/v2/<endpoint_id>/<verb>/<job_id>` by what the verb is.

    It leaves to the others whatever is not plain: paths to be tidied, hosts that may name an
    endpoint, browsers.
    """

    def __init__(self, doors: Iterable[Door]) -> None:
        self._handlers: dict[tuple[str, str, int], Any] = {}
        for door in doors:
            parts = door.path.split("/")
            for method in door.methods or ():
                self._handlers[method, parts[3], len(parts)] = door.endpoint

    def find(self, scope: Scope) -> Any:
        """The request handler, with the path's parameters in the scope; None when another way must be gone."""
        parts: list[str] = scope["path"].split("/")
        count = len(parts)
        if not 4 <= count <= 5 or parts[1] != "v2" or not parts[2] or parts[2] == FLASH:
            return None
        handler = self._handlers.get((scope["method"], parts[3], count))
        if handler is None or not parts[-1] or not _is_plain(headers_of(scope)):
            return None
        scope["path_params"] = {"endpoint_id": parts[2]}
        if count == 5:
            scope["path_params"]["job_id"] = parts[4]
        return handler


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers by their names in lower case, as they came; of several of one name the first."""
    headers: dict[bytes, bytes] | None = scope.get(_HEADERS)
    if headers is None:
        headers = scope[_HEADERS] = dict(scope["headers"][::-1])
    return headers


def may_be_browser(headers: dict[bytes, bytes]) -> bool:
    """Whether a web browser may have sent these: all call themselves so, and not all tell more (`Sec-Fetch-Site`)."""
    return headers.get(b"user-agent", b"").startswith(b"Mozilla/")


def _is_plain(headers: dict[bytes, bytes]) -> bool:
    if b"origin" in headers or b"sec-fetch-site" in headers or may_be_browser(headers):
        return False
    host = headers.get(b"host", b"")
    return b"." not in host or host.partition(b".")[0].isdigit()
