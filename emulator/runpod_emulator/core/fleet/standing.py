"""Why a worker is in the state that it is in, in words, for people who look on."""

from __future__ import annotations

from runpod_emulator.core.fleet.fleet import Fleet
from runpod_emulator.core.fleet.worker import Worker, WorkerState


def reason_of(worker: Worker, fleet: Fleet, now: int) -> str:
    """What it waits for, what it does, or what is wrong with it; `now` is the present, in ms since the epoch."""
    if worker.reason:
        return worker.reason
    if worker.state is WorkerState.THROTTLED:
        return _throttled(worker, fleet, now)
    if worker.state is WorkerState.INITIALIZING:
        if fleet.arrivals.launched(worker) or worker.coming is None:
            return "its program starts"
        return f"its container starts, {_in(worker.coming.due, now)} left (cold_start)"
    if worker.state is WorkerState.RUNNING:
        return f"{len(worker.jobs)} of {worker.concurrency} slots in use"
    return _idle(worker, now)


def _throttled(worker: Worker, fleet: Fleet, now: int) -> str:
    if (fleet, worker.id) in fleet.capacity.waiting:
        return f"waits for one of the server's {fleet.capacity.limit} processes (max_processes)"
    return f"waits for a machine, {_in(worker.coming.due, now)} left (throttle)" if worker.coming is not None else ""


def _idle(worker: Worker, now: int) -> str:
    if not worker.ours:
        return "started elsewhere: it comes and goes by itself"
    if worker.idle_timer is None:
        return "stays: its idle timeout is over, and it is none too many"
    return f"its idle timeout ends in {_in(worker.idle_timer.due, now)} (idle_timeout)"


def _in(due: int, now: int) -> str:
    return f"{max(0, due - now) / 1000:g} s"
