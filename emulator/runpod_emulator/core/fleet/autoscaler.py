"""When to start another worker, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from runpod_emulator.core.fleet.fleet import Fleet
from runpod_emulator.core.time.timeline import Timeline
from runpod_emulator.core.time.timers import Timer


class Decision(NamedTuple):
    """What the jobs ask for; that it is not more than there may be is seen to as workers start."""

    now: int = 0
    """Workers to start at once."""
    later: int | None = None
    """Milliseconds after which one more starts, if the jobs are still short of slots; None where none does."""


ENOUGH = Decision()


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
        if fleet.everywhere is not None and not fleet.everywhere.leads:
            self._end_delay()
            return
        while fleet.settings.workers_min and self._alive < fleet.settings.workers_min and not fleet.hindrance:
            self.start_one(here=False)
        decision = self.decide(waiting, running)
        if decision is ENOUGH:
            if self._delay is not None:
                self._end_delay()
            return
        for _ in range(decision.now):
            if not self.start_one(here=False):
                break
        if decision.later is not None and self._delay is None and not fleet.hindrance:
            self._delay = self._timeline.at(self._timeline.now() + decision.later, self._delay_over)

    def decide(self, waiting: int, running: int) -> Decision:
        """What the jobs need beyond the workers that are always on. It changes nothing: `balance` acts on it."""
        if not waiting:
            return ENOUGH
        settings = self._fleet.settings
        by_number = settings.scaler == "REQUEST_COUNT"
        most = self._for_requests(waiting + running) - self._alive if by_number else 1
        # slots are only counted where a worker may be missing
        short = waiting - self._free_slots(running) if most > 0 else 0
        if short <= 0:
            return ENOUGH
        if by_number:
            return Decision(min(-(-short // settings.share), most))
        return Decision(0 if self._alive else 1, later=settings.scaler_delay)

    def _for_requests(self, unfinished: int) -> int:
        """Workers for so many unfinished jobs, by their number."""
        return -(-unfinished // self._fleet.settings.share)

    def words(self, waiting: int, running: int, noun: str = "job") -> str:
        """What `decide` says, and what keeps workers from starting: `2 wanted: 2 jobs wait, 1 per worker; max 3`."""
        fleet, decision = self._fleet, self.decide(waiting, running)
        settings, free = fleet.settings, self._free_slots(running)
        by_number = self._for_requests(waiting + running)
        jobs = _count(waiting, noun, "wait") + (f", {_count(running, '', 'run')}" if running else "")
        hindrance = "nothing starts any more" if self._stopped else fleet.hindrance
        if not settings.starts_workers:
            return f"{jobs}; {hindrance}"
        if fleet.everywhere is not None and not fleet.everywhere.leads:
            return f"{jobs}; another server over the store decides"
        bounds = (f"min {settings.workers_min}, " if settings.workers_min else "") + f"max {settings.workers_max}"
        if decision.later is not None:
            due = decision.later if self._delay is None else max(0, self._delay.due - self._timeline.now())
            more = "1 wanted" if decision.now else f"1 more wanted in {due / 1000:g} s"
            told = f"{more}: {jobs}, {_count(free, 'slot', 'is')} free"
        elif decision is ENOUGH and (settings.scaler != "REQUEST_COUNT" or by_number > self._alive):
            told = f"no more wanted: {jobs}, {_count(free, 'slot', 'is')} free"
        else:
            wanted = max(by_number, settings.workers_min)
            told = f"{wanted} wanted: {jobs}" + (f", {settings.share} per worker" if by_number else "")
        return f"{told}; {bounds}" + (f", {hindrance}" if hindrance and decision is not ENOUGH else "")

    @property
    def due(self) -> int | None:
        """When it looks again because a shortage has lasted; None where it waits for nothing."""
        return None if self._delay is None else self._delay.due

    def start_one(self, at_once: bool = False, here: bool = True) -> bool:
        """Bring up one worker now, within the maximum, if there may be one; `at_once` without simulated delays.

        Not `here`, it is where of all servers over the store there are the fewest.
        """
        if self._stopped or self._fleet.hindrance:
            return False
        if self._fleet.everywhere is not None:
            self._fleet.everywhere.start_one(here, at_once)
        else:
            self._fleet.start(self._new_worker(), at_once)
        return True

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
        self._timeline.at(self._timeline.now() + delay, self._try_again)

    @property
    def is_stopped(self) -> bool:
        """Whether nothing starts any more."""
        return self._stopped

    @property
    def _alive(self) -> int:
        """Workers of ours that are up or coming up, at all servers."""
        fleet = self._fleet
        return fleet.alive if fleet.everywhere is None else fleet.everywhere.alive

    def _free_slots(self, running: int) -> int:
        """Jobs that the present workers of all servers could still take, of which so many run."""
        fleet = self._fleet
        return fleet.free_slots if fleet.everywhere is None else fleet.everywhere.free_slots(running)

    def _try_again(self) -> None:
        if self._fleet.everywhere is not None:
            self._fleet.everywhere.give_up_broken()
        else:
            self.balance(self._waiting, self._running)

    def _delay_over(self) -> None:
        self._delay = None
        leads = self._fleet.everywhere is None or self._fleet.everywhere.leads
        if leads and self._waiting > self._free_slots(self._running):
            self.start_one(here=False)
        self.balance(self._waiting, self._running)

    def _end_delay(self) -> None:
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None


def _count(number: int, noun: str, verb: str) -> str:
    """`2 jobs wait`, `1 job waits`, `no slot is`; what is counted once more needs no noun."""
    several = number > 1
    counted = f"{number or 'no'} {noun}{'s' if several and noun else ''}".strip()
    return f"{counted} {({'is': 'are'}.get(verb, verb)) if several else verb if verb == 'is' else f'{verb}s'}"
