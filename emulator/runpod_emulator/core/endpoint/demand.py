"""How many of our workers the waiting jobs of an endpoint need.

A job that waits needs none while a script holds it back, or where script workers play what stubs answer; one of low
priority takes a worker that is there and brings none up. Here alone these are told apart.
"""

from __future__ import annotations

from runpod_emulator.core.endpoint.crew import Crew
from runpod_emulator.core.endpoint.scripts import RunningScripts
from runpod_emulator.core.fleet.autoscaler import Autoscaler
from runpod_emulator.core.fleet.fleet import Fleet
from runpod_emulator.core.jobs.store import Counts, JobStore
from runpod_emulator.core.store_errors import Unavailable


class Demand:
    """Follows the jobs of one endpoint, and tells its fleet and its autoscaler."""

    def __init__(
        self, endpoint_id: str, store: JobStore, scripts: RunningScripts, fleet: Fleet, autoscaler: Autoscaler
    ) -> None:
        self._id = endpoint_id
        self._store = store
        self._scripts = scripts
        self._fleet = fleet
        self._autoscaler = autoscaler
        self.crew: Crew | None = None
        """The workers of all servers over the store; None where that is this server's own."""

    async def balance(self, counts: Counts | None = None) -> None:
        """Start the workers that are needed now, and let those go that are not.

        `counts` are what a write of this endpoint has just left; without them the store is asked. One that fails is
        asked again when it is back (`World`).
        """
        if counts is None:
            try:
                counts = await self._store.counts(self._id)
            except Unavailable:
                return
        if self.crew is not None:
            self.crew.looked()
        queued, scaled = self._waiting(counts)
        self._fleet.queued = queued
        if self._fleet.capacity.waiting:
            self._fleet.make_room()
        self._autoscaler.balance(scaled, counts.running)

    async def waiting(self) -> int:
        """How many jobs wait for workers."""
        return self._waiting(await self._store.counts(self._id))[0]

    async def words(self) -> str:
        """What the autoscaler makes of the jobs there are now."""
        counts = await self._store.counts(self._id)
        return self._autoscaler.words(self._waiting(counts)[1], counts.running)

    def _waiting(self, counts: Counts) -> tuple[int, int]:
        """How many jobs wait for workers, and how many of them may bring one up."""
        queued, scaled = counts.queued - counts.held, counts.queued - counts.queued_unscaled
        if self._scripts.waits is not None:
            return queued - counts.scripted, scaled - counts.scripted_scaled
        return queued, scaled
