"""The server's side of a worker in a network of its own: it accepts, inside, what the worker sends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable

log = logging.getLogger("runpod_emulator.worker")

Admit = Callable[[socket.socket], Awaitable[asyncio.AbstractServer]]
"""Serve the emulator on one more socket."""


class Gate:
    """The way of one worker to the server; `theirs` is for its launcher, who sends the listening socket through it."""

    def __init__(self, admit: Admit) -> None:
        self._admit = admit
        self._ours, self.theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._serving: asyncio.AbstractServer | None = None
        self._opening: asyncio.Future[None] | None = None

    @property
    def arguments(self) -> tuple[str, str]:
        """What tells the runner of it."""
        return "--isolate", str(self.theirs.fileno())

    def begin(self) -> None:
        """The launcher has its end: wait for the socket."""
        self.theirs.close()
        asyncio.get_running_loop().add_reader(self._ours.fileno(), self._receive)

    def close(self) -> None:
        """The worker has ended."""
        self.theirs.close()
        if self._opening is not None:
            self._opening.cancel()
        if self._serving is not None:
            self._serving.close()
        self._hear_no_more()

    def _receive(self) -> None:
        descriptors: list[int] = []
        with contextlib.suppress(OSError):
            _, descriptors, _, _ = socket.recv_fds(self._ours, 1, 1)
        self._hear_no_more()
        if descriptors:
            self._opening = asyncio.ensure_future(self._open(socket.socket(fileno=descriptors[0])))

    async def _open(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._serving = await self._admit(listener)

    def _hear_no_more(self) -> None:
        if self._ours.fileno() >= 0:
            with contextlib.suppress(RuntimeError):  # without a loop there is no reader
                asyncio.get_running_loop().remove_reader(self._ours.fileno())
            self._ours.close()
