"""Workers that are programs of their own and speak the worker protocol: SDK handlers, an image's command."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runpod_emulator.core.endpoint.polling import OBEY
from runpod_emulator.core.endpoint.work import Work as Endpoint
from runpod_emulator.core.fleet.worker import WorkerState
from runpod_emulator.core.secrets.shown import block
from runpod_emulator.workers.child import CLOSING_GRACE, OWN, STOP_GRACE, Child
from runpod_emulator.workers.environment import joined
from runpod_emulator.workers.isolation import Admit, Gate
from runpod_emulator.workers.ports import Placeholders, Ports, address_taken
from runpod_emulator.workers.reload import python_files

log = logging.getLogger("runpod_emulator.worker")


@dataclass(frozen=True, slots=True)
class Command:
    """What a command worker runs. `environment(worker)` gives the variables of the worker protocol."""

    words: Sequence[str]
    environment: Callable[[str], Mapping[str, str]]
    directory: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    reload: bool = False
    """Whether the folders of its Python files are watched."""
    advice: str = ""
    """What to look at when it can't be started."""
    stop_grace: float = STOP_GRACE
    """Seconds that a worker has to leave when nobody waits for it."""
    ports: Ports = field(default_factory=Ports)
    """Where ports of a worker's own come from."""
    admit: Admit | None = None
    """Lets in what a worker sends that has a network of its own; None where workers share this machine's."""

    def files(self) -> list[str]:
        """Every Python file below the folders of those that the command names."""
        here = Path(self.directory or ".").absolute()
        scripts = [here / word for word in self.words if word.endswith(".py")]
        folders = {script.parent for script in scripts if script.is_file()}
        return [file for folder in folders for file in python_files(folder)]


class CommandPool:
    """Starts and ends the command workers of one endpoint: the `Launcher` behind its fleet."""

    over_http = True
    real = True
    processes = True

    def __init__(self, command: Command) -> None:
        self._command = command
        self._endpoint: Endpoint | None = None
        self._workers: dict[str, _CommandWorker] = {}
        self._lives: set[asyncio.Task[None]] = set()

    def serve(self, endpoint: Endpoint) -> None:
        """Work for this endpoint."""
        self._endpoint = endpoint

    def start(self, worker: str) -> None:
        """Bring up a program; it is ready with its first poll."""
        assert self._endpoint is not None
        running = self._workers[worker] = _CommandWorker(worker, self._endpoint, self._command)
        life = asyncio.ensure_future(running.run())
        self._lives.add(life)
        life.add_done_callback(lambda task: self._over(worker, task))

    def stop(self, worker: str) -> None:
        """End a program that holds no job."""
        running = self._workers.get(worker)
        if running is not None:
            running.end(self._command.stop_grace)

    def replace(self, worker: str) -> None:
        """End a program that asked for it, once its other jobs are over; a fresh one takes its place."""
        running = self._workers.get(worker)
        if running is not None:
            running.replace()

    def retire(self, worker: str) -> None:
        """Give a program no job more, and end it when those that it holds are over."""
        running = self._workers.get(worker)
        if running is not None:
            running.replace(successor=False)

    def kill(self, worker: str) -> None:
        """Let a program die in the middle of things."""
        running = self._workers.get(worker)
        if running is not None:
            running.kill()

    def stop_job(self, worker: str, job: str, lease: int) -> None:
        """The program learns of it by polling; when it does not obey in time, it is replaced."""
        running = self._workers.get(worker)
        if running is not None:
            running.expect_obedience(job)

    async def close(self) -> None:
        """End every program and wait until each is gone."""
        for running in list(self._workers.values()):
            running.end(CLOSING_GRACE)
        if self._lives:
            await asyncio.wait(self._lives)

    def _over(self, worker: str, task: asyncio.Task[None]) -> None:
        self._lives.discard(task)
        self._workers.pop(worker, None)
        if self._endpoint is not None:
            self._endpoint.polling.left(worker)
        if not task.cancelled() and task.exception() is not None:
            log.error("worker %s failed", worker, exc_info=task.exception())


