"""What is owed to a webhook: a record of its own that outlives its job.

::

    OWED       acknowledged -> DELIVERED    refused -> OWED (later), or GIVEN_UP after the last attempt
    DELIVERED  nothing
    GIVEN_UP   nothing
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

CALLER = "Go-http-client/2.0"
"""The User-Agent with which the service calls; over HTTP/1.1, which is all we speak, no client is called so."""


class DeliveryStatus(str, Enum):
    """Where a delivery stands."""

    OWED = "OWED"
    DELIVERED = "DELIVERED"
    GIVEN_UP = "GIVEN_UP"


class Delivery(NamedTuple):
    """One webhook call to make. `body` was frozen when the job ended; `due` is milliseconds since the epoch."""

    endpoint: str
    job: str
    serial: int
    """The job's place in the queue, which each retry changes: a job that ends again owes another delivery."""
    url: str
    body: bytes
    due: int
    attempts: int = 0
    status: DeliveryStatus = DeliveryStatus.OWED
    lease: int = 0
    """Counts how often a sender was given it; what comes back with an earlier number does not count."""

    @property
    def key(self) -> tuple[int, str, str]:
        """What tells this delivery from every other; of those due in one moment, the older job's is the first."""
        return self.serial, self.endpoint, self.job

    def given_out(self) -> Delivery:
        """The same as a sender has it, once more."""
        return Delivery._make((*self[:-1], self.lease + 1))


def attempted(delivery: Delivery, acknowledged: bool, at: int, retry_delays: tuple[int, ...]) -> Delivery:
    """The delivery after one more attempt, made at time `at`."""
    attempts = delivery.attempts + 1
    if acknowledged:
        return delivery._replace(attempts=attempts, status=DeliveryStatus.DELIVERED)
    if attempts > len(retry_delays):
        return delivery._replace(attempts=attempts, status=DeliveryStatus.GIVEN_UP)
    return delivery._replace(attempts=attempts, due=at + retry_delays[attempts - 1])
