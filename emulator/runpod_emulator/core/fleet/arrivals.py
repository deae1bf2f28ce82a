"""How a worker of ours comes up: throttled for want of a machine, then cold, then in a process of its own."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runpod_emulator.core.dice import Dice
from runpod_emulator.core.fleet.capacity import Capacity, Lender
from runpod_emulator.core.settings import EndpointSettings, Span

if TYPE_CHECKING:
    from runpod_emulator.core.fleet.launcher import Launcher
    from runpod_emulator.core.fleet.worker import Worker
    from runpod_emulator.core.time.timeline import Timeline

log = logging.getLogger("runpod_emulator.engine")

Step = Callable[["Worker"], None]
_REMEMBERED = 1_000
"""Workers of an endpoint whose coming is remembered."""
PATIENCE = 5_000
"""Milliseconds of real time for which a start may hold virtual time in silence; it is mentioned again and again."""


@dataclass(slots=True)
class Arrival:
    """When a worker came up, in ms since the epoch; None for a step that it has not reached."""

    wanted_at: int
    container_at: int | None = None
    """When it had a machine, and its container began to start."""
    program_at: int | None = None
    ready_at: int | None = None
    gone: str = ""
    """Why it went, "" for one that is here."""


class Arrivals:
    """The steps of one endpoint's workers from their first mention to the launch of their process.

    `overdue` is called for a worker that is not ready `init_timeout` after its launch. Virtual time stands as long as a
    program starts, so there it is real time that passes.
    """

    def __init__(
        self,
        settings: EndpointSettings,
        timeline: Timeline,
        launcher: Launcher,
        capacity: Capacity,
        owner: Lender,
        overdue: Step,
        seed: int | None,
    ) -> None:
        self._throttled_longer: Callable[[], int] = lambda: 0
        self._cold_longer: Callable[[], int] = lambda: 0
        """How much longer a step takes than configured, in ms."""
        self._settings = settings
        self._timeline = timeline
        self._launcher = launcher
        self._capacity = capacity
        self._owner = owner
        self._stopped = False
        self._watches: dict[str, asyncio.TimerHandle] = {}
        """They measure starts in real time, where time is virtual."""
        self._known: OrderedDict[str, Arrival] = OrderedDict()
        """Of the last workers, oldest first, also of those that are gone."""
        self._overdue = overdue
        self._throttle = _draws(settings.throttle, f"{seed} {settings.id} throttle" if seed is not None else None)
        self._cold_start = _draws(settings.cold_start, f"{seed} {settings.id} cold" if seed is not None else None)

    def begin(self, worker: Worker, at_once: bool) -> None:
        """Bring the worker up; `at_once` without simulated throttling and cold start."""
        self._note(worker)
        if at_once:
            self._capacity.claim(worker.id, self._owner, lambda: self._launch(worker))
        else:
            self._after(self._throttle() + self._throttled_longer(), worker, self._throttled)

    def delay(self, throttled: Callable[[], int], cold: Callable[[], int]) -> None:
        """Ask how much longer, in ms, each worker to come waits for a machine, and how much longer it starts."""
        self._throttled_longer, self._cold_longer = throttled, cold

    def force(self, worker: Worker) -> None:
        """Bring the worker up now, above the limit of processes if need be."""
        self._note(worker)
        self._capacity.seize(worker.id, self._owner)
        self._launch(worker)

    def of(self, worker: str) -> Arrival | None:
        """How a worker came up; None for one that nobody started here, or that is forgotten."""
        return self._known.get(worker)

    def launched(self, worker: Worker) -> bool:
        """Whether the worker's program has been started, as far as is remembered; then it may take `init_timeout`."""
        arrival = self._known.get(worker.id)
        return arrival is not None and arrival.program_at is not None

    def _note(self, worker: Worker) -> None:
        while len(self._known) >= _REMEMBERED:
            self._known.popitem(last=False)
        self._known[worker.id] = Arrival(self._timeline.now())

    def stop(self) -> None:
        """Launch nothing any more."""
        self._stopped = True
        self._capacity.withdraw(self._owner)

    def ready(self, worker: Worker) -> None:
        """The worker is up."""
        if worker.is_coming_up and (arrival := self._known.get(worker.id)) is not None:
            arrival.ready_at = self._timeline.now()
        self.end(worker)

    def gone(self, worker: str, reason: str) -> None:
        """The worker went, for this reason: who lost a job with it wants to know."""
        if (arrival := self._known.get(worker)) is not None:
            arrival.gone = reason

    def end(self, worker: Worker) -> None:
        """The worker is up, or gone before that."""
        if worker.coming is not None:
            worker.coming.cancel()
            worker.coming = None
        watch = self._watches.pop(worker.id, None)
        if watch is not None:
            watch.cancel()
        if worker.boots:
            worker.boots = False
            self._timeline.end()

    def _throttled(self, worker: Worker) -> None:
        self._capacity.claim(worker.id, self._owner, lambda: self._warm_up(worker))

    def _warm_up(self, worker: Worker) -> None:
        worker.begin_initializing()
        if (arrival := self._known.get(worker.id)) is not None:
            arrival.container_at = self._timeline.now()
        self._after(self._cold_start() + self._cold_longer(), worker, self._launch)

    def _launch(self, worker: Worker) -> None:
        if self._stopped:
            return
        worker.begin_initializing()
        if (arrival := self._known.get(worker.id)) is not None:
            arrival.program_at = self._timeline.now()
        if self._launcher.real:
            worker.boots = True
            self._timeline.begin()
            self._watch(worker, 0)
        self._launcher.start(worker.id)
        if worker.is_coming_up and self._settings.init_timeout:
            self._after(self._settings.init_timeout, worker, self._look_again)

    def _watch(self, worker: Worker, taken: int) -> None:
        """Say how long a start has held virtual time, and end it after `init_timeout`; `taken` ms of it are over."""
        limit = self._settings.init_timeout
        step = min(PATIENCE, limit - taken) if limit else PATIENCE

        def look() -> None:
            if self._timeline.is_held:
                log.warning(
                    "time stands: it waits for worker %s of endpoint %s, which has been starting for %g s",
                    worker.id, self._settings.id, (taken + step) / 1000,
                )  # fmt: skip
            if limit and taken + step >= limit:
                self._look_again(worker)
            else:
                self._watch(worker, taken + step)

        watch = self._timeline.while_standing(step, look)
        if watch is not None:
            self._watches[worker.id] = watch

    def _look_again(self, worker: Worker) -> None:
        if worker.is_coming_up:
            self._overdue(worker)

    def _after(self, delay: int, worker: Worker, step: Step) -> None:
        if not delay:
            step(worker)
            return

        def due() -> None:
            worker.coming = None
            step(worker)

        worker.coming = self._timeline.at(self._timeline.now() + delay, due)


def _draws(span: Span, seed: str | None) -> Callable[[], int]:
    """Durations within the span, in ms; the span's own seed goes before `seed`."""
    dice = Dice(seed if span.seed is None else span.seed)
    return lambda: span.low if span.low == span.high else dice.chance.randint(span.low, span.high)
