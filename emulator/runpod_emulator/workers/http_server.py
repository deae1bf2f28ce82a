"""Workers that are HTTP servers of their own, behind the load balancer: an ASGI application, or any command."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from runpod_emulator.core.secrets.shown import block
from runpod_emulator.values import file_of
from runpod_emulator.workers.child import OWN, RUNNER, STOP_GRACE, Child
from runpod_emulator.workers.environment import inherited
from runpod_emulator.workers.ports import Placeholders, Ports, address_taken
from runpod_emulator.workers.reload import python_files
from runpod_emulator.workers.served import BalancedRequests

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger("runpod_emulator.worker")

HEALTH_PATH = "/ping"
"""Where health checks go, unless HEALTH_CHECK_PATH among the endpoint's variables says otherwise."""
_EAGER = 0.05
"""Seconds between the first two health checks of a worker; further pauses grow to the usual ones."""
_SLOWER = 1.2
PATIENCE = 5.0
"""Seconds that a health check may take."""
HINT_AFTER = 3.0
"""Seconds after which the log says what a worker is waited for."""


@dataclass(frozen=True, slots=True)
class HttpServer:
    """What a load-balancing worker runs: an ASGI `app` in an interpreter, or the words of a command.

    `environment(worker, port, health_port, health_path)` gives the variables of the load balancer's contract.
    """

    environment: Callable[[str, int, int, str], Mapping[str, str]]
    app: str = ""
    words: Sequence[str] = ()
    python: str = sys.executable
    directory: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    reload: bool = False
    """Whether the folder of its code is watched."""
    stop_grace: float = STOP_GRACE
    """Seconds that a worker has to leave when nobody waits for it."""
    ports: Ports = field(default_factory=Ports)
    """Where ports of a worker's own come from."""
    folder: str | None = None
    """The folder of its code, where that is not the one of the application's file, or of the command's."""
    shown: str = ""
    """What people are told that it runs, where the application is not their own file."""

    @property
    def health_path(self) -> str:
        """The path of health checks."""
        path = self.extra.get("HEALTH_CHECK_PATH") or HEALTH_PATH
        return path if path.startswith("/") else f"/{path}"

    def health_port(self, own: Placeholders) -> int:
        """The port of a worker's health checks: what PORT_HEALTH among the endpoint's variables says, else its own.

        Where PORT has the same value there, as on RunPod, both mean the worker's own port.
        """
        given = self.extra.get("PORT_HEALTH", "")
        return own.port if not given or given == self.extra.get("PORT") else int(own.fill(given))

    def command(self, port: int, health_port: int) -> Sequence[str]:
        """The program and its arguments, in which `$PORT` and `$PORT_HEALTH` stand for the ports."""
        if self.app:
            return self.python, str(RUNNER), "--asgi", self.app, str(port)
        return [Template(word).safe_substitute(PORT=port, PORT_HEALTH=health_port) for word in self.words]

    def files(self) -> list[str]:
        """Every Python file below the folder of the application, or of the files that the command names."""
        if self.folder is not None:
            return python_files(Path(self.folder))
        here = Path(self.directory or ".").absolute()
        named = [file_of(self.app) or ""] if self.app else [word for word in self.words if word.endswith(".py")]
        folders = {(here / file).parent for file in named if file and (here / file).is_file()}
        return [file for folder in folders for file in python_files(folder)]

    def __str__(self) -> str:
        return self.shown or self.app or " ".join(self.words)


class _HealthChecks:
    """Asks one server how it is."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def status(self, url: str) -> int:
        """The status of a health check, 0 for no answer."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE))
        try:
            async with self._session.get(url, allow_redirects=False) as answer:
                return answer.status
        except (aiohttp.ClientError, asyncio.TimeoutError, OSError):
            return 0

    async def close(self) -> None:
        """Ask no more."""
        if self._session is not None:
            await self._session.close()


