"""Under which names a server is known, and which origins are pages of this machine.

A page that a browser got elsewhere cannot choose what it calls itself (`Origin`), nor what it called (`Host`): it can
only make a name of its own lead here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

from runpod_emulator.core.networks import ANY, Address, plain_address

_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+(?:%[0-9a-z._~-]+)?\]|[^\s:/?#@\[\]\\%]+)(?::([0-9]{1,5}))?")
_ORIGIN = re.compile(r"(https?)://(.+)")
_DEFAULT_PORTS = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_SECURE = {"wss": "https", "ws": "http"}


class Authority(NamedTuple):
    """What stands between the slashes of a URL: a host without brackets or a last dot, in small letters, and a port."""

    host: str
    port: str = ""

    @property
    def address(self) -> Address | None:
        """The address that the host is; None for a name."""
        try:
            return plain_address(ipaddress.ip_address(self.host))
        except ValueError:
            return None

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine for itself, whoever asks."""
        address = self.address
        if address is not None:
            return address.is_loopback
        return self.host == "localhost" or self.host.endswith(".localhost")

    @property
    def is_nobodys(self) -> bool:
        """Whether no stranger can make it lead here: an address, or a name without a dot, which no registry sells."""
        return self.address is not None or "." not in self.host


def authority(text: str) -> Authority | None:
    """The parts of a `Host`; None for what is none."""
    match = _AUTHORITY.fullmatch(text.lower())
    if match is None:
        return None
    host = match[1].strip("[]")
    host = host[:-1] if host.endswith(".") else host
    return Authority(host, match[2] or "") if host else None


def is_local(origin: str) -> bool:
    """Whether an `Origin` is that of a page which this machine serves, on any port."""
    match = _ORIGIN.fullmatch(origin.lower())
    found = authority(match[2]) if match else None
    return found is not None and found.is_loopback


def is_same(origin: str, scheme: str, host: str) -> bool:
    """Whether an `Origin` is that of the server itself, which was called by this scheme and `Host`."""
    match = _ORIGIN.fullmatch(origin.lower())
    scheme = _SECURE.get(scheme, scheme)
    if match is None or match[1] != scheme:
        return False
    theirs, ours = authority(match[2]), authority(host)
    default = _DEFAULT_PORTS[scheme]
    return (
        theirs is not None
        and ours is not None
        and (theirs.host, theirs.port or default) == (ours.host, ours.port or default)
    )


class OwnNames:
    """The names and addresses of one server; `more` are those it was given, of which `*.NAME` are all below NAME."""

    def __init__(self, more: Iterable[str] = ()) -> None:
        given = [found for name in more if name not in ANY and (found := authority(_bracketed(name))) is not None]
        self._names = {one.host for one in given if one.address is None}
        self._addresses = {one.address for one in given if one.address is not None}

    def knows(self, host: str) -> bool:
        """Whether a `Host` is one of them; the port is nobody's business: others may map it."""
        found = authority(host)
        if found is None or "*" in found.host:
            return False
        if found.address is not None and found.address in self._addresses:
            return True
        above = "*." + found.host.partition(".")[2]
        return found.is_loopback or found.host in self._names or above in self._names

    def is_safe(self, host: str) -> bool:
        """Whether no page of a stranger can have got here under this `Host`: one of them, or one that is nobody's."""
        found = authority(host)
        return found is not None and (found.is_nobodys or self.knows(host))


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name and not name.startswith("[") else name
