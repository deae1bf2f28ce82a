"""A server in the place of the real service: a run of pytest whose packets to it are counted instead of sent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEY = "rpa_THE_REAL_KEY"
"""The key of the environment, which must never leave."""

_NAMES = '''
"""Leads every name of the service to the trap, as a name server would: what looks names up is told so by Python too."""
import os, socket, sys

PORT = int(os.environ["TRAP_PORT"])
SERVICE = "127.77.77.77"
look_up, connect, connect_ex = socket.getaddrinfo, socket.socket.connect, socket.socket.connect_ex

def is_service(host):
    host = (host.decode() if isinstance(host, bytes) else host or "").rstrip(".").lower()
    return any(host == name or host.endswith("." + name) for name in ("runpod.ai", "runpod.io"))

def getaddrinfo(host, port, *args, **more):
    if not is_service(host):
        return look_up(host, port, *args, **more)
    sys.audit("socket.getaddrinfo", host, port, 0, 0, 0)
    port = {"https": 443, "http": 80, None: 0}.get(port, port)
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (SERVICE, int(port)))]

def there(address):
    caught = isinstance(address, tuple) and (address[0] == SERVICE or is_service(address[0]))
    return ("127.0.0.1", PORT) if caught else address

socket.getaddrinfo = getaddrinfo
socket.socket.connect = lambda self, address: connect(self, there(address))
socket.socket.connect_ex = lambda self, address: connect_ex(self, there(address))
'''


class Trap:
    """Counts connections, and keeps what they sent first; to SOCKS it says yes to all, and keeps what comes then."""

    def __init__(self, folder: Path) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.caught: list[bytes] = []
        self._folder = folder
        (folder / "sitecustomize.py").write_text(_NAMES)
        threading.Thread(target=self._serve, daemon=True).start()

    def environment(self, *, proxy: bool = False) -> dict[str, str]:
        """What leads a process here: by name, or by a proxy for whatever is not on this machine."""
        leads = {"PYTHONPATH": str(self._folder), "TRAP_PORT": str(self.port), "RUNPOD_API_KEY": KEY}
        here = f"http://127.0.0.1:{self.port}"
        return {**leads, "HTTP_PROXY": here, "HTTPS_PROXY": here, "http_proxy": here} if proxy else leads

    def close(self) -> None:
        """Catch no more."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            with caller:
                caller.settimeout(5)
                try:
                    self.caught.append(_first_request(caller))
                except OSError:
                    self.caught.append(b"")


def _first_request(caller: socket.socket) -> bytes:
    said = caller.recv(65536)
    if said[:1] != b"\x05":
        return said
    caller.sendall(b"\x05\x00")  # SOCKS 5, nobody has to say who he is
    return caller.recv(65536)


@contextmanager
def trap(folder: Path) -> Iterator[Trap]:
    """A trap, as long as it is needed."""
    folder.mkdir(exist_ok=True)
    one = Trap(folder)
    try:
        yield one
    finally:
        one.close()


def without_runpod() -> dict[str, str]:
    """This process's environment, but for what tells of RunPod and of proxies."""
    dropped = ("RUNPOD_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "PYTEST_")
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(dropped)}


def run_pytest(folder: Path, text: str, environment: dict[str, str], *args: str) -> str:
    """What a run of pytest says of one file."""
    (folder / "test_inner.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--tb=short", "-o", "asyncio_mode=auto"]
    done = subprocess.run(
        [*command, f"--rootdir={folder}", *args, "test_inner.py"],
        cwd=folder, env={**without_runpod(), **environment}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def counted(output: str, outcome: str) -> int:
    """How many tests of that file ended so, by what a run with -rA says."""
    return sum(line.startswith(f"{outcome} test_inner.py") for line in output.splitlines())
