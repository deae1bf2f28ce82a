"""Script workers: those of an endpoint whose own workers come over HTTP, one for each job that a stub answers."""

from __future__ import annotations

from runpod_emulator.core.jobs.store import patiently
from runpod_emulator.core.time.waiting import Caller
from runpod_emulator.workers.elsewhere import WorkersElsewhere
from runpod_emulator.workers.pool import Pool
from runpod_emulator.workers.scripted import Stage
from runpod_emulator.workers.served import FleetOfJobs


class WithScriptWorkers:
    """The `Launcher` of such an endpoint: `own` brings up its workers, and script workers come beside them.

    There are as many script workers at once as the endpoint may have workers; each plays one job and leaves.
    """

    over_http = True

    def __init__(self, endpoint: FleetOfJobs, own: Pool | WorkersElsewhere) -> None:
        self.kind = own.kind
        self.real = own.real
        self.processes = own.processes
        self._endpoint = endpoint
        self._own = own
        self._stages: dict[str, Stage] = {}
        """Where each script worker plays its job."""

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
        stage = self._stages.get(worker)
        if stage is not None:
            stage.stop(job)
        else:
            self._own.stop_job(worker, job, lease)

    def kill(self, worker: str) -> None:
        """Let a worker die in the middle of things."""
        if worker in self._stages:
            self._leave(worker)
        else:
            self._own.kill(worker)

    async def close(self) -> None:
        """End its own workers and wait until each is gone; script workers leave with their jobs."""
        await self._own.close()

    def start_script_worker(self) -> None:
        """Bring a script worker for a job that waits, unless there are enough."""
        endpoint = self._endpoint
        if len(self._stages) >= max(1, endpoint.settings.workers_max):
            return
        worker = endpoint.shared.ids.worker()
        self._stages[worker] = Stage(endpoint, lambda job: self._leave(worker), lambda: self._leave(worker))
        endpoint.later(self._play(worker))

    async def _play(self, worker: str) -> None:
        endpoint = self._endpoint
        endpoint.fleet.welcome(worker)
        now = endpoint.shared.timeline.now()
        jobs = await endpoint.take(worker, 1, now, Caller(), scripted=True)
        stage = self._stages.get(worker)
        for job in jobs:
            running = endpoint.scripts.get(job)
            if stage is not None and running is not None:
                stage.perform(job, running)
        if not jobs:
            self._leave(worker)

    def _leave(self, worker: str) -> None:
        stage = self._stages.pop(worker, None)
        if stage is not None:
            stage.close()
            self._endpoint.later(self._left(worker))

    async def _left(self, worker: str) -> None:
        endpoint = self._endpoint
        await endpoint.worker_gone(worker)
        store = endpoint.shared.store
        counts = await patiently(store, lambda: store.counts(endpoint.id))
        if counts.scripted and not endpoint.shared.room.closed:
            self.start_script_worker()
