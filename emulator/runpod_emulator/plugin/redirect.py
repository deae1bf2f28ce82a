"""Where RunPod clients of a test run are pointed at: at the emulator, or where the user has pointed them."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Mapping
from types import ModuleType

from runpod_emulator.workers.environment import POINTED_BY_EXEC, past_proxies
from runpod_emulator.workers.imports import OnImport

KEY = "runpod-emulator"
"""What clients send before there is an emulator that could be asked."""
_SERVICE = "https://api.runpod.ai/v2"
"""Where the official client goes that is told nothing."""
_PARTS = {"endpoint_url_base": "RUNPOD_ENDPOINT_BASE_URL", "api_key": "RUNPOD_API_KEY"}
"""The official module's own settings, and the variables that say the same."""

Put = Callable[[ModuleType, str, object], None]


def pointed_by_exec() -> bool:
    """Whether `runpod-emulator exec` runs the tests: clients that are made early are meant for its server."""
    url = os.environ.get(POINTED_BY_EXEC)
    return url is not None and os.environ.get("RUNPOD_ENDPOINT_BASE_URL") == url


class Reserved:
    """A port of this machine that is known before anything listens on it."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self.number = self._take(0)

    @property
    def is_held(self) -> bool:
        """Whether it can be lent."""
        return self._socket is not None

    def lend(self) -> int:
        """Free the port for a server that starts now; returns its number."""
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
        self._values = {
            "RUNPOD_ENDPOINT_BASE_URL": f"http://127.0.0.1:{port}/v2",
            "RUNPOD_API_KEY": KEY,
            **past_proxies(),
        }
        self._before: dict[str, str | None] = {}
        self._settings = Settings(self._values)
        self._is_on = False

    @property
    def base_url(self) -> str:
        """Where clients are pointed at."""
        return self._values["RUNPOD_ENDPOINT_BASE_URL"]

    def on(self) -> None:
        """Point clients at the port."""
        if self._is_on:
            return
        self._is_on = True
        self._before = {name: os.environ.get(name) for name in self._values}
        os.environ.update(self._values)
        self._settings.on(self._before)

    def off(self) -> None:
        """Point clients where they were pointed before; what a test has set itself stays."""
        if not self._is_on:
            return
        self._is_on = False
        for name, value in self._before.items():
            if os.environ.get(name) != self._values[name]:
                continue
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        self._settings.off()


class Settings:
    """The official client's own settings, told as soon as it is imported: it has no key without a file of one."""

    def __init__(self, values: Mapping[str, str], put: Put = setattr) -> None:
        """`values` has a value for each variable of _PARTS; `put` is how a setting is set."""
        self._values = {part: values[name] for part, name in _PARTS.items()}
        self._put = put
        self._unset: dict[str, str | None] = {}
        self._before: dict[str, object] = {}
        self._imports = OnImport({"runpod": self._tell})

    def on(self, environment: Mapping[str, str | None]) -> None:
        """Tell it; `environment` is what the variables said before, which it would have read then."""
        default = {"endpoint_url_base": _SERVICE, "api_key": None}
        self._unset = {part: environment.get(name) or default[part] for part, name in _PARTS.items()}
        self._before = dict(self._unset)
        self._imports.start()

    def stop(self) -> None:
        """Tell it no more, and leave what it was told."""
        self._imports.stop()

    def off(self) -> None:
        """Put all back; what a test has set itself stays."""
        self.stop()
        if (runpod := sys.modules.get("runpod")) is not None:
            for part, value in self._values.items():
                if getattr(runpod, part, None) == value:
                    setattr(runpod, part, self._before[part])

    def _tell(self, runpod: ModuleType) -> None:
        for part, name in _PARTS.items():
            if getattr(runpod, part, None) == os.environ.get(name):  # read there, so it is no setting of its own
                setattr(runpod, part, self._unset[part])
            self._before[part] = getattr(runpod, part, None)
            self._put(runpod, part, self._values[part])
