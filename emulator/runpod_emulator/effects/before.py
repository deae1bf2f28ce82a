"""A protocol that stands before another one of the same connection for a while."""

from __future__ import annotations

import asyncio
from typing import Any


class Before(asyncio.Protocol):
    """Hands on to the protocol `behind` whatever it does not keep for itself."""

    def __init__(self, transport: Any, behind: Any) -> None:
        self._transport = transport
        self._behind = behind
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """The other side has sent something."""
        self._behind.data_received(data)

    def eof_received(self) -> bool | None:
        """The other side sends no more."""
        stays: bool | None = self._behind.eof_received()
        return stays

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._behind.connection_lost(exc)

    def pause_writing(self) -> None:
        """Too much lies unsent."""
        self._behind.pause_writing()

    def resume_writing(self) -> None:
        """There is room again."""
        self._behind.resume_writing()
