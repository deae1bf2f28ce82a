"""The worlds of one server: each namespace is an emulator of its own, made when it is first named."""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Callable, Iterator

from emulator.core.errors import NamespaceInvalid
from emulator.core.masks import masked
from emulator.emulator import Emulator

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


class Worlds:
    """The first world, which has no name, and all others by theirs. `make` builds one; without it there is only one."""

    def __init__(
        self, first: Emulator, make: Callable[[str], Emulator] | None = None, by_key: bool = False, first_key: str = ""
    ) -> None:
        self.first = first
        self._make = make
        self.by_key = by_key
        self._first_key = first_key
        self._named: dict[str, Emulator] = {}

    def __iter__(self) -> Iterator[Emulator]:
        return iter((self.first, *self._named.values()))

    @property
    def names(self) -> list[str]:
        """Every namespace there is, but for the first world."""
        return list(self._named)

    def shown(self, name: str) -> str:
        """A namespace as it may be seen by others: where keys choose worlds, its name is a client's key."""
        return masked(name) if self.by_key else name

    def name_of(self, world: Emulator) -> str:
        """The world's namespace, "" for the first."""
        return next((name for name, one in self._named.items() if one is world), "")

    def of(self, namespace: str, key: str = "") -> Emulator:
        """The world that a client names by header, or else by its key; raises NamespaceInvalid."""
        if not namespace and self.by_key and not hmac.compare_digest(key.encode(), self._first_key.encode()):
            namespace = key
        return self.named(namespace) if namespace else self.first

    def named(self, namespace: str) -> Emulator:
        """The world of this name, which is made if need be; raises NamespaceInvalid."""
        world = self._named.get(namespace)
        if world is None:
            if self._make is None or not _NAME.fullmatch(namespace):
                raise NamespaceInvalid(self.shown(namespace))
            world = self._named[namespace] = self._make(namespace)
        return world

    async def drop(self, namespace: str) -> bool:
        """End a world and forget it; answers whether there was one."""
        world = self._named.get(namespace)
        if world is None:
            return False
        await world.stop()
        if self._named.get(namespace) is world:  # until now, for its own workers would make another of its name
            del self._named[namespace]
        await world.store.clear()  # the rest is a ring, which only a look for garbage finds
        return True

    def hang_up(self) -> None:
        """End every wait in every world."""
        for world in self:
            world.hang_up()

    async def end_workers(self) -> None:
        """End the workers of every world that have jobs: call it while they can still report."""
        await asyncio.gather(*(world.end_workers() for world in self))

    async def stop(self) -> None:
        """End every world."""
        for world in self:
            await world.stop()
