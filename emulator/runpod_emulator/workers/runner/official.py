"""What the official worker keeps in its own modules around each job, for handlers that look there.

Only where the installed package was loaded: the handler's code has asked for something of it.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any

from .results import Lost, Outcome

_STATE = "runpod.serverless.modules.worker_state"
_DEBUGGER = "runpod.serverless.utils.rp_debugger"


def begin(job: Any) -> None:
    """A job has come."""
    state = sys.modules.get(_STATE)
    if state is not None:
        with contextlib.suppress(Exception):
            state.JobsProgress().add(job)


def ran(config: Any, outcome: Outcome) -> Outcome:
    """The handler has ended: its times are dropped, or the next job could not take any under the same names.

    With `--rp_debugger` they go into the output. Raises Lost where that has no place for them.
    """
    if config["rp_args"].get("rp_debugger"):
        return _debugged(config, outcome)
    debugger = sys.modules.get(_DEBUGGER)
    if debugger is not None:
        with contextlib.suppress(Exception):
            debugger.clear_debugger_output()
    return outcome


def _debugged(config: Any, outcome: Outcome) -> Outcome:
    debugger, state = importlib.import_module(_DEBUGGER), importlib.import_module(_STATE)
    told = debugger.get_debugger_output()  # which drops the times, also where there is no place for them
    if not isinstance(outcome.output, dict):
        raise Lost("--rp_debugger puts its times into the output, which is no dict")
    told["ready_delay_ms"] = (config["reference_counter_start"] - state.REF_COUNT_ZERO) * 1000
    outcome.output["rp_debugger"] = told
    return outcome


def end(job: Any) -> None:
    """A job is over, whatever became of it."""
    state = sys.modules.get(_STATE)
    if state is not None:
        with contextlib.suppress(Exception):
            state.JobsProgress().remove(job)
