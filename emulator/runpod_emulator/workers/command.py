"""Workers that are programs of their own and speak the worker protocol: SDK handlers, an image's command."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runpod_emulator.core.endpoint.polling import OBEY
from runpod_emulator.core.fleet.worker import REPLACED, WorkerState
from runpod_emulator.core.secrets.shown import block
from runpod_emulator.workers.child import CLOSING_GRACE, OWN, STOP_GRACE, Child
from runpod_emulator.workers.environment import joined
from runpod_emulator.workers.isolation import Admit, Gate
from runpod_emulator.workers.ports import Placeholders, Ports, address_taken
from runpod_emulator.workers.reload import python_files
from runpod_emulator.workers.served import PolledJobs

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


class CommandWorker:
    """One program; it is ready with its first poll."""

    def __init__(self, worker: str, endpoint: PolledJobs, command: Command) -> None:
        self.id = worker
        self._endpoint = endpoint
        self._command = command
        self._child = Child(f"{endpoint.id}/{worker}", functools.partial(endpoint.printed, worker))
        self._ended = False
        self._wants_successor = True
        self._in_peace = True
        self._own = Placeholders(worker, command.ports)
        self._gate = Gate(command.admit) if command.admit is not None else None

    async def run(self) -> None:
        """Start the program, wait for its end, report that."""
        try:
            await self._report_end(await self._live())
        finally:
            self._endpoint.polling.left(self.id)

    async def _live(self) -> str:
        """Start the program and wait for its end; returns how that came."""
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
            return f"cannot start in {command.directory or os.getcwd()}: {error.strerror or error}"
        if self._gate is not None:
            self._gate.begin()
        if self._ended:
            self._child.end()
        await self._child.ended()
        self._let_go()
        return f"the worker {self._child.how_it_ended()}"

    def _let_go(self) -> None:
        self._own.release()
        if self._gate is not None:
            self._gate.close()

    def kill(self) -> None:
        """Let the program die as it would of a crash: nobody has asked for it."""
        self._child.kill(signal.SIGKILL)

    def stop(self) -> None:
        """End the program, which holds no job."""
        self._end(self._command.stop_grace)

    def close(self) -> None:
        """End the program soon."""
        self._end(CLOSING_GRACE)

    def _end(self, grace: float | None) -> None:
        """End the program for good; its polls are answered, so that it can leave within `grace` seconds."""
        if not self._ended:
            self._ended = True
            self._endpoint.polling.dismiss(self.id)
        self._child.end(grace)

    def retire(self) -> None:
        """Give it no job more; when those it holds are over, end it."""
        self._wants_successor = False
        self.replace()

    def replace(self) -> None:
        """Give it no job more; when those it holds are over, end it. A fresh one takes its place, unless it retires."""
        if not self._ended:
            self._endpoint.polling.retire(self.id, self._replace)

    def _replace(self) -> None:
        if not self._ended:
            self._end(self._command.stop_grace if self._in_peace else None)
            self._endpoint.later(self._endpoint.worker_gone(self.id, replace=self._wants_successor, reason=REPLACED))

    def stop_job(self, job: str, lease: int) -> None:
        """The program learns of it by polling; unless it lets go of the job in time, it is replaced."""
        asyncio.get_running_loop().call_later(OBEY / 1000, self._check, job)

    def _check(self, job: str) -> None:
        if not self._ended and not self._endpoint.polling.obeyed(self.id, job):
            log.warning("%s: job %s was not stopped within %d s: the worker is replaced",
                        self._endpoint.fleet.numbers.name(self.id), job, OBEY // 1000)  # fmt: skip
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
        log.warning("%s: %s%s", self._endpoint.fleet.numbers.name(self.id), how, block(taken))
        if known is None or known.state is not WorkerState.UNHEALTHY:  # such a one stays in sight
            await self._endpoint.worker_gone(self.id, reason=how.replace("the worker", "it", 1))
