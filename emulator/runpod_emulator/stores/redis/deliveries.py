"""Webhook deliveries on the server: the `DeliveryStore` of several emulators, each of which may send what is due."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from runpod_emulator.core.jobs.deliveries import Delivery, DeliveryStatus
from runpod_emulator.stores.records import delivery_read, delivery_written
from runpod_emulator.stores.redis.connection import Connection, Script
from runpod_emulator.stores.redis.replies import scored
from runpod_emulator.stores.redis.transitions import KEPT, delivery_name

_CLAIM, _RECORD, _OWE = Script("claim_deliveries"), Script("record_delivery"), Script("owe_again")


class RedisDeliveries:
    """What the jobs of one world owe to webhooks, also those of endpoints that nobody serves any more."""

    shared = True
    """Senders of other servers are given these too."""

    def __init__(
        self, connection: Connection, endpoints: Callable[[], Awaitable[list[str]]], base: Callable[[str], str]
    ) -> None:
        self._connection = connection
        self._endpoints = endpoints
        self._base = base
        self.owes_any = False
        """Whether any was owed when somebody looked last."""

    async def claim(self, now: int, most: int, until: int | None) -> list[Delivery]:
        """Owed deliveries that are due, `most` at most, each given to one sender until the time `until`."""
        claimed: list[tuple[int, Delivery]] = []
        for endpoint, number in (await self._due(now, most)).items():
            given = await self._connection.run(
                _CLAIM, self._base(endpoint), now, number, "" if until is None else until, KEPT
            )
            for record, body, lease, since in given:
                claimed.append((int(float(since)), delivery_read(record, body)._replace(lease=lease)))
        return [delivery for _, delivery in sorted(claimed, key=lambda one: (one[0], one[1].key))]

    async def renew(self, deliveries: list[Delivery], until: int) -> None:
        """Leave deliveries to the sender who has them, until then."""
        await asyncio.gather(*(self._write(delivery, until, b"") for delivery in deliveries))

    async def record(self, delivery: Delivery) -> bool:
        """Write what an attempt made of a delivery; False, and nothing, if its lease is not the last one."""
        if delivery.status is DeliveryStatus.OWED:
            return await self._write(delivery, delivery.due, delivery_written(delivery))
        return await self._write(delivery, "", b"")

    async def owe_again(self, delivery: Delivery) -> None:
        """Owe a delivery once more, as it is given here; one of its key that is still owed gives way to it."""
        arguments = delivery_name(delivery), delivery.lease, delivery.due, delivery_written(delivery), delivery.body
        await self._connection.run(_OWE, self._base(delivery.endpoint), *arguments, KEPT)

    async def owes(self) -> bool:
        """Whether any delivery is owed."""
        keys = [("HLEN", f"{self._base(endpoint)}:owed") for endpoint in await self._endpoints()]
        self.owes_any = any(await self._connection.all(keys))
        return self.owes_any

    async def next_due(self) -> int | None:
        """When the next owed delivery is due, or the time of a sender that has it is over."""
        endpoints = await self._endpoints()
        keys = [("ZRANGE", f"{self._base(endpoint)}:owes", 0, 0, "WITHSCORES") for endpoint in endpoints]
        dues = [due for found in await self._connection.all(keys) for _, due in scored(found)]
        self.owes_any = bool(dues)
        return min(dues, default=None)

    async def _due(self, now: int, most: int) -> dict[str, int]:
        """How many each endpoint has of those that are due, the earliest of all, `most` at most.

        So an endpoint that owes many does not keep the others waiting.
        """
        endpoints = await self._endpoints()
        if len(endpoints) == 1:
            return {endpoints[0]: most}
        keys = [
            ("ZRANGEBYSCORE", f"{self._base(endpoint)}:owes", "-inf", now, "WITHSCORES", "LIMIT", 0, most)
            for endpoint in endpoints
        ]
        found = zip(endpoints, map(scored, await self._connection.all(keys)), strict=True)
        due = sorted((since, name, endpoint) for endpoint, some in found for name, since in some)
        return Counter(endpoint for _, _, endpoint in due[:most])

    async def _write(self, delivery: Delivery, due: int | str, record: bytes) -> bool:
        key = self._base(delivery.endpoint)
        name = delivery_name(delivery)
        return bool(await self._connection.run(_RECORD, key, name, delivery.lease, due, record, KEPT))
