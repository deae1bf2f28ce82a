"""Worlds that several servers share: what `--store` makes of them. The library is only loaded for it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from typing import TYPE_CHECKING, Any

from runpod_emulator.core.errors import ConfigurationError

if TYPE_CHECKING:
    from runpod_emulator.stores.redis.address import Address
    from runpod_emulator.world.world import World

log = logging.getLogger("runpod_emulator")

_HASH = 32
"""Letters by which two keys of clients are told apart."""
_MISSING = "--store needs a library: pip install 'runpod-emulator[redis]'"


class StoreMaker:
    """Makes the store of each world at one server; raises ConfigurationError for a URL or a clock that won't do."""

    def __init__(self, url: str, clock: str) -> None:
        if clock != "real":
            raise ConfigurationError(
                f"--store: a {clock} clock is one server's own, and others over the same store could not follow: "
                "use --clock real, or no --store"
            )
        try:
            import redis  # noqa: F401
        except ImportError:
            raise ConfigurationError(_MISSING) from None
        from runpod_emulator.stores.redis.address import read_address

        self.address: Address = read_address(url)
        self.owner = secrets.token_hex(8)
        """This server, as the others know it."""
        self._opening: set[asyncio.Future[None]] = set()

    def open_later(self, world: World) -> None:
        """Open a world that is made while the server runs: what fails is logged, and its calls try again."""
        opening = asyncio.ensure_future(world.open())
        self._opening.add(opening)
        opening.add_done_callback(self._opened)

    def _opened(self, opening: asyncio.Future[None]) -> None:
        self._opening.discard(opening)
        if not opening.cancelled() and (error := opening.exception()) is not None:
            log.error("a namespace was not opened: %s", error)

    async def close(self) -> None:
        """Open nothing any more."""
        for opening in self._opening:
            opening.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)

    def parts_of(self, namespace: str, is_key: bool = False) -> dict[str, Any]:
        """What `World` is given for the world of this name; one that is a client's key is no part of the store's."""
        from runpod_emulator.stores.redis.store import RedisStore

        if is_key:
            namespace = hashlib.sha256(namespace.encode()).hexdigest()[:_HASH]
        store = RedisStore(self.address, namespace, self.owner)
        return {"store": store, "counter": store.counter, "owner": self.owner}
