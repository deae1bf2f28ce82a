"""What clients are told when the store on another server fails."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from runpod_emulator.core.errors import RequestError


class Unavailable(RequestError):
    """What is needed is away for now: try again."""

    status = 503
    title = "Service Unavailable"
    row = "error.unavailable"
    headers: Mapping[str, str] = MappingProxyType({"Retry-After": "1"})


class StoreAway(Unavailable):
    """The store does not answer; whether a write that was under way was done is not known."""

    detail = "the emulator's store does not answer: is the server of --store up? Try again"


class StoreFull(Unavailable):
    """The store takes no more data; nothing was written."""

    detail = "the emulator's store is full: raise maxmemory of the server of --store, or purge jobs"
