"""When to start another worker."""

from __future__ import annotations

from collections.abc import Callable

from runpod_emulator.core.fleet.fleet import Fleet
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.core.time.timers import Timer


class Autoscaler:
    """Follows the number of waiting jobs.

    REQUEST_COUNT: one more worker for every `scaler_requests` jobs that find no free slot,
    up to one for every `scaler_requests` unfinished jobs. QUEUE_DELAY: the first at once,
    each further one when the shortage has lasted `scaler_delay`. A free slot includes
    those of workers that are still coming up.
    """

    def __init__(self, fleet: Fleet, timeline: Timeline, new_worker: Callable[[], str]) -> None:
        self._fleet = fleet
        self._timeline = timeline
        self._new_worker = new_worker
        self._waiting = 0
        self._running = 0
        self._delay: Timer | None = None
        self._stopped = False

    def balance(self, waiting: int, running: int) -> None:
        """Start what `waiting` jobs need; jobs that must not cause scaling are not among them."""
        self._waiting = waiting
        self._running = running
        if self._stopped:
            return
        fleet = self._fleet
        while fleet.settings.workers_min and fleet.alive < fleet.settings.workers_min and fleet.may_start:
            self.start_one()
        short = waiting - fleet.free_slots if waiting else 0
        if short <= 0:
            if self._delay is not None:
                self._end_delay()
        elif fleet.settings.scaler == "REQUEST_COUNT":
            self._start_for_requests(short)
        else:
            self._start_for_delay()

    def start_one(self, at_once: bool = False) -> None:
        """Bring up one worker now, within the maximum; `at_once` without simulated delays."""
        if not self._stopped and self._fleet.may_start:
            self._fleet.start(self._new_worker(), at_once)

    def start_candidate(self) -> str | None:
        """Bring up a worker that tries new code, at once, one above the maximum if need be; returns its id."""
        settings = self._fleet.settings
        if self._stopped or not (settings.starts_workers and settings.workers_max):
            return None
        worker = self._new_worker()
        self._fleet.start(worker, is_candidate=True)
        return worker

    def stop(self) -> None:
        """Start nothing any more."""
        self._stopped = True
        self._fleet.arrivals.stop()
        self._end_delay()

    def try_again_in(self, delay: int) -> None:
        """Look again after `delay` ms: a worker could not start."""
        self._timeline.at(self._timeline.now() + delay, lambda: self.balance(self._waiting, self._running))

    def _start_for_requests(self, short: int) -> None:
        fleet = self._fleet
        if not fleet.may_start:
            return
        each = fleet.settings.share
        wanted = -(-(self._waiting + self._running) // each)
        workers = min(-(-short // each), wanted - fleet.alive)
        while workers > 0 and fleet.may_start:
            self.start_one()
            workers -= 1

    def _start_for_delay(self) -> None:
        fleet = self._fleet
        if not fleet.alive:
            self.start_one()
        if self._delay is None and fleet.may_start:
            due = self._timeline.now() + fleet.settings.scaler_delay
            self._delay = self._timeline.at(due, self._delay_over)

    def _delay_over(self) -> None:
        self._delay = None
        if self._waiting > self._fleet.free_slots:
            self.start_one()
        self.balance(self._waiting, self._running)

    def _end_delay(self) -> None:
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
