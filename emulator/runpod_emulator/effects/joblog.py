"""One log line for what a developer wants to see of a job."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Callable, Container

from runpod_emulator.core.jobs.job import JobStatus, Requeued, Submitted, Transition, is_empty_object
from runpod_emulator.core.jobs.listeners import ENDS
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.records.news import Effect
from runpod_emulator.core.secrets.shown import block

log = logging.getLogger("runpod_emulator.jobs")

_EMPTY_INPUT = (
    "%s: its input is an empty object, which RunPod removes, and its workers take no job without one "
    "(--set strip_empty_input=keep hands it out, fail fails the job at once, lost is RunPod's way)"
)
_TEXT = r'"((?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*)'
_RAISED = re.compile(rf'\{{"error_type":\s*{_TEXT}",\s*"error_message":\s*{_TEXT}')
_LOOKED_AT = 2_000
"""Characters of an error, which may have 50 MB."""


class JobLog(Effect):
    """Logs ends, second tries, inputs that will not arrive, and jobs that wait in vain.

    `flawed` holds the endpoints whose code can't be started; `hopeless(endpoint)` says of them why no worker can take
    the endpoint's jobs, empty if one may.
    """

    events = (Submitted, Requeued, *ENDS)

    def __init__(
        self, platform: Platform, flawed: Container[str] = (), hopeless: Callable[[str], str] = lambda endpoint: ""
    ) -> None:
        self._strips = platform.strip_empty_input != "keep"
        self._flawed = flawed
        self._hopeless = hopeless

    def won(self, transition: Transition) -> None:
        """Log what is worth a line."""
        if transition.ended:
            _ended(transition)
        elif type(transition.event) is Requeued:
            log.warning("%s: its worker was lost; it is tried once more", _name(transition))
        elif type(transition.event) is Submitted:
            if self._strips and is_empty_object(transition.job.input):
                log.warning(_EMPTY_INPUT, _name(transition))
            endpoint = transition.job.endpoint
            if endpoint in self._flawed and (reason := self._hopeless(endpoint)):
                log.warning("%s: it waits for a handler that can be imported: %s", _name(transition), block(reason))


def _ended(transition: Transition) -> None:
    job = transition.job
    if job.status in (JobStatus.FAILED, JobStatus.TIMED_OUT):
        log.warning("%s %s: %s", _name(transition), job.status.value, _reason(job.error or "")[:300])
        return
    if not log.isEnabledFor(logging.INFO):
        return
    name = _name(transition)
    if job.taken_at is None or job.ended_at is None:
        log.info("%s %s", name, job.status.value)
    else:
        delay, run = job.taken_at - job.submitted_at, job.ended_at - job.taken_at
        log.info("%s %s after %d ms in the queue and %d ms of work", name, job.status.value, delay, run)


def _reason(error: str) -> str:
    """The error in a few words: a raised one is JSON text that also holds its traceback, which the log has already."""
    if raised := _RAISED.match(error, 0, _LOOKED_AT):
        with contextlib.suppress(ValueError):
            kind, message = (json.loads(f'"{text}"') for text in raised.groups())
            return f"{kind} {message}"
    return error


def _name(transition: Transition) -> str:
    return f"{transition.job.endpoint}/{transition.job.id}"