class ServerWorker:
    """One server; it is ready when its health check says so."""

    def __init__(self, worker: str, balancer: BalancedRequests, server: HttpServer) -> None:
        self.id = worker
        self._balancer = balancer
        self._server = server
        self._checks = _HealthChecks()
        self._own = Placeholders(worker, server.ports)
        self._port = self._own.port
        self._health_port = server.health_port(self._own)
        self._child = Child(f"{balancer.id}/{worker}", functools.partial(balancer.printed, worker))
        self._ended = False

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    async def run(self) -> None:
        """Start the program, look after its health until it ends, report that."""
        await self._report_end(await self._live())

    async def _live(self) -> str:
        """Start the program and look after its health until it ends; returns how that came."""
        server = self._server
        environment = {
            **inherited(),
            **self._own.fill_all(server.extra),
            **server.environment(self.id, self._port, self._health_port, server.health_path),
            "PYTHONUNBUFFERED": "1",
        }
        try:
            arguments = ("--program", *map(self._own.fill, server.command(self._port, self._health_port)))
            await self._child.start(OWN, arguments, environment, (), server.directory)
        except OSError as error:
            self._own.release()
            return f"cannot start in {server.directory or os.getcwd()}: {error.strerror or error}"
        if self._ended:
            self._child.end()
        life = asyncio.ensure_future(self._child.ended())
        try:
            await self._look_after(life)
        finally:
            await self._checks.close()
        await life
        self._own.release()
        return f"the worker {self._child.how_it_ended()}"

    def stop(self) -> None:
        """End the server, which answers no request; it can be resumed."""
        if not self._ended:
            self._end(self._server.stop_grace)
            self._balancer.worker_stopped(self.id)

    def close(self) -> None:
        """End the server soon."""
        self._end(None)

    def _end(self, grace: float | None) -> None:
        self._ended = True
        self._child.end(grace)

    def replace(self) -> None:
        """Never asked: such a worker asks for nothing."""

    def retire(self) -> None:
        """It is stopped when its last request is answered."""

    def stop_job(self, job: str, lease: int) -> None:
        """Never asked: there are no jobs."""

    def kill(self) -> None:
        """Let the server die as it would of a crash: nobody has asked for it."""
        self._child.kill(signal.SIGKILL)

    async def _look_after(self, life: asyncio.Future[None]) -> None:
        loop = asyncio.get_running_loop()
        hint_at, pause = loop.time() + HINT_AFTER, _EAGER
        while not (life.done() or self._ended):
            status = await self._checks.status(f"http://127.0.0.1:{self._health_port}{self._server.health_path}")
            if self._ended or life.done():
                return
            await self._judge(status)
            usual = self._balancer.platform.ping_interval / 1000
            if self._is_coming and loop.time() > hint_at:
                hint_at = float("inf")
                self._hint(status)
            pause = min(pause * _SLOWER, usual) if self._is_coming else usual
            await asyncio.wait({life}, timeout=pause)

    async def _judge(self, status: int) -> None:
        """200 is healthy, 204 on the way there; anything but 200 makes a healthy worker leave."""
        if status == 200:
            await self._balancer.worker_healthy(self.id, self.address)
            return
        if status == 204:
            self._balancer.worker_starting(self.id)
        reason = f"its health check {self._server.health_path} " + (f"answers {status}" if status else "fails")
        await self._balancer.worker_ill(self.id, reason)

    @property
    def _is_coming(self) -> bool:
        known = self._balancer.fleet.workers.get(self.id)
        return known is not None and known.is_coming_up

    def _hint(self, status: int) -> None:
        said = f"answers {status}" if status else "gives no answer"
        log.warning(
            "%s: waiting for 200 from GET %s on port %d (%s); it %s",
            self._balancer.fleet.numbers.name(self.id), self._server.health_path, self._health_port,
            "$PORT" if self._health_port == self._port else "$PORT_HEALTH", said,
        )  # fmt: skip

    async def _report_end(self, how: str) -> None:
        if self._ended:
            return
        self._ended = True
        known = self._balancer.fleet.workers.get(self.id)
        reason = "\n".join((*self._child.last_lines, how))
        taken = address_taken(reason)
        if known is not None and known.is_coming_up:
            text = f"server {self._server} could not be started:\n{reason}{taken}"
            await self._balancer.worker_broken(self.id, text)
            return
        log.warning("%s: %s%s", self._balancer.fleet.numbers.name(self.id), how, block(taken))
        await self._balancer.worker_gone(self.id, how.replace("the worker", "it", 1))
