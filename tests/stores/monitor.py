"""Which commands a server is sent, as its own MONITOR tells."""

from __future__ import annotations

import re
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from runpod_emulator.stores.redis import connection
from runpod_emulator.stores.redis.connection import Script

from tests.stores.servers import StoreServer

_WORDS = re.compile(r'"((?:[^"\\]|\\.)*)"')
_FILES = sorted(Path(connection.__file__).parent.glob("*.lua"))
_SCRIPTS = {Script(file.stem, needs_room).hash: file.stem for file in _FILES for needs_room in (False, True)}
LIMIT = 20.0
"""Seconds until commands that a test waits for must have come."""


class Monitor:
    """Hears of every command while its `with` block runs, but of none that runs within a script."""

    def __init__(self, server: StoreServer) -> None:
        self._server = server
        self._told = threading.Condition()
        self._commands: list[list[str]] = []

    def __enter__(self) -> Monitor:
        self._socket = socket.create_connection(("127.0.0.1", self._server.port), LIMIT)
        self._socket.sendall(b"MONITOR\r\n")
        self._lines = self._socket.makefile("rb")
        assert self._lines.readline() == b"+OK\r\n"
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(LIMIT)
        self._socket.close()

    def until(self, is_so: Callable[[list[list[str]]], bool]) -> list[list[str]]:
        """The commands so far, their names first, once that holds of them; a script is called by its file's name."""
        end = time.monotonic() + LIMIT
        with self._told:
            while not is_so(self._commands):
                assert self._told.wait(end - time.monotonic()), self._commands
            return list(self._commands)

    def all(self) -> list[list[str]]:
        """Every command that was sent until now."""
        mark = secrets.token_hex(8)
        with socket.create_connection(("127.0.0.1", self._server.port), LIMIT) as sock:
            sock.sendall(f"ECHO {mark}\r\n".encode())
            assert sock.recv(100)
        return self.until(lambda commands: ["ECHO", mark] in commands)[:-1]

    def _listen(self) -> None:
        for line in self._lines:
            text = line.decode(errors="replace")
            if " lua]" in text:
                continue
            words = _WORDS.findall(text)
            command = [_SCRIPTS[words[1]], *words[3:]] if words[0] == "EVALSHA" else words
            with self._told:
                self._commands.append(command)
                self._told.notify_all()
