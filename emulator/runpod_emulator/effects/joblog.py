"""One log line for what a developer wants to see of a job."""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Callable, Container

from runpod_emulator.core.jobs.job import Job, JobStatus, Requeued, Submitted, Transition
from runpod_emulator.core.jobs.listeners import ENDS
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.records.news import Effect
from runpod_emulator.core.secrets.shown import block
from runpod_emulator.effects.names import JobNames, worker_name

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

    `names` are those of jobs, `number(endpoint, worker)` is that of a worker. `flawed` holds the endpoints whose code
    can't be started; `hopeless(endpoint)` says of them why no worker can take the endpoint's jobs, empty if one may.
    """

    events = (Submitted, Requeued, *ENDS)

    def __init__(
        self,
        platform: Platform,
        names: JobNames,
        number: Callable[[str, str], int],
        flawed: Container[str] = (),
        hopeless: Callable[[str], str] = lambda endpoint: "",
    ) -> None:
        self._names = names
        self._number = number
        self._strips = platform.strip_empty_input != "keep"
        self._flawed = flawed
        self._hopeless = hopeless

    def won(self, transition: Transition) -> None:
        """Log what is worth a line."""
        if transition.ended:
            self._ended(transition.job)
        elif type(transition.event) is Requeued:
            self._warn(
                transition.before or transition.job, "%s: its worker was lost; it is tried once more", event="lost"
            )
        elif type(transition.event) is Submitted:
            self._submitted(transition.job)

    def _submitted(self, job: Job) -> None:
        if self._strips and job.script is None and job.input_is_empty:
            self._warn(job, _EMPTY_INPUT, event="surprise")
        if job.endpoint in self._flawed and (reason := self._hopeless(job.endpoint)):
            waits = "%s: it waits for a handler that can be imported: %s"
            self._warn(job, waits, block(reason), event="waiting")

    def _ended(self, job: Job) -> None:
        if job.status in (JobStatus.FAILED, JobStatus.TIMED_OUT):
            self._warn(job, "%s %s: %s", job.status.value, _reason(job.error or "")[:300], event="ended")
            return
        if not log.isEnabledFor(logging.INFO):
            return
        name, facts = self._name(job), self._facts(job, "ended")
        whole = self._names.introduced(job.id)
        tail = f", job {whole}" if whole else ""
        if job.taken_at is None or job.ended_at is None:
            log.info("%s %s%s", name, job.status.value, tail, extra=facts)
        else:
            delay, run = job.taken_at - job.submitted_at, job.ended_at - job.taken_at
            said = "%s %s after %d ms in the queue and %d ms of work%s"
            log.info(said, name, job.status.value, delay, run, tail, extra=facts)

    def _warn(self, job: Job, text: str, *words: str, event: str) -> None:
        if not log.isEnabledFor(logging.WARNING):
            return
        whole = self._names.introduced(job.id)
        name = f"{self._name(job)} ({whole})" if whole else self._name(job)
        log.warning(text, name, *words, extra=self._facts(job, event))

    def _name(self, job: Job) -> str:
        number = self._number(job.endpoint, job.worker) if job.worker else 0
        return f"{worker_name(job.endpoint, number)} {self._names.short(job.id)}"

    def _facts(self, job: Job, event: str) -> dict[str, object]:
        facts: dict[str, object] = {
            "event": event, "endpoint": job.endpoint, "job": job.id, "worker": job.worker or "",
            "state": job.status.value,
        }  # fmt: skip
        if job.taken_at is not None and job.ended_at is not None:
            facts |= {"queued_ms": job.taken_at - job.submitted_at, "ms": job.ended_at - job.taken_at}
        return {"facts": facts}


def _reason(error: str) -> str:
    """The error in a few words: a raised one is JSON text that also holds its traceback, which the log has already."""
    if raised := _RAISED.match(error, 0, _LOOKED_AT):
        with contextlib.suppress(ValueError):
            kind, message = (json.loads(f'"{text}"') for text in raised.groups())
            return f"{kind} {message}"
    return error
