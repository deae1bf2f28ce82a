"""Routes, and how an ordinary request finds its own without being matched against them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from starlette.convertors import StringConvertor, register_url_convertor
from starlette.routing import Route
from starlette.types import Scope

from emulator.core.rates import Operation
from emulator.core.settings import FLASH


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
    endpoint, browsers of other origins.
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
        if handler is None or not parts[-1] or not _is_plain(scope["headers"]):
            return None
        scope["path_params"] = {"endpoint_id": parts[2]}
        if count == 5:
            scope["path_params"]["job_id"] = parts[4]
        return handler


def _is_plain(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    for name, value in headers:
        if name == b"origin":
            return False
        if name == b"host" and b"." in value and not value.partition(b".")[0].isdigit():
            return False
    return True
