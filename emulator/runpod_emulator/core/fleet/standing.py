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
        due = worker.coming.due if worker.coming is not None and not worker.boots else None
        return "its program starts" if due is None else f"its container starts, {_in(due, now)} left (cold_start)"
    if worker.state is WorkerState.RUNNING:
        return f"{len(worker.jobs)} of {worker.concurrency} slots in use"
    return _idle(worker, fleet, now)


def _throttled(worker: Worker, fleet: Fleet, now: int) -> str:
    if (fleet, worker.id) in fleet.capacity.waiting:
        return f"waits for one of the server's {fleet.capacity.limit} processes (max_processes)"
    return f"waits for a machine, {_in(worker.coming.due, now)} left (throttle)" if worker.coming is not None else ""


def _idle(worker: Worker, fleet: Fleet, now: int) -> str:
    if not worker.ours:
        return "started elsewhere: it comes and goes by itself"
    if fleet.queued:
        return ""
    if not fleet.may_go(worker):
        return "stays: " + (
            f"workers_min is {fleet.settings.workers_min}" if fleet.settings.workers_min else "kept warm"
        )
    return f"ends in {_in(worker.idle_timer.due, now)} without a job (idle_timeout)" if worker.idle_timer else ""


def _in(due: int, now: int) -> str:
    return f"{max(0, due - now) / 1000:g} s"
