"""What each worker has of its own on a machine that it shares: ports, and the placeholders that stand for them.

On RunPod every worker is a container, where port 8000 or 8188 is free. Here `{port}`, `{port2}` … and `{worker}` in a
command or a variable stand for a free port of this worker's own, another one, and its id.
"""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

_PLACEHOLDER = re.compile(r"\{(port(?:[1-9]\d*)?|worker)\}")
_FIRST = 20_000
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""What the system gives to outgoing connections: a port from there may be taken before the worker listens on it."""
_TAKEN = re.compile(r"EADDRINUSE|address (?:is )?(?:already )?in use|port \d+ is (?:already )?in use", re.IGNORECASE)
_ADVICE = (
    "Its address is taken. Workers share this machine: give each a port of its own, as in --environment PORT={port}"
)


class Ports:
    """Free ports of this machine, below those of outgoing connections; none is given out twice at a time."""

    def __init__(self) -> None:
        self._given: set[int] = set()
        self._end = _ephemeral_from()

    def take(self) -> int:
        """A port that nobody listens on."""
        for _ in range(1_000):
            port = random.randrange(_FIRST, self._end)
            if port not in self._given and _is_free(port):
                break
        else:
            port = _any_free()
        self._given.add(port)
        return port

    def give_back(self, ports: Iterable[int]) -> None:
        """Their worker has ended."""
        self._given.difference_update(ports)


class Placeholders:
    """What stands in braces for one worker: the same number wherever it stands for the same one."""

    def __init__(self, worker: str, ports: Ports) -> None:
        self._worker = worker
        self._ports = ports
        self._numbers: dict[str, int] = {}

    def fill(self, text: str) -> str:
        """The text with what its placeholders stand for; other braces stay as they are."""
        return _PLACEHOLDER.sub(lambda match: self._value(match[1]), text)

    def fill_all(self, variables: Mapping[str, str]) -> dict[str, str]:
        """The variables with what the placeholders in their values stand for."""
        return {name: self.fill(value) for name, value in variables.items()}

    @property
    def port(self) -> int:
        """What `{port}` stands for."""
        return int(self._value("port"))

    def release(self) -> None:
        """The worker has ended: its ports may be another's."""
        self._ports.give_back(self._numbers.values())

    def _value(self, name: str) -> str:
        if name == "worker":
            return self._worker
        name = "port" if name == "port1" else name
        if name not in self._numbers:
            self._numbers[name] = self._ports.take()
        return str(self._numbers[name])


def address_taken(said: str) -> str:
    """What to do about a worker whose last words are that its address is taken; empty if they say something else."""
    return f"\n{_ADVICE}" if _TAKEN.search(said) else ""


def _ephemeral_from() -> int:
    try:
        return max(int(_EPHEMERAL.read_text().split()[0]), _FIRST + 1)
    except (OSError, ValueError, IndexError):
        return 32_768


def _is_free(port: int) -> bool:
    with socket.socket() as probe:  # without SO_REUSEADDR, so that also a program that does not set it can listen
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


def _any_free() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
