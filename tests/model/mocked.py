"""Endpoints whose jobs are stubs: their workers come by themselves, and time does the work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import ANY

from tests.model.endpoint import Endpoint
from tests.model.jobs import NOTHING, Job


@dataclass(frozen=True)
class Script:
    """What one run does: chunks and progress, each so many ms after what came before, and its end."""

    delay: int
    chunks: tuple[tuple[int, Any], ...] = ()
    progress: tuple[tuple[int, Any], ...] = ()
    output: Any = NOTHING
    error: str | None = None
    crash: bool = False
    never: bool = False

    def respond(self) -> dict[str, Any]:
        """The same as a stub writes it."""
        told: dict[str, Any] = {"delay": self.delay}
        if self.chunks:
            told["stream"] = [{"chunk": value, "after": after} for after, value in self.chunks]
        if self.progress:
            told["progress"] = [{"value": value, "after": after} for after, value in self.progress]
        if self.output is not NOTHING:
            told["output"] = self.output
        if self.error is not None:
            told["error"] = self.error
        return told | {name: True for name in ("crash", "never") if getattr(self, name)}


# Nothing ends in the moment in which it begins: the order of two webhook calls of one moment is nobody's promise.
SCRIPTS = {
    "soon": Script(1, output={"made": "soon"}),
    "slow": Script(4_007, output="slow"),
    "fails": Script(2_011, output={"half": True}, error="no luck"),
    "streams": Script(501, chunks=((1_009, {"c": 1}), (3, "two"), (2_003, [3])), output=["all"]),
    "tells": Script(3_001, progress=((1_013, 10), (1_019, {"percent": 20})), output="told"),
    "crashes": Script(1_021, crash=True),
    "never": Script(0, never=True),
}
LIST = tuple(Script(1 if number % 2 else 2_027, output=number) for number in range(40))
"""Responses of endpoint `list`, one a run, the last again and again."""
STUBS: list[dict[str, Any]] = [
    {"id": "list", "endpoint": "list", "respond": [script.respond() for script in LIST], "priority": 1},
    *(
        {"id": name, "endpoint": "stub", "match": {"input": {"do": name}}, "respond": script.respond()}
        for name, script in SCRIPTS.items()
    ),
]


@dataclass(eq=False)
class Run:
    """One run of a job, and what it has still to do: when, what, and with which value."""

    job: Job
    taken: int | None
    steps: list[tuple[int, str, Any]] = field(default_factory=list)


class Mocked(Endpoint):
    """A queue before as many workers as there may be, each with one job at a time."""

    def __init__(self, *told: Any) -> None:
        super().__init__(*told)
        self._runs: list[Run] = []
        self._played = 0

    def serve(self) -> None:
        """Start what can be started, and tell who waits."""
        self._runs = [run for run in self._runs if run.job.status == "IN_PROGRESS" and run.job.id in self.jobs]
        while self.queue and len(self._runs) < self.settings.workers_max:
            self._start(self.queue[0])
        super().serve()

    def stubs_anew(self) -> None:
        """The stubs begin anew."""
        self._played = 0

    def events(self) -> Iterator[tuple[int, int, Any]]:
        """What scripts do next, beside all else."""
        yield from super().events()
        for run in self._runs:
            if run.steps:
                yield run.steps[0][0], 1, lambda at, run=run: self._go_on(run)

    def _start(self, job: Job) -> None:
        job.begin(ANY, self.now, lease=False)
        run = Run(job, job.taken)
        self._runs.append(run)
        script = self._script(job)
        at = self.now
        for kind, steps in (("progress", script.progress), ("chunk", script.chunks)):
            for after, value in steps:
                at += after
                run.steps.append((at, kind, value))
        if not script.never:
            run.steps.append((at + script.delay, "end", script))
        while run.steps and run.steps[0][0] <= self.now and run in self._runs:
            self._go_on(run)

    def _script(self, job: Job) -> Script:
        if self.name != "list":
            return SCRIPTS[job.input["do"]]
        self._played += 1
        return LIST[min(self._played, len(LIST)) - 1]

    def _go_on(self, run: Run) -> None:
        _, kind, value = run.steps.pop(0)
        job = run.job
        if kind == "progress":
            job.output, job.progress_at = value, self.now
        elif kind == "chunk":
            job.chunks.append(value)
        elif value.crash:
            self._runs.remove(run)
            self._lose(job)
        else:
            self._runs.remove(run)
            job.output, job.error = value.output, value.error
            self._end(job, "COMPLETED" if value.error is None else "FAILED", reported=True)
        self.serve()
