"""The endpoints of one world, and what serves each of them."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from runpod_emulator.core.balancer_errors import QueueCall, WrongKind
from runpod_emulator.core.endpoint.balancer import Balancer
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.endpoint.shared import Shared
from runpod_emulator.core.endpoint.work import Work
from runpod_emulator.core.endpoint.workforce import Workforce
from runpod_emulator.core.errors import ConfigurationError, EndpointNotFound
from runpod_emulator.core.fleet.launcher import Launcher
from runpod_emulator.core.mocks.script import Reply
from runpod_emulator.core.secrets.shown import block
from runpod_emulator.core.settings import ONLY_BALANCED, EndpointSettings, checked, default_settings, of_batches
from runpod_emulator.workers.command import Command, CommandWorker
from runpod_emulator.workers.elsewhere import WorkersElsewhere
from runpod_emulator.workers.functions import NOTHING, Function, Handler
from runpod_emulator.workers.http_server import HttpServer, ServerWorker
from runpod_emulator.workers.pool import COMMAND, HANDLER, LOAD_BALANCER, MOCK, Pool
from runpod_emulator.workers.process import WorkerProcess
from runpod_emulator.workers.program import Program
from runpod_emulator.workers.reload import Reloader
from runpod_emulator.workers.script_workers import WithScriptWorkers
from runpod_emulator.workers.scripted import ScriptedWorker
from runpod_emulator.world.batches import Batches
from runpod_emulator.world.deployments import Deployments
from runpod_emulator.world.flaws import Flaws
from runpod_emulator.world.starts import Starts
from runpod_emulator.world.templates import Templates

log = logging.getLogger("runpod_emulator")


class Served(NamedTuple):
    """What the workers of an endpoint run: a handler or an application, or the words of a command."""

    text: str
    handler: str = ""
    """The handler, or the Python file that the command names; "" for none."""
    directory: str | None = None
    python: str = ""
    """The interpreter of a handler."""


class Endpoints(Mapping[str, Endpoint | Balancer]):
    """The endpoints of one world by their ids, queue-based ones first: adds, starts, changes and removes them.

    `removed` are told the id of each that was taken away, once the store has forgotten its jobs.
    """

    def __init__(self, shared: Shared, removed: Iterable[Callable[[str], None]] = ()) -> None:
        self.queues: dict[str, Endpoint] = {}
        """The queue-based endpoints."""
        self.balancers: dict[str, Balancer] = {}
        """The load-balancing endpoints, which have no queue."""
        self.programs: dict[str, Served] = {}
        """What the workers of an endpoint run, where there is something."""
        self.templates = Templates()
        """What clients make endpoints from."""
        self._shared = shared
        self._removed = removed
        self._handlers: dict[str, Handler] = {}
        """What runs the jobs of mock endpoints that no stub answers."""
        self._launches: dict[str, Callable[[Work], Launcher]] = {}
        """How the workers of each queue are brought up."""
        self.batches = Batches(shared, self._for_batches)
        self._reloader = Reloader()
        self.flaws = Flaws(self, self._reloader)
        self.starts = Starts(self.get)
        self.deployments = Deployments(shared.timeline.now, shared.ids.worker, self._workforce, self._reloader.renew)

    # Which there are

    def __getitem__(self, endpoint_id: str) -> Endpoint | Balancer:
        return self.queues.get(endpoint_id) or self.balancers[endpoint_id]

    def __iter__(self) -> Iterator[str]:
        yield from self.queues
        yield from self.balancers

    def __len__(self) -> int:
        return len(self.queues) + len(self.balancers)

    def queue(self, endpoint_id: str, verb: str = "run") -> Endpoint:
        """The queue-based endpoint of this id, for a call of `verb`; raises EndpointNotFound, QueueCall."""
        try:
            return self.queues[endpoint_id]
        except KeyError:
            raise (QueueCall(verb) if endpoint_id in self.balancers else EndpointNotFound()) from None

    def balancer(self, endpoint_id: str) -> Balancer:
        """The load-balancing endpoint of this id; raises EndpointNotFound, WrongKind."""
        try:
            return self.balancers[endpoint_id]
        except KeyError:
            raise (WrongKind if endpoint_id in self.queues else EndpointNotFound) from None

    def any(self, endpoint_id: str) -> Endpoint | Balancer:
        """The endpoint of this id, of either kind; raises EndpointNotFound."""
        return self.balancers.get(endpoint_id) or self.queue(endpoint_id)

    def beside(self, endpoint_id: str) -> list[str]:
        """The queue that runs the batches of this endpoint, if it has any."""
        return [queue for queue in (of_batches(endpoint_id),) if queue in self.queues]

    # New ones

    def _for_batches(self, endpoint_id: str) -> Endpoint:
        """The queue that runs the batches of an endpoint, with workers of its own; raises EndpointNotFound, QueueCall.

        It is there from the first batch until a reset. Its workers do not stay when they are idle, so newer code of the
        handler is that of the next ones.
        """
        of_all = self.queue(endpoint_id, "batch")
        most = (
            of_all.settings.workers_max
            if of_all.settings.batch_workers_max is None
            else of_all.settings.batch_workers_max
        )
        settings = dataclasses.replace(
            of_all.settings, id=of_batches(endpoint_id), workers_min=0, workers_max=most, keeps_warm=False, flash=None
        )
        queue = self.queues.get(settings.id)
        if queue is None:
            queue = self.add(settings, self._launches[endpoint_id])
            self.starts.let_pass(settings.id)
            queue.workforce.begin()
        queue.scripts.has_handler = of_all.scripts.has_handler
        return queue

    def add(
        self,
        settings: EndpointSettings,
        launch: Callable[[Work], Launcher],
        again: Callable[[], Endpoint] | None = None,
        variables: dict[str, str] | None = None,
    ) -> Endpoint:
        """A new endpoint; `launch` returns who brings its workers up. Raises ConfigurationError if its id is taken.

        `launch` is given what workers need of the endpoint before that is complete: it only keeps it. `again`
        adds the endpoint once more, by default in this way. Its workers have the `variables`, which may change.
        """
        self._check_new(settings.id)
        endpoint = self.queues[settings.id] = Endpoint(settings, self._shared, launch)
        self.deployments.added(settings.id, "QUEUE", variables)
        self._launches[settings.id] = launch
        self.starts.added(settings.id, settings, again or (lambda: self.add(settings, launch)))
        return endpoint

    def add_program(self, settings: EndpointSettings, given: Program) -> Endpoint:
        """A new endpoint that is served by worker processes."""
        variables = dict(given.environment)
        program = dataclasses.replace(given, environment=variables)
        if program.folder is not None:
            imported = functools.partial(self._reloader.imported, settings.id)
            program = dataclasses.replace(program, imported=imported)
        endpoint = self.add(
            _warm(settings, program.folder is not None),
            lambda work: Pool(HANDLER, lambda worker: WorkerProcess(worker, work, program)),
            again=lambda: self.add_program(settings, given),
            variables=variables,
        )
        self.programs[settings.id] = Served(
            program.shown or program.handler,
            "" if program.shown else program.handler,
            program.directory,
            program.python,
        )
        if program.folder is not None:
            self._reloader.add(endpoint.workforce, program.files)
        return endpoint

    def add_command(self, settings: EndpointSettings, given: Command) -> Endpoint:
        """A new endpoint that is served by programs we start."""
        variables = dict(given.extra)
        command = dataclasses.replace(given, extra=variables)

        def launch(work: Work) -> WithScriptWorkers:
            return WithScriptWorkers(work, Pool(COMMAND, lambda worker: CommandWorker(worker, work, command)))

        endpoint = self.add(
            _warm(settings, command.reload),
            launch,
            again=lambda: self.add_command(settings, given),
            variables=variables,
        )
        file = next((word for word in command.words if word.endswith(".py")), "")
        self.programs[settings.id] = Served(shlex.join(command.words), file, command.directory)
        if command.reload:
            self._reloader.add(endpoint.workforce, command.files)
        return endpoint

    def add_mock(self, settings: EndpointSettings, concurrency: int = 1, model: Reply | None = None) -> Endpoint:
        """A new endpoint whose jobs only stubs answer, and the `model` those that none of them does."""
        handler = Handler()
        endpoint = self.add(
            dataclasses.replace(settings, mock=True),
            lambda work: Pool(MOCK, lambda worker: ScriptedWorker(worker, work, concurrency, handler)),
            again=lambda: self.add_mock(settings, concurrency, model),
        )
        endpoint.scripts.model = model
        self._handlers[settings.id] = handler
        return endpoint

    def add_mock_now(self, endpoint_id: str) -> Endpoint:
        """A new mock endpoint while the server runs, with the platform's defaults; raises ConfigurationError."""
        endpoint = self.add_mock(default_settings(endpoint_id, self._shared.platform))
        endpoint.workforce.begin()
        return endpoint

    def add_remote(self, settings: EndpointSettings) -> Endpoint:
        """A new endpoint that only workers started elsewhere serve."""
        return self.add(
            dataclasses.replace(settings, workers_min=0, starts_workers=False),
            lambda work: WithScriptWorkers(work, WorkersElsewhere(work)),
        )

    def add_balancer(self, settings: EndpointSettings, given: HttpServer) -> Balancer:
        """A new load-balancing endpoint, whose workers are HTTP servers."""
        self._check_new(settings.id)
        variables = dict(given.extra)
        server = dataclasses.replace(given, extra=variables)
        balancer = self.balancers[settings.id] = Balancer(
            _warm(settings, server.reload),
            self._shared,
            lambda balancer: Pool(LOAD_BALANCER, lambda worker: ServerWorker(worker, balancer, server)),
        )
        self.programs[settings.id] = Served(
            server.shown or server.app or shlex.join(server.words), directory=server.directory
        )
        self.deployments.added(settings.id, "LOAD_BALANCER", variables)
        self.starts.added(settings.id, balancer.settings, lambda: self.add_balancer(settings, given))
        if server.reload:
            self._reloader.add(balancer.workforce, server.files)
        return balancer

    def add_function(self, endpoint_id: str, function: Function) -> None:
        """Let a function of this process run what no stub answers, until the next reset; raises ConfigurationError."""
        if endpoint_id not in self:
            self.add_mock_now(endpoint_id)
            self.starts.let_pass(endpoint_id)
        handler = self._handlers.get(endpoint_id)
        if handler is None:
            raise ConfigurationError(f"endpoint {endpoint_id} has a handler of its own: give the function another id")
        handler.function = function
        self.queues[endpoint_id].scripts.has_handler = True

    def _drop_functions(self) -> None:
        """Let no function of this process run jobs any more."""
        for endpoint_id, handler in self._handlers.items():
            handler.function = NOTHING
            self.queues[endpoint_id].scripts.has_handler = False

    def _workforce(self, endpoint_id: str) -> Workforce | None:
        endpoint = self.get(endpoint_id)
        return None if endpoint is None else endpoint.workforce

    def _check_new(self, endpoint_id: str) -> None:
        if endpoint_id in self:
            raise ConfigurationError(f"two handlers for endpoint {endpoint_id}: name one with --endpoint ID=HANDLER")

    # Their lives

    async def start(self, lenient: bool = False) -> None:
        """Start each endpoint's first worker, all in parallel, and wait until every one is up.

        Raises ConfigurationError when a handler cannot be imported; if `lenient`, that is
        logged, and the endpoint waits for a change of its files.
        """
        self._reloader.start()
        endpoints = dict(self)
        checks = (endpoint.workforce.first_worker() for endpoint in endpoints.values())
        outcomes = await asyncio.gather(*checks, return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        for failure in failures:
            if not (lenient and isinstance(failure, ConfigurationError)):
                raise failure
            log.error("%s", block(str(failure)))
        for endpoint, outcome in zip(endpoints, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                self._reloader.failed(endpoint)

    async def start_one(self, endpoint_id: str) -> None:
        """Start the first worker of an endpoint that was added to a world at work.

        Raises ConfigurationError when its handler cannot be imported; then nobody serves it.
        """
        self._reloader.start()
        try:
            await self.any(endpoint_id).workforce.first_worker()
        except ConfigurationError:
            await self.remove(endpoint_id)
            raise

    def open(self, *endpoint_ids: str) -> None:
        """Begin with these, or all, without waiting: workers come with work, and what goes wrong is logged."""
        self._reloader.start()
        for endpoint_id in endpoint_ids or tuple(self):
            self.any(endpoint_id).workforce.begin()

    async def configure(self, endpoint_id: str, **changes: Any) -> None:
        """Change settings of an endpoint at work; raises EndpointNotFound, ConfigurationError."""
        endpoint = self.any(endpoint_id)
        if "worker_capacity" in changes and endpoint_id not in self.balancers:
            raise ConfigurationError(f"worker_capacity: {ONLY_BALANCED}")
        await endpoint.configure(checked(dataclasses.replace(endpoint.settings, **changes), self._shared.platform))

    async def remove(self, endpoint_id: str) -> None:
        """Serve an endpoint no more: its jobs are cancelled and forgotten, its workers end. Raises EndpointNotFound.

        What it owes to webhooks is sent all the same.
        """
        endpoint = self.any(endpoint_id)
        await endpoint.close()
        if self.get(endpoint_id) is not endpoint:
            return  # somebody else was faster
        await self._shared.store.drop(endpoint_id)
        await self._shared.counter.clear(endpoint_id)
        for removed in self._removed:
            removed(endpoint_id)
        self.queues.pop(endpoint_id, None)
        self.balancers.pop(endpoint_id, None)
        self._reloader.forget(endpoint_id)
        self._handlers.pop(endpoint_id, None)
        self.programs.pop(endpoint_id, None)
        self._launches.pop(endpoint_id, None)
        self.starts.removed(endpoint_id)
        self.deployments.removed(endpoint_id)
        await endpoint.workforce.launcher.close()
        endpoint.leave()
        for queue in self.beside(endpoint_id):
            await self.remove(queue)

    async def restore(self) -> None:
        """Let each endpoint be what it was as it was added, and bring back those of the start; functions go."""
        self._drop_functions()
        await self.starts.restore()
        self.deployments.restore()

    async def end_workers(self) -> None:
        """Start nothing any more, and end every worker but HTTP servers, which may still answer open requests."""
        await self._reloader.close()
        for endpoint in self.values():
            endpoint.autoscaler.stop()
        await asyncio.gather(*(endpoint.workforce.launcher.close() for endpoint in self.queues.values()))

    async def stop(self) -> None:
        """Start nothing any more, end every worker, and give the places of all back to the server."""
        await self.end_workers()
        await asyncio.gather(*(endpoint.workforce.launcher.close() for endpoint in self.values()))
        for endpoint in self.values():
            endpoint.leave()


def _warm(settings: EndpointSettings, reload: bool) -> EndpointSettings:
    """Settings of an endpoint whose code changes while it runs: its last good worker stays, for the next may be broken.

    Where cold starts are simulated, somebody wants to see them.
    """
    simulated = settings.cold_start.high or settings.throttle.high
    return dataclasses.replace(settings, keeps_warm=reload and not simulated)
