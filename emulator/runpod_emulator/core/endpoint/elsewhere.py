"""What the workers of an endpoint do that other servers over the store have started, for people who look on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from runpod_emulator.core.fleet.worker import WorkerState
from runpod_emulator.core.jobs.crews import Member
from runpod_emulator.core.jobs.job import Taken, Transition


class Other(NamedTuple):
    """A worker of another server."""

    id: str
    server: str
    state: WorkerState
    jobs: list[str]
    """What it has taken since this server is there."""


class Elsewhere:
    """The workers of other servers than `owner`; `members` are those of all."""

    def __init__(self, owner: str, members: Mapping[str, Member]) -> None:
        self._owner = owner
        self._members = members
        self._held: dict[str, str] = {}
        """The worker of each of their jobs."""

    def heard(self, transition: Transition) -> None:
        """A job has come to a worker, or has left it."""
        job = transition.job
        if type(transition.event) is not Taken:
            self._held.pop(job.id, None)
        elif job.owner not in (None, self._owner):
            self._held[job.id] = transition.event.worker

    def clear(self) -> None:
        """All jobs are forgotten."""
        self._held.clear()

    def workers(self) -> list[Other]:
        """Each of them, as far as is known here."""
        return [
            Other(name, member.owner, *self._doing(name, member))
            for name, member in self._members.items()
            if member.owner not in ("", self._owner)
        ]

    def _doing(self, worker: str, member: Member) -> tuple[WorkerState, list[str]]:
        jobs = sorted(job for job, holder in self._held.items() if holder == worker)
        if not member.slots:
            return WorkerState.UNHEALTHY, jobs
        if not member.is_up:
            return WorkerState.INITIALIZING, jobs
        return (WorkerState.RUNNING if jobs else WorkerState.IDLE), jobs
