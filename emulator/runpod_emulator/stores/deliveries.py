"""Webhook deliveries in memory: the `DeliveryStore` of one process."""

from __future__ import annotations

from collections.abc import Iterable

from runpod_emulator.core.freeing import free_later
from runpod_emulator.core.jobs.deliveries import Delivery, DeliveryStatus
from runpod_emulator.core.time.schedule import Schedule

Key = tuple[int, str, str]


class MemoryDeliveries:
    """Keeps what is owed; no call suspends."""

    shared = False
    """Only this process can see them."""

    def __init__(self) -> None:
        self._kept: dict[Key, Delivery] = {}
        self._owed: Schedule[Key] = Schedule()
        """When a sender may have each: those that are due some time, and those given out that will be again."""

    @property
    def owes_any(self) -> bool:
        """Whether any delivery is owed."""
        return bool(self._kept)

    def owe(self, delivery: Delivery) -> None:
        """Keep a delivery, which is due then."""
        key = delivery.key
        self._kept[key] = delivery
        self._owed.set(key, delivery.due)

    def clear(self, endpoint: str | None = None) -> None:
        """Forget the deliveries of one endpoint, or all."""
        if endpoint is None:
            free_later((*self._owed.remains(), self._kept))
            self._kept, self._owed = {}, Schedule()
            return
        for key in [key for key in self._kept if key[1] == endpoint]:
            del self._kept[key]
            self._owed.set(key, None)

    def dump(self) -> list[Delivery]:
        """All that are owed, those that senders have too."""
        return list(self._kept.values())

    def load(self, deliveries: Iterable[Delivery]) -> None:
        """Owe these too, each when it was due: a sender that had one is gone."""
        for delivery in deliveries:
            self.owe(delivery)

    async def claim(self, now: int, most: int, until: int | None) -> list[Delivery]:
        """Owed deliveries that are due, `most` at most; each is given out until the time `until`, if any."""
        claimed: list[Delivery] = []
        while len(claimed) < most:
            first = self._owed.first()
            if first is None or first[0] > now:
                break
            key = first[1]
            self._owed.set(key, until)
            self._kept[key] = delivery = self._kept[key].given_out()
            claimed.append(delivery)
        return claimed

    async def renew(self, deliveries: list[Delivery], until: int) -> None:
        """Leave deliveries to the sender who has them, until then."""
        for delivery in deliveries:
            if self._is_held(delivery):
                self._owed.set(delivery.key, until)

    async def record(self, delivery: Delivery) -> bool:
        """Write what an attempt made of a delivery; False, and nothing, if its lease is not the last one."""
        if not self._is_held(delivery):
            return False
        if delivery.status is DeliveryStatus.OWED:
            self.owe(delivery)
        else:
            key = delivery.key
            del self._kept[key]
            self._owed.set(key, None)
        return True

    def _is_held(self, delivery: Delivery) -> bool:
        """Whether nobody else was given it since, and it is owed."""
        kept = self._kept.get(delivery.key)
        return kept is not None and kept.lease == delivery.lease

    async def owe_again(self, delivery: Delivery) -> None:
        """Owe a delivery once more, as it is given here; one of its key that is still owed gives way to it."""
        self.owe(delivery)

    async def owes(self) -> bool:
        """Whether any delivery is owed."""
        return self.owes_any

    async def next_due(self) -> int | None:
        """When the next owed delivery is due, or the time of a sender that has it is over."""
        first = self._owed.first()
        return None if first is None else first[0]
