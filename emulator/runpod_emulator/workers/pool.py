"""The workers of one endpoint that we start: the `Launcher` behind its fleet, the same for every kind of worker.

A worker is one task of the event loop, from its start until its end is reported. The pool knows it by
its id, passes on what the fleet wants of it, and keeps its task: a pool that is closed has none left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple, Protocol

log = logging.getLogger("runpod_emulator.worker")


class Kind(NamedTuple):
    """What sets the workers of one kind apart; the attributes of `Launcher` say more."""

    name: str
    over_http: bool = False
    real: bool = True
    processes: bool = True


HANDLER = Kind("handler")
COMMAND = Kind("command", over_http=True)
MOCK = Kind("mock", real=False, processes=False)
LOAD_BALANCER = Kind("load_balancer", over_http=True)


class LocalWorker(Protocol):
    """One worker of ours. Only `run` waits; what else is asked of it may be asked more than once."""

    async def run(self) -> None:
        """Its whole life: returns when it has ended, and the endpoint knows."""
        ...

    def stop(self) -> None:
        """End: it holds no job."""
        ...

    def replace(self) -> None:
        """End, and let a fresh one take its place."""
        ...

    def retire(self) -> None:
        """Take no job more, and end when those that it holds are over."""
        ...

    def kill(self) -> None:
        """Die in the middle of things, as of a crash."""
        ...

    def stop_job(self, job: str, lease: int) -> None:
        """Stop one job that is no longer its own."""
        ...

    def close(self) -> None:
        """End soon, whatever it holds: somebody waits for it."""
        ...


class Pool:
    """Starts and ends the workers of one endpoint; `make` returns the one of this id, which has not begun."""

    start_script_worker = None

    def __init__(self, kind: Kind, make: Callable[[str], LocalWorker]) -> None:
        self.kind = kind.name
        self.over_http = kind.over_http
        self.real = kind.real
        self.processes = kind.processes
        self._make = make
        self._workers: dict[str, LocalWorker] = {}
        self._lives: dict[asyncio.Task[None], LocalWorker] = {}
        """Every worker that has not ended, those that leave too: another of the same id may be there by then."""

    def start(self, worker: str) -> None:
        """Bring up a worker; it reports itself ready or broken."""
        one = self._workers[worker] = self._make(worker)
        life = asyncio.ensure_future(one.run())
        self._lives[life] = one
        life.add_done_callback(lambda task: self._over(worker, task))

    def stop(self, worker: str) -> None:
        """End a worker that holds no job."""
        if worker in self._workers:
            self._workers[worker].stop()

    def replace(self, worker: str) -> None:
        """End a worker that asked for it; a fresh one takes its place."""
        if worker in self._workers:
            self._workers[worker].replace()

    def retire(self, worker: str) -> None:
        """Give a worker no job more, and end it when those that it holds are over."""
        if worker in self._workers:
            self._workers[worker].retire()

    def kill(self, worker: str) -> None:
        """Let a worker die in the middle of things."""
        if worker in self._workers:
            self._workers[worker].kill()

    def stop_job(self, worker: str, job: str, lease: int) -> None:
        """Stop one job."""
        if worker in self._workers:
            self._workers[worker].stop_job(job, lease)

    async def close(self) -> None:
        """End every worker and wait until each is gone."""
        for one in list(self._lives.values()):
            one.close()
        if self._lives:
            await asyncio.wait(self._lives)

    def _over(self, worker: str, task: asyncio.Task[None]) -> None:
        if self._workers.get(worker) is self._lives.pop(task):
            del self._workers[worker]
        if not task.cancelled() and task.exception() is not None:
            log.error("worker %s failed", worker, exc_info=task.exception())
