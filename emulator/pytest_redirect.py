"""Where RunPod clients of a test run are pointed at: at the emulator, or where the user has pointed them."""

from __future__ import annotations

import os
import socket
import sys
from types import ModuleType

from emulator.workers.environment import past_proxies

KEY = "runpod-emulator"
"""What clients send before there is an emulator that could be asked."""
_SERVICE = "https://api.runpod.ai/v2"
"""Where the official client goes that is told nothing."""
_PARTS = {"endpoint_url_base": "RUNPOD_ENDPOINT_BASE_URL", "api_key": "RUNPOD_API_KEY"}
"""The official module's own settings, and the variables that say the same."""


class Reserved:
    """A port of this machine that is known before anything listens on it."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self.number = self._take(0)

    def lend(self) -> int:
        """Free the port for a server that starts now; answers its number."""
        self.release()
        return self.number

    def take_back(self) -> None:
        """Hold it again, after the server's end; if somebody else was quicker it is theirs."""
        try:
            self._take(self.number)
        except OSError:
            self._socket = None

    def release(self) -> None:
        """Hold it no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _take(self, number: int) -> int:
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", number))
        except OSError:
            holder.close()
            raise
        self._socket = holder
        taken: int = holder.getsockname()[1]
        return taken


class Redirect:
    """Variables, and the official client's own settings, that point clients at a port of this machine."""

    def __init__(self, port: int) -> None:
        self._told = {
            "RUNPOD_ENDPOINT_BASE_URL": f"http://127.0.0.1:{port}/v2",
            "RUNPOD_API_KEY": KEY,
            **past_proxies(),
        }
        self._before: dict[str, str | None] = {}
        self._module: dict[str, object] = {}
        self._is_on = False

    @property
    def base_url(self) -> str:
        """Where clients are pointed at."""
        return self._told["RUNPOD_ENDPOINT_BASE_URL"]

    def on(self) -> None:
        """Point clients at the port."""
        if self._is_on:
            return
        self._is_on = True
        self._before = {name: os.environ.get(name) for name in self._told}
        os.environ.update(self._told)
        if (runpod := sys.modules.get("runpod")) is not None:
            self._module = {part: getattr(runpod, part) for part in _PARTS if hasattr(runpod, part)}
            for part, name in _PARTS.items():
                setattr(runpod, part, self._told[name])

    def off(self) -> None:
        """Point clients where they were pointed before; what a test has set itself stays."""
        if not self._is_on:
            return
        self._is_on = False
        for name, value in self._before.items():
            if os.environ.get(name) != self._told[name]:
                continue
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if (runpod := sys.modules.get("runpod")) is not None:
            self._put_back(runpod)
        self._module = {}

    def _put_back(self, runpod: ModuleType) -> None:
        """Undo the module's settings, also of one that was imported meanwhile and so was told of the port."""
        untold = {"endpoint_url_base": _SERVICE, "api_key": None}
        for part, name in _PARTS.items():
            if getattr(runpod, part, None) == self._told[name]:
                before = self._before[name]
                setattr(runpod, part, self._module.get(part, untold[part] if before is None else before))
