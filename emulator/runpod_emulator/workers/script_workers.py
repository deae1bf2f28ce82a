"""Guests: scripted workers of an endpoint whose own workers come over HTTP, one for each job that a stub answers."""

from __future__ import annotations

from collections.abc import Container

from runpod_emulator.core.endpoint.faults import Killer
from runpod_emulator.core.endpoint.scripts import Plays
from runpod_emulator.core.endpoint.work import Work as Endpoint
from runpod_emulator.core.fleet.launcher import Launcher
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.workers.scripted import Stage


class WithGuests:
    """The `Launcher` of such an endpoint: `own` brings up its workers, and guests come beside them.

    There are as many guests at once as the endpoint may have workers; each plays one job and leaves.
    """

    over_http = True

    def __init__(self, own: Launcher) -> None:
        self.real = own.real
        self.processes = own.processes
        self._own = own
        self._endpoint: Endpoint | None = None
        self._guests: dict[str, Stage] = {}

    def serve(self, endpoint: Endpoint) -> None:
        """Send guests to this endpoint whenever a job waits that a stub answers."""
        self._endpoint = endpoint
        endpoint.plays.waits = self._invite

    def start(self, worker: str) -> None:
        """Bring up one of its own workers."""
        self._own.start(worker)

    def stop(self, worker: str) -> None:
        """End one of its own workers that holds no job."""
        self._own.stop(worker)

    def replace(self, worker: str) -> None:
        """End one of its own workers; a fresh one takes its place."""
        self._own.replace(worker)

    def retire(self, worker: str) -> None:
        """End one of its own workers when its jobs are over."""
        self._own.retire(worker)

    def stop_job(self, worker: str, job: str, lease: int) -> None:
        """Stop one job, of whichever kind its worker is."""
        guest = self._guests.get(worker)
        if guest is not None:
            guest.stop(job)
        else:
            self._own.stop_job(worker, job, lease)

    def kill(self, worker: str) -> None:
        """Let a worker die in the middle of things; one that nobody here can reach counts as gone."""
        assert self._endpoint is not None
        if worker in self._guests:
            self._leave(worker)
        elif isinstance(self._own, Killer):
            self._own.kill(worker)
        else:
            self._endpoint.later(self._endpoint.worker_gone(worker))

    def _invite(self) -> None:
        endpoint = self._endpoint
        assert endpoint is not None
        if len(self._guests) >= max(1, endpoint.settings.workers_max):
            return
        worker = endpoint.world.ids.worker()
        self._guests[worker] = Stage(endpoint, lambda job: self._leave(worker), lambda: self._leave(worker))
        endpoint.later(self._play(endpoint, worker))

    async def _play(self, endpoint: Endpoint, worker: str) -> None:
        endpoint.fleet.welcome(worker)
        now = endpoint.world.timeline.now()
        jobs = await endpoint.take(worker, 1, now, Caller(), barred=_Unscripted(endpoint.plays))
        stage = self._guests.get(worker)
        for job in jobs:
            play = endpoint.plays.get(job.id)
            if stage is not None and play is not None:
                stage.perform(job, play)
        if not jobs:
            self._leave(worker)

    def _leave(self, worker: str) -> None:
        stage = self._guests.pop(worker, None)
        endpoint = self._endpoint
        if stage is not None and endpoint is not None:
            stage.close()
            endpoint.later(self._left(endpoint, worker))

    async def _left(self, endpoint: Endpoint, worker: str) -> None:
        await endpoint.worker_gone(worker)
        if endpoint.plays.waiting and not endpoint.world.room.closed:
            self._invite()


class _Unscripted(Container[str]):
    """Every job that plays no script."""

    def __init__(self, plays: Plays) -> None:
        self._plays = plays

    def __contains__(self, job_id: object) -> bool:
        return job_id not in self._plays
