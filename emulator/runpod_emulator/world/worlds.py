"""The worlds of one server: each namespace is an emulator of its own, made when it is first named."""

from __future__ import annotations

import asyncio
import hmac
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator

from runpod_emulator.core.errors import NamespaceInvalid, NamespacesFull
from runpod_emulator.core.secrets.masks import masked
from runpod_emulator.core.time.clock import ticks
from runpod_emulator.world.world import World

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
MOST = 10_000
"""Worlds with a name; another one takes the place of that which was not used for longest."""
_IDLE = 3_600.0
"""Seconds without use after which a world is dropped."""
_LOOKS = 60.0
"""Seconds between two looks for such worlds."""
_AT_ONCE = 1_000
"""Worlds that are dropped in one step."""
_FULL = 1.0
"""Seconds until worlds are looked through again, once all were found in use."""

log = logging.getLogger("runpod_emulator")


class _Kept:
    """A world and when it was last named."""

    __slots__ = ("used", "world")

    def __init__(self, world: World) -> None:
        self.world = world
        self.used = ticks()


class Worlds:
    """The first world, which has no name, and all others by theirs. `make` builds one; without it there is only one.

    There are `most` with a name. Those without unfinished work are dropped after an hour without use,
    or when their place is needed, the longest unused first.
    """

    def __init__(
        self,
        first: World,
        make: Callable[[str], World] | None = None,
        by_key: bool = False,
        first_key: str = "",
        most: int = MOST,
    ) -> None:
        self.first = first
        self._make = make
        self.by_key = by_key
        self._first_key = first_key
        self._most = most
        self._named: OrderedDict[str, _Kept] = OrderedDict()
        """The longest unused first."""
        self.dropped = 0
        """How many have been dropped for want of use so far."""
        self._leaving: dict[str, World] = {}
        """Those that are being dropped for want of use."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._full_until = 0.0

    def __iter__(self) -> Iterator[World]:
        return iter((self.first, *(one.world for one in self._named.values())))

    @property
    def names(self) -> list[str]:
        """Every namespace there is, but for the first world."""
        return list(self._named)

    def items(self) -> list[tuple[str, World]]:
        """Every namespace and its world, but for the first."""
        return [(name, kept.world) for name, kept in self._named.items()]

    def shown(self, name: str) -> str:
        """A namespace as it may be seen by others: where keys choose worlds, its name is a client's key."""
        return masked(name) if self.by_key else self.first.masks.text(name)

    def name_of(self, world: World) -> str:
        """The world's namespace, "" for the first."""
        return next((name for name, one in self._named.items() if one.world is world), "")

    def of(self, namespace: str, key: str = "") -> World:
        """The world that a client names by header, or else by its key; raises NamespaceInvalid, NamespacesFull."""
        namespace = self._meant(namespace, key)
        return self.named(namespace) if namespace else self.first

    def known(self, namespace: str, key: str = "") -> World | None:
        """The world that a client names, if there is one already: whoever has shown no key yet makes none."""
        namespace = self._meant(namespace, key)
        if not namespace:
            return self.first
        return self.named(namespace) if namespace in self._named else self._leaving.get(namespace)

    def _meant(self, namespace: str, key: str) -> str:
        if namespace or not self.by_key or hmac.compare_digest(key.encode(), self._first_key.encode()):
            return namespace
        return key

    def named(self, namespace: str) -> World:
        """The world of this name, which is made if need be; raises NamespaceInvalid, NamespacesFull."""
        kept = self._named.get(namespace)
        if kept is None:
            if self._make is None or not _NAME.fullmatch(namespace):
                raise NamespaceInvalid(self.shown(namespace))
            if len(self._named) >= self._most:
                self._make_room()
            kept = self._named[namespace] = _Kept(self._make(namespace))
            self._watch()
            return kept.world
        kept.used = ticks()
        self._named.move_to_end(namespace)
        return kept.world

    def _make_room(self) -> None:
        if ticks() < self._full_until:
            raise NamespacesFull(self._most)
        if not self._drop_idle(float("inf"), 1):
            self._full_until = ticks() + _FULL
            raise NamespacesFull(self._most)

    def _drop_idle(self, before: float, most: int) -> int:
        """Drop worlds that were last used before that time; one with unfinished work is in use now."""
        dropped = 0
        for _ in range(len(self._named)):
            name, kept = next(iter(self._named.items()))
            if dropped >= most or kept.used >= before:
                break
            if kept.world.is_in_use:
                kept.used = ticks()
                self._named.move_to_end(name)
                continue
            self._leave(name)
            dropped += 1
        return dropped

    def _leave(self, name: str) -> None:
        """Forget a world at once, and end it then."""
        log.debug("namespace %s is dropped: it was not used for longest", self.shown(name))
        self._leaving[name] = self._named.pop(name).world
        self.dropped += 1
        task = asyncio.ensure_future(self._end(name, self._leaving[name]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end(self, name: str, world: World) -> None:
        await world.stop(forgets=not world.is_shared)
        if self._leaving.get(name) is world:
            del self._leaving[name]

    def _watch(self) -> None:
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(_LOOKS, self._look)

    def _look(self) -> None:
        self._alarm = None
        self._drop_idle(ticks() - _IDLE, _AT_ONCE)
        if self._named:
            self._watch()

    async def drop(self, namespace: str) -> bool:
        """End a world and forget it; returns whether there was one."""
        kept = self._named.get(namespace)
        if kept is None:
            return False
        world = kept.world
        await world.stop(forgets=True)  # without it, what is left is a ring, which only a look for garbage finds
        if self._named.get(namespace) is kept:  # until now, for its own workers would make another of its name
            del self._named[namespace]
        return True

    def hang_up(self) -> None:
        """End every wait in every world."""
        for world in self:
            world.hang_up()

    async def end_workers(self) -> None:
        """End the workers of every world that have jobs: call it while they can still report."""
        await asyncio.gather(*(world.endpoints.end_workers() for world in self))

    async def stop(self) -> None:
        """End every world."""
        if self._alarm is not None:
            self._alarm.cancel()
        for world in self:
            await world.stop()
        await asyncio.gather(*self._tasks)
