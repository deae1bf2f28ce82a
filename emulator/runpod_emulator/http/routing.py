"""Routes, and how an ordinary request finds its own without being matched against them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.routing import Route
from starlette.types import Scope

from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import FLASH

HEADERS = "emulator.headers"
"""Where the scope of each HTTP request has what `headers_of` returns: the short cut sees them all."""
_ANY = 0
_OF_BROWSERS = frozenset((b"origin", b"sec-fetch-site", b"sec-fetch-mode"))


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
    """Finds doors at `/v2/<endpoint_id>/<verb>` and below by what the verb is, and how many parts follow.

    It leaves to the others whatever is not plain: paths to be tidied, hosts that may name an
    endpoint, browsers.
    """

    def __init__(self, doors: Iterable[Route]) -> None:
        self._handlers: dict[tuple[str, str, int], tuple[Any, list[str]]] = {}
        """The handler for a method, a verb and a number of parts (_ANY for a path), and what those behind it are."""
        for door in doors:
            parts = door.path.split("/")
            names = [part.strip("{}") for part in parts[4:]]
            takes_path = bool(names) and names[-1].endswith(":path")
            for method in door.methods or ():
                key = method, parts[3], _ANY if takes_path else len(parts)
                self._handlers[key] = door.endpoint, names[:-1] if takes_path else names

    def find(self, scope: Scope) -> Any:
        """The request handler, with the path's parameters in the scope; None when another way must be gone."""
        headers = headers_of(scope)
        parts: list[str] = scope["path"].split("/")
        count = len(parts)
        if count < 4 or parts[1] != "v2" or parts[2] == FLASH or "" in parts[2:]:
            return None
        method, verb, handlers = scope["method"], parts[3], self._handlers
        found = handlers.get((method, verb, count)) or (handlers.get((method, verb, _ANY)) if count > 4 else None)
        if found is None or not _is_plain(headers):
            return None
        params = scope["path_params"] = {"endpoint_id": parts[2]}
        params.update(zip(found[1], parts[4:], strict=False))
        return found[0]


def headers_of(scope: Scope) -> dict[bytes, bytes]:
    """The request's headers by their names in lower case, as they came; of several of one name the first."""
    headers: dict[bytes, bytes] | None = scope.get(HEADERS)
    if headers is None:
        headers = scope[HEADERS] = dict(scope["headers"][::-1])
    return headers


def may_be_browser(headers: dict[bytes, bytes]) -> bool:
    """Whether a web browser may have sent these: all call themselves so, and not all tell more (`Sec-Fetch-Site`)."""
    return headers.get(b"user-agent", b"").startswith(b"Mozilla/")


def may_be_page(headers: dict[bytes, bytes]) -> bool:
    """Whether a page of the web, or who opens an address in a browser, may have sent these."""
    return not _OF_BROWSERS.isdisjoint(headers) or may_be_browser(headers)


def _is_plain(headers: dict[bytes, bytes]) -> bool:
    if may_be_page(headers):
        return False
    host = headers.get(b"host", b"")
    return b"." not in host or host.partition(b".")[0].isdigit()
