"""The only way in which the rules reach processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Launcher(Protocol):
    """Brings the workers of one endpoint up, and ends them. Only `close` waits."""

    kind: str
    """What its workers are: handler, command, mock, load_balancer or remote."""
    over_http: bool
    """Whether its workers come over HTTP, and so learn of stops by polling."""
    real: bool
    """Whether its workers are programs, which take real time to start and to work."""
    processes: bool
    """Whether each of its workers is a process, and takes one of the server's places."""

    @property
    def start_script_worker(self) -> Callable[[], None] | None:
        """Brings a worker for a job that plays a script; None where its own workers play scripts."""
        ...

    def start(self, worker: str) -> None:
        """Bring a worker of this id up; it reports itself ready, or broken."""
        ...

    def stop(self, worker: str) -> None:
        """End a worker that holds no job."""
        ...

    def replace(self, worker: str) -> None:
        """End a worker that asked for it; a fresh one takes its place."""
        ...

    def retire(self, worker: str) -> None:
        """Give a worker no job more, and end it when those that it holds are over."""
        ...

    def stop_job(self, worker: str, job: str, lease: int) -> None:
        """Stop one job that no longer belongs to the worker."""
        ...

    async def close(self) -> None:
        """End every worker, and wait until each is gone."""
        ...
