"""The worker processes of one endpoint: the `Launcher` behind its fleet."""

from __future__ import annotations

import asyncio
import logging

from runpod_emulator.core.endpoint.work import Work as Endpoint
from runpod_emulator.workers.child import CLOSING_GRACE
from runpod_emulator.workers.process import WorkerProcess
from runpod_emulator.workers.program import Program

log = logging.getLogger("runpod_emulator.worker")


class Pool:
    """Starts and ends worker processes of one program."""

    over_http = False
    real = True
    processes = True

    def __init__(self, program: Program) -> None:
        self._program = program
        self._endpoint: Endpoint | None = None
        self._processes: dict[str, WorkerProcess] = {}
        self._lives: set[asyncio.Task[None]] = set()

    def serve(self, endpoint: Endpoint) -> None:
        """Work for this endpoint."""
        self._endpoint = endpoint

    def start(self, worker: str) -> None:
        """Bring up a process; it reports itself ready or broken."""
        assert self._endpoint is not None
        process = WorkerProcess(worker, self._endpoint, self._program)
        self._processes[worker] = process
        life = asyncio.ensure_future(process.run())
        self._lives.add(life)
        life.add_done_callback(lambda task: self._over(worker, task))

    def stop(self, worker: str) -> None:
        """End a process that holds no job."""
        process = self._processes.get(worker)
        if process is not None:
            process.end(self._program.stop_grace)

    def replace(self, worker: str) -> None:
        """End a process that asked for it; a fresh one takes its place."""
        process = self._processes.get(worker)
        if process is not None:
            process.replace()

    def retire(self, worker: str) -> None:
        """Give a process no job more, and end it when those that it holds are over."""
        process = self._processes.get(worker)
        if process is not None:
            process.retire()

    def kill(self, worker: str) -> None:
        """Let a process die in the middle of things."""
        process = self._processes.get(worker)
        if process is not None:
            process.kill()

    def stop_job(self, worker: str, job: str, lease: int) -> None:
        """Stop one job."""
        process = self._processes.get(worker)
        if process is not None:
            process.stop_job(job, lease)

    async def close(self) -> None:
        """End every process and wait until each is gone."""
        for process in list(self._processes.values()):
            process.end(CLOSING_GRACE)
        if self._lives:
            await asyncio.wait(self._lives)

    def _over(self, worker: str, task: asyncio.Task[None]) -> None:
        self._lives.discard(task)
        self._processes.pop(worker, None)
        if (
            not task.cancelled()
            and isinstance(task.exception(), Exception)
            and not isinstance(task.exception(), OSError)
        ):
            log.error("worker %s failed", worker, exc_info=task.exception())
