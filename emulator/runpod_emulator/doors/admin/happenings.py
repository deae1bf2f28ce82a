"""What is sent of each kind of news: effects that keep as little of it as they can, and put it into words later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, cast

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.fleet.standing import reason_of
from runpod_emulator.core.fleet.worker import WorkerChange
from runpod_emulator.core.jobs.job import JobStatus, Transition
from runpod_emulator.core.jobs.listeners import ALL
from runpod_emulator.core.jobs.script_state import INWARD
from runpod_emulator.core.mocks.stubs import fits
from runpod_emulator.core.records.news import Attempt, Effect, Entry, Line
from runpod_emulator.doors.admin import shapes
from runpod_emulator.doors.admin.backlog import Backlog
from runpod_emulator.values import nearest
from runpod_emulator.world.world import World

Kind = Literal["transition", "request", "worker", "webhook", "log", "reset"]
_LONGEST = 100
"""Characters of a wrong name that are shown."""


class Source(NamedTuple):
    """Whose news it is, of which endpoints, and where to put it."""

    world: World
    endpoint: str | None
    """A pattern; None for all."""
    backlog: Backlog

    def wants(self, endpoint: str) -> bool:
        """Whether news of this endpoint is wanted."""
        return self.endpoint is None or fits(self.endpoint, endpoint)

    @property
    def drift(self) -> int:
        """What to add to a time for the time of day, in ms."""
        return self.world.timeline.drift()


class Transitions(Effect):
    """Changes of jobs: the job itself, whose input may be large, is not kept."""

    events = tuple(kind for kind in ALL if kind not in INWARD)

    def __init__(self, source: Source) -> None:
        self._source = source
        self._backlog, self._endpoint = source.backlog, source.endpoint  # asked for with every change of a job

    def heard(self, transition: Transition) -> None:
        """Keep one."""
        job = transition.job
        if self._endpoint is not None and not self._source.wants(job.endpoint):
            return
        if self._backlog.is_full:
            self._backlog.left_out["transition"] += 1
        else:
            status = None if transition.after is None else job.status
            kept = transition.at, type(transition.event), job.endpoint, job.id, status, job.worker, job.retries
            self._backlog.put("transition", self._written, kept)

    def loaded(self, jobs: int) -> None:
        """Readers who show the jobs there are know by this that there are others."""
        self._backlog.left_out["transition"] += jobs

    def _written(self, kept: tuple[int, type[Any], str, str, JobStatus | None, str | None, int]) -> dict[str, Any]:
        at, event, endpoint, job, status, worker, retries = kept
        shown = self._source.world.masks.text
        return {
            "at": at + self._source.drift, "event": event.__name__, "endpoint": shown(endpoint), "id": job,
            "status": "GONE" if status is None else status.value, "worker": worker and shown(worker),
            "retries": retries,
        }  # fmt: skip


class Requests(Effect):
    """Answered requests, without headers and bodies."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._backlog, self._endpoint = source.backlog, source.endpoint

    def answered(self, entry: Entry) -> None:
        """Keep one."""
        if self._endpoint is not None and not self._source.wants(entry.endpoint):
            return
        if self._backlog.is_crowded:
            self._backlog.left_out["request"] += 1
        else:
            self._backlog.put("request", self._written, entry.bare())

    def _written(self, bare: Entry) -> dict[str, Any]:
        return shapes.line_of(bare, self._source.world.masks, self._source.drift)


class Workers(Effect):
    """Changes of workers."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def worker_changed(self, change: WorkerChange) -> None:
        """Keep one."""
        backlog = self._source.backlog
        if not self._source.wants(change.endpoint):
            return
        if backlog.is_crowded:
            backlog.left_out["worker"] += 1
        else:
            backlog.put("worker", self._written, change)

    def _written(self, change: WorkerChange) -> dict[str, Any]:
        shown = self._source.world.masks.text
        return {
            "at": change.at + self._source.drift, "endpoint": shown(change.endpoint), "worker": shown(change.worker),
            "number": change.number, "state": change.state and change.state.value,
            "reason": shown(change.reason or self._reason(change)),
        }  # fmt: skip

    def _reason(self, change: WorkerChange) -> str:
        """Why the worker is in that state, if it still is."""
        world = self._source.world
        endpoint = world.endpoints.get(change.endpoint)
        worker = None if endpoint is None else endpoint.fleet.workers.get(change.worker)
        if endpoint is None or worker is None or worker.state is not change.state:
            return ""
        return reason_of(worker, endpoint.fleet, world.timeline.now())


class Webhooks(Effect):
    """Webhook calls, without their bodies."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def tried(self, attempt: Attempt) -> None:
        """Keep one."""
        if self._source.wants(attempt.delivery.endpoint):
            bare = attempt._replace(delivery=attempt.delivery._replace(body=b""))
            self._source.backlog.put("webhook", self._written, bare)

    def _written(self, bare: Attempt) -> dict[str, Any]:
        return shapes.call_of(bare, self._source.world.masks, self._source.drift)


class Logs(Effect):
    """Lines that workers have printed."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def printed(self, line: Line) -> None:
        """Keep one, which is text that the memory of lines has as well."""
        if self._source.wants(line.endpoint):
            self._source.backlog.put("log", self._written, line, len(line.text))

    def _written(self, line: Line) -> dict[str, Any]:
        return shapes.log_line(line, self._source.world.masks, self._source.drift)


class Resets(Effect):
    """Resets, and endpoints that were taken away."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def cleared(self, endpoint: str | None) -> None:
        """Keep one."""
        if endpoint is None or self._source.wants(endpoint):
            self._source.backlog.put("reset", self._written, endpoint)

    def removed(self, endpoint: str) -> None:
        """Its jobs are forgotten with it."""
        self.cleared(endpoint)

    def loaded(self, jobs: int) -> None:
        """What was known counts no more."""
        self.cleared(None)

    def _written(self, endpoint: str | None) -> dict[str, Any]:
        return {"endpoint": endpoint and self._source.world.masks.text(endpoint)}


KINDS: dict[Kind, Callable[[Source], Effect]] = {
    "transition": Transitions,
    "request": Requests,
    "worker": Workers,
    "webhook": Webhooks,
    "log": Logs,
    "reset": Resets,
}
EVERY_REQUEST: tuple[Kind, ...] = ("request", "worker")
"""Kinds that come with every request."""
EVERY_JOB: tuple[Kind, ...] = ("transition",)
"""Kinds that come with every job."""


def known_kinds(text: str) -> list[Kind]:
    """The kinds that a caller names, with commas between them; raises ConfigurationError for an unknown one."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in KINDS:
            raise ConfigurationError(
                f"kinds: there is no kind {name[:_LONGEST]}{nearest(name, KINDS)}: name {', '.join(KINDS)}"
            )
    return cast("list[Kind]", names or ["transition"])
