"""The only way in which the rules reach processes."""

from __future__ import annotations

from typing import Protocol


class Launcher(Protocol):
    """Brings the workers of one endpoint up, and ends them. No call waits."""

    over_http: bool
    """Whether its workers come over HTTP, and so learn of stops by polling."""
    real: bool
    """Whether its workers are programs, which take real time to start and to work."""
    processes: bool
    """Whether each of its workers is a process, and takes one of the server's places."""

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
