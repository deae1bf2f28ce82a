"""Worlds that several servers share: what `--store` makes of them. The library is only loaded for it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from runpod_emulator.core.errors import ConfigurationError

if TYPE_CHECKING:
    from runpod_emulator.stores.redis.address import Address

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

    def parts_of(self, namespace: str) -> dict[str, Any]:
        """What `World` is given for the world of this name."""
        from runpod_emulator.stores.redis.store import RedisStore

        store = RedisStore(self.address, namespace, self.owner)
        return {"store": store, "counter": store.counter, "owner": self.owner}
