"""Workers that are started elsewhere, and come over HTTP."""

from __future__ import annotations

import logging

from runpod_emulator.workers.served import GoneWorkers

log = logging.getLogger("runpod_emulator.worker")


class WorkersElsewhere:
    """The `Launcher` of an endpoint whose workers are started elsewhere: there is hardly anything it could do."""

    kind = "remote"
    over_http = True
    real = False
    processes = False
    start_script_worker = None

    def __init__(self, endpoint: GoneWorkers) -> None:
        self._endpoint = endpoint

    def start(self, worker: str) -> None:
        """Never asked: such an endpoint starts no worker."""

    def stop(self, worker: str) -> None:
        """Never asked: a worker that is not ours is not stopped."""

    def replace(self, worker: str) -> None:
        """Whoever started the worker must replace it."""
        log.warning("worker %s asked to be replaced by a fresh one: restart it where it was started", worker)

    def retire(self, worker: str) -> None:
        """Never asked: a worker that is not ours has no code of ours."""

    def kill(self, worker: str) -> None:
        """Nobody here can reach the worker: it counts as gone."""
        self._endpoint.later(self._endpoint.worker_gone(worker))

    def stop_job(self, worker: str, job: str, lease: int) -> None:
        """The worker learns of it by polling."""

    async def close(self) -> None:
        """None of them is ours."""