class Nobody:
    """The launcher of an endpoint whose workers are started elsewhere: there is nothing it could do."""

    over_http = True
    real = False
    processes = False

    def start(self, worker: str) -> None:
        """Never asked: such an endpoint starts no worker."""

    def stop(self, worker: str) -> None:
        """Never asked: a worker that is not ours is not stopped."""

    def replace(self, worker: str) -> None:
        """Whoever started the worker must replace it."""
        log.warning("worker %s asked to be replaced by a fresh one: restart it where it was started", worker)

    def retire(self, worker: str) -> None:
        """Never asked: a worker that is not ours has no code of ours."""

    def stop_job(self, worker: str, job: str, lease: int) -> None:
        """The worker learns of it by polling."""


class _CommandWorker:
    """One program; `run` is its whole life."""

    def __init__(self, worker: str, endpoint: Endpoint, command: Command) -> None:
        self.id = worker
        self._endpoint = endpoint
        self._command = command
        self._child = Child(lambda job: f"{endpoint.id}/{worker}")
        self._ended = False
        self._wants_successor = True
        self._in_peace = True
        self._own = Placeholders(worker, command.ports)
        self._gate = Gate(command.admit) if command.admit is not None else None

    async def run(self) -> None:
        """Start the program, wait for its end, report that."""
        command = self._command
        environment = joined(command.environment(self.id), self._own.fill_all(command.extra))
        arguments: tuple[str, ...] = ("--program", *map(self._own.fill, command.words))
        descriptors: tuple[int, ...] = ()
        if self._gate is not None:
            arguments, descriptors = (*self._gate.arguments, *arguments), (self._gate.theirs.fileno(),)
        try:
            await self._child.start(OWN, arguments, environment, descriptors, command.directory)
        except OSError as error:
            self._let_go()
            await self._report_end(f"cannot start in {command.directory or os.getcwd()}: {error.strerror or error}")
            return
        if self._gate is not None:
            self._gate.begin()
        if self._ended:
            self._child.end()
        await self._child.ended()
        self._let_go()
        await self._report_end(f"the worker {self._child.how_it_ended()}")

    def _let_go(self) -> None:
        self._own.release()
        if self._gate is not None:
            self._gate.close()

    def kill(self) -> None:
        """Let the program die as it would of a crash: nobody has asked for it."""
        self._child.kill(signal.SIGKILL)

    def end(self, grace: float | None) -> None:
        """End the program for good; its polls are answered, so that it can leave within `grace` seconds."""
        self._ended = True
        self._endpoint.polling.dismiss(self.id)
        self._child.end(grace)

    def replace(self, successor: bool = True) -> None:
        """Give it no job more; when those it holds are over, end it. A `successor` takes its place."""
        self._wants_successor = self._wants_successor and successor
        if not self._ended:
            self._endpoint.polling.retire(self.id, self._replace)

    def _replace(self) -> None:
        if not self._ended:
            self.end(self._command.stop_grace if self._in_peace else None)
            self._endpoint.later(self._endpoint.worker_gone(self.id, replace=self._wants_successor))

    def expect_obedience(self, job: str) -> None:
        """Replace the program unless it lets go of the job in time."""
        asyncio.get_running_loop().call_later(OBEY / 1000, self._check, job)

    def _check(self, job: str) -> None:
        if not self._ended and not self._endpoint.polling.obeyed(self.id, job):
            log.warning("%s/%s: job %s was not stopped within %d s: the worker is replaced",
                        self._endpoint.id, self.id, job, OBEY // 1000)  # fmt: skip
            self._in_peace = False  # it goes on with what nobody wants
            self.replace()

    async def _report_end(self, how: str) -> None:
        if self._ended:
            return
        self._ended = True
        known = self._endpoint.fleet.workers.get(self.id)
        reason = "\n".join((*self._child.last_lines, how))
        taken = address_taken(reason)
        if known is not None and known.is_coming_up:
            advice = taken + (self._command.advice and f"\n{self._command.advice}")
            text = f"command {' '.join(self._command.words)} could not be started:\n{reason}{advice}"
            await self._endpoint.worker_broken(self.id, text)
            return
        log.warning("%s/%s: %s%s", self._endpoint.id, self.id, how, block(taken))
        if known is None or known.state is not WorkerState.UNHEALTHY:  # such a one stays in sight
            await self._endpoint.worker_gone(self.id)
