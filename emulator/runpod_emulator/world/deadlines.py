"""The deadlines of a world's jobs, as its time line sees them."""

from __future__ import annotations

import logging
from collections.abc import Container, Mapping

from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.store import FirstDue, JobStore
from runpod_emulator.core.store_errors import Unavailable

log = logging.getLogger("runpod_emulator")


class Deadlines:
    """A `JobDeadlines` of the endpoints over one store. Time is not left out past the end of a result in `unread`."""

    def __init__(
        self, store: JobStore, endpoints: Mapping[str, Endpoint], unread: Container[tuple[str, str] | None]
    ) -> None:
        self._store = store
        self._endpoints = endpoints
        self._unread = unread
        self.first_due = store.first_due
        """The earliest deadline of any job, and which job that is."""

    async def expire_next(self, now: int) -> None:
        """Let the job with the earliest deadline meet it; a step that fails is logged, and not tried again."""
        first = await self._store.first_due()
        if first is None or first[0] > now:
            return
        endpoint_id, job_id = first[1]
        endpoint = self._endpoints.get(endpoint_id)
        if endpoint is None:  # it was taken away
            await self._store.drop(endpoint_id)
            return
        try:
            await endpoint.expire(job_id, now)
        except JobNotFound:  # another server over the store was faster, or a record was lost: others wait behind it
            await self._give_up(first)
        except Unavailable:  # it is met once the store is back
            raise
        except Exception:
            log.exception("a deadline of %s/%s failed", endpoint_id, job_id)
            await self._give_up(first)

    async def _give_up(self, first: FirstDue) -> None:
        if await self._store.first_due() == first:
            await self._store.give_up_deadline(*first[1])

    async def may_skip_to(self, due: int) -> bool:
        """Whether the time until `due` may be left out: not past the end of a result that nobody has read."""
        first = await self._store.first_due()
        return first is None or first[0] > due or first[1] not in self._unread
