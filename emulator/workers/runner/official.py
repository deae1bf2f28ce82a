"""What the official worker keeps in its own modules around each job, for handlers that look there.

Only where the installed package was loaded: the handler's code has asked for something of it.
"""

from __future__ import annotations

import contextlib
import sys
from typing import Any

_STATE = "runpod.serverless.modules.worker_state"
_DEBUGGER = "runpod.serverless.utils.rp_debugger"


def begin(job: Any) -> None:
    """A job has come."""
    state = sys.modules.get(_STATE)
    if state is not None:
        with contextlib.suppress(Exception):
            state.JobsProgress().add(job)


def ran() -> None:
    """The handler has ended: its times are dropped, or the next job could not take any under the same names."""
    debugger = sys.modules.get(_DEBUGGER)
    if debugger is not None:
        with contextlib.suppress(Exception):
            debugger.clear_debugger_output()


def end(job: Any) -> None:
    """A job is over, whatever became of it."""
    state = sys.modules.get(_STATE)
    if state is not None:
        with contextlib.suppress(Exception):
            state.JobsProgress().remove(job)
