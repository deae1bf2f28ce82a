"""Which addresses webhooks may reach: networks that are allowed, and networks that are denied."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ANY = ("", "0.0.0.0", "::")  # nosec B104 - to be told from others, not to be bound
"""Every address of this machine, to listen on; to call, it is this machine."""
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""Addresses that a translator turns into IPv4 (RFC 6052)."""
_THIS_MACHINE: dict[int, Address] = {4: ipaddress.IPv4Address("127.0.0.1"), 6: ipaddress.IPv6Address("::1")}


def network(text: str) -> Network:
    """A network such as 10.0.0.0/8, or one address; raises ValueError."""
    try:
        return ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise ValueError(f"{text}: write a network such as 10.0.0.0/8 or fd00::/8, or an address") from None


def plain_address(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, else the address itself."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


class Reach:
    """What may be called; without networks everything. A denied network goes before an allowed one."""

    def __init__(self, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        self._allow = [network(text) for text in allow]
        self._deny = [network(text) for text in deny]

    @property
    def is_limited(self) -> bool:
        """Whether anything is refused at all."""
        return bool(self._allow or self._deny)

    def problem(self, text: str) -> str:
        """Why the address that `text` is may not be called, "" if it may; raises ValueError for what is no address."""
        address = ipaddress.ip_address(text)
        same = list(_same(address))
        for denied in self._deny:
            if any(one in denied for one in (*same, *_behind(address))):
                return f"{text} is denied by --webhook-deny {denied}"
        if self._allow and not any(one in allowed for allowed in self._allow for one in same):
            return f"{text} is in no network of --webhook-allow"
        return ""


def _same(address: Address) -> Iterator[Address]:
    """The address in each of its forms."""
    yield address
    plain = plain_address(address)
    if plain != address:
        yield plain
    if plain.is_unspecified:  # the system takes it for this machine
        yield _THIS_MACHINE[plain.version]


def _behind(address: Address) -> Iterator[Address]:
    """The IPv4 addresses to which others may pass on what is sent to an IPv6 address."""
    if not isinstance(address, ipaddress.IPv6Address):
        return
    if address in _TRANSLATED:
        yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.sixtofour is not None:
        yield address.sixtofour
