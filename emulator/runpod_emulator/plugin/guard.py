"""What watches over a test that uses the emulator: none of its requests leaves for the real service.

Python tells audit hooks of every name that it looks up and every connection of `http.client`, so whatever is
built on those is seen, and a mock that answers without the network is not. What goes past them, through a proxy, by a
kept connection, by TLS on a socket that is there already or on a loop that looks up names itself, is asked
(`ask.py`).
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from runpod_emulator.plugin.addressee import FIRST, destination
from runpod_emulator.plugin.ask import ask_all, ask_sockets

SERVICE = ("runpod.ai", "runpod.io")
"""The service's own domains: api.runpod.ai and *.api.runpod.ai, rest.runpod.io, api.runpod.io and the like."""
_LOOK_UPS = ("socket.getaddrinfo", "socket.gethostbyname")
_OWN_THREAD = "runpod-emulator"
"""The emulator's own thread, in which nothing may be raised that is meant for a test."""


class RealServiceCalled(BaseException):
    """A request was on its way to the real service; no `except Exception` of a client swallows it."""


class Guard:
    """Refuses requests to the service's hosts while `test` names a test that uses the emulator.

    `gap` is the address that clients were pointed at before there was a fixture, as long as nothing
    listens there for the present test.
    """

    def __init__(self) -> None:
        self.test = ""
        """The node id of the present test, if that uses the emulator."""
        self.gap: tuple[str, int] | None = None
        self.present = "the collection of tests"
        """What runs at present, for a message about the gap."""
        self.way_out = ""
        """How a client is pointed at the emulator of the present test."""
        self._refused: list[str] = []
        self._listens = self._watches = False

    def listen(self) -> None:
        """Hear of every connection from now on, for good: an audit hook can't be taken away."""
        if not self._listens:
            self._listens = True
            sys.addaudithook(self._heard)

    def watch(self) -> None:
        """Ask clients, sockets and TLS too: before each test that uses the emulator, for good."""
        self.listen()
        if self._watches:
            ask_sockets(self.check)
        else:
            self._watches = True
            ask_all(self.check)

    def take_refused(self) -> list[str]:
        """What was refused since the last call: a client, or a thread, may have kept it to itself."""
        refused, self._refused = self._refused, []
        return refused

    def check(self, host: object, port: object = None) -> None:
        """Raise RealServiceCalled for a host of the service, while a test uses the emulator, and for the gap."""
        name = _name(host)
        if (name, port) == self.gap:
            self._in_the_gap()
        if not self.test or not is_service(name):
            return
        message = (
            f"{self.test} uses the emulator, and a request was about to leave for the real service at {name}. "
            f"Nothing was sent. Its client was not pointed at the emulator: {self.way_out}. "
            f"A test that means the real service must not use the fixture, or set runpod_emulator_guard = false."
        )
        self._refused.append(message)
        raise RealServiceCalled(message)

    def _heard(self, event: str, args: tuple[Any, ...]) -> None:
        """An audit hook: called for whatever Python does, so it looks at the first letters first."""
        if event.startswith("socket."):
            if event in _LOOK_UPS:
                self.check(args[0])
            elif event == "socket.connect" and args[1] == self.gap and self.gap is not None:
                self._in_the_gap()
        elif event.startswith("http.client."):
            self._heard_client(args[0], args[1] if event == "http.client.send" else None)

    def _heard_client(self, client: Any, data: Any) -> None:
        """A connection of `http.client`: its host may stand behind a proxy, for https in a tunnel."""
        self.check(getattr(client, "_tunnel_host", None) or client.host, client.port)
        if self.test and isinstance(data, bytes) and (host := destination(data[:FIRST])):
            self.check(host)

    def _in_the_gap(self) -> None:
        if threading.current_thread().name == _OWN_THREAD:
            return
        raise RealServiceCalled(
            f"{self.present} called the emulator of the fixture runpod_emulator without using the fixture. "
            "Its client was made while test files were imported, when the plugin points RunPod clients at the "
            "emulator. Use the fixture; for the real service make the client inside the test, or set "
            "runpod_emulator_early = false (pytest -o runpod_emulator_early=false)."
        )


def is_service(host: str) -> bool:
    """Whether a host is the service's own."""
    return host in SERVICE or host.endswith(tuple(f".{domain}" for domain in SERVICE))


def _name(host: object) -> str:
    text = host.decode("latin-1") if isinstance(host, bytes) else str(host or "")
    return text.lower().rstrip(".")
