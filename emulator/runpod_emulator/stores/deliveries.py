"""Webhook deliveries in memory: the `DeliveryStore` of one process."""

from __future__ import annotations

from runpod_emulator.core.freeing import free_later
from runpod_emulator.core.jobs.deliveries import Delivery, DeliveryStatus
from runpod_emulator.core.time.schedule import Schedule

Key = tuple[int, str, str]


class MemoryDeliveries:
    """Keeps what is owed; no call suspends."""

    def __init__(self) -> None:
        self._kept: dict[Key, Delivery] = {}
        self._owed: Schedule[Key] = Schedule()
        """Those that are not given out, by when they are due."""

    @property
    def owes_any(self) -> bool:
        """Whether any delivery is owed."""
        return bool(self._kept)

    def owe(self, delivery: Delivery) -> None:
        """Keep a delivery, which is due then."""
        self._kept[delivery.key] = delivery
        self._owed.set(delivery.key, delivery.due)

    def clear(self, endpoint: str | None = None) -> None:
        """Forget the deliveries of one endpoint, or all."""
        if endpoint is None:
            free_later((*self._owed.remains(), self._kept))
            self._kept, self._owed = {}, Schedule()
            return
        for key in [key for key in self._kept if key[1] == endpoint]:
            del self._kept[key]
            self._owed.set(key, None)

    async def claim(self, now: int, most: int) -> list[Delivery]:
        """Owed deliveries that are due, `most` at most; each is given out once until `record`."""
        claimed: list[Delivery] = []
        while len(claimed) < most:
            first = self._owed.first()
            if first is None or first[0] > now:
                break
            self._owed.pop()
            claimed.append(self._kept[first[1]])
        return claimed

    async def record(self, delivery: Delivery) -> None:
        """Write what an attempt made of a delivery; one that is settled is dropped, one that was cleared stays so."""
        if delivery.key not in self._kept:
            return
        if delivery.status is DeliveryStatus.OWED:
            self.owe(delivery)
        else:
            del self._kept[delivery.key]

    async def owes(self) -> bool:
        """Whether any delivery is owed."""
        return self.owes_any

    async def next_due(self) -> int | None:
        """When the next owed delivery that is not given out is due."""
        first = self._owed.first()
        return None if first is None else first[0]
