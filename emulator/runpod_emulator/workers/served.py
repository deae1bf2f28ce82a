"""What workers need of the endpoint that they serve. Its own verbs say more of each."""

from __future__ import annotations

from collections.abc import Container, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from runpod_emulator.core.endpoint.polling import PollingWorkers
    from runpod_emulator.core.endpoint.scripts import RunningScripts
    from runpod_emulator.core.endpoint.shared import Shared
    from runpod_emulator.core.fleet.fleet import Fleet
    from runpod_emulator.core.fleet.worker import Said
    from runpod_emulator.core.jobs.job import Job
    from runpod_emulator.core.jobs.results import Report
    from runpod_emulator.core.jobs.tracing import Tracing
    from runpod_emulator.core.platform import Platform
    from runpod_emulator.core.settings import EndpointSettings
    from runpod_emulator.core.time.waiting import Caller


class Heard(Protocol):
    """For those who read what a worker prints."""

    def printed(self, worker: str, job: str, said: Said) -> None:
        """A worker has printed a line; `job` is empty where nobody knows of which it is."""
        ...


class GoneWorkers(Protocol):
    """For those who say that a worker has ended."""

    async def worker_gone(self, worker: str, replace: bool = False, reason: str = "") -> None:
        """A worker ended; `replace` brings up a fresh one at once, `reason` says how it ended."""
        ...

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this soon; virtual time waits for it."""
        ...


class ScriptedJobs(Protocol):
    """For those who perform the scripts of jobs."""

    id: str
    platform: Platform
    shared: Shared
    scripts: RunningScripts

    async def report(self, job_id: str, event: Report) -> bool:
        """What is said of a job that is held; False when that comes too late to count."""
        ...

    async def strike(self, job_id: str, lease: int) -> None:
        """The run exceeds its execution timeout now."""
        ...


class TakenJobs(ScriptedJobs, GoneWorkers, Protocol):
    """For workers that are tasks or processes of ours, and take their jobs themselves."""

    async def take(
        self,
        worker: str,
        most: int,
        until: int | None,
        caller: Caller,
        lease: int | None = None,
        barred: Container[str] = (),
        scripted: bool | None = None,
    ) -> list[Job]:
        """Up to `most` jobs, waiting for the first until the time `until`; `scripted` True for those with scripts."""
        ...

    async def worker_ready(self, worker: str, concurrency: int) -> None:
        """A worker is up, or wants another number of jobs at once."""
        ...


class FleetOfJobs(TakenJobs, Protocol):
    """For those who bring a worker of their own into the fleet for jobs that play scripts."""

    fleet: Fleet

    @property
    def settings(self) -> EndpointSettings:
        """The settings of the endpoint as they are now."""
        ...


class ProcessJobs(TakenJobs, Heard, Protocol):
    """For worker processes."""

    fleet: Fleet
    tracing: Tracing | None

    async def status(self, job_id: str) -> Job:
        """The record; raises JobNotFound."""
        ...

    async def drop(self, worker: str, job: Job, reason: str) -> None:
        """A worker has let go of a job on which it will never report."""
        ...

    async def worker_broken(self, worker: str, reason: str) -> None:
        """A worker ended before it was up."""
        ...


class PolledJobs(GoneWorkers, Heard, Protocol):
    """For programs of ours that poll over HTTP."""

    id: str
    fleet: Fleet
    polling: PollingWorkers

    async def worker_broken(self, worker: str, reason: str) -> None:
        """A worker ended before it was up."""
        ...


class BalancedRequests(Heard, Protocol):
    """For HTTP servers behind the load balancer."""

    id: str
    platform: Platform
    fleet: Fleet

    async def worker_healthy(self, worker: str, address: str) -> None:
        """The worker's health check answers that it can serve."""
        ...

    def worker_starting(self, worker: str) -> None:
        """The worker's health check answers that it is not ready yet."""
        ...

    async def worker_ill(self, worker: str, reason: str) -> None:
        """The worker's health check fails."""
        ...

    async def worker_broken(self, worker: str, reason: str) -> None:
        """A worker ended before it was up."""
        ...

    async def worker_gone(self, worker: str, reason: str = "") -> None:
        """A worker ended without being asked to; `reason` says how."""
        ...

    def worker_stopped(self, worker: str) -> None:
        """A worker was scaled down; it can be resumed."""
        ...
