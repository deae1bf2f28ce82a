"""Warnings where production would surprise: what goes well here, and will not, or will cost, there.

Each is given once for an endpoint and a cause, until the next reset.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import parse_qsl

from runpod_emulator.core.jobs.job import Completed, Emitted, Failed, Job, Submitted, Transition
from runpod_emulator.core.jobs.results import result_limit
from runpod_emulator.core.missing import how_to_install, missing_module
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.records.news import Effect, Entry, Line
from runpod_emulator.core.secrets.masks import names_secret

log = logging.getLogger("runpod_emulator.jobs")

_NEAR = 0.8
"""Of a limit: what is beyond that is near it."""
_SECOND, _MINUTE = 1_000, 60
_POLLS = frozenset(one.value for one in (Operation.STATUS, Operation.STATUS_SYNC, Operation.STREAM))
_TOO_FAST = "its jobs are polled faster than RunPod allows: %s; wait between polls, or use /status-sync or a webhook"
_OF_A_CUT = 8
"""Bytes by which the pieces of a chunk that was cut may be shorter than the limit."""
_QUERY = 2_000
"""Characters of a query that are looked at."""
_SAID = 1_000
"""Causes that are remembered."""


class Surprises(Effect):
    """Warns of what production would do otherwise; not of what stubs do.

    `python(endpoint)` is the interpreter of its workers, "" where they have none of ours.
    """

    events = (Submitted, Emitted, Completed, Failed)

    def __init__(self, platform: Platform, python: Callable[[str], str]) -> None:
        self._platform = platform
        self._python = python
        self._near = _NEAR * min(platform.run_result_limit, platform.runsync_result_limit)
        self._said: set[tuple[str, str]] = set()

    def won(self, transition: Transition) -> None:
        """Look at a job that has come, or ended, and at chunks."""
        event, job = transition.event, transition.job
        if type(event) is Submitted:
            if (job.expires_at - job.submitted_at) % _SECOND or job.execution_timeout % _SECOND:
                self._look_at_policy(job)
        elif type(event) is Emitted:
            longest = max(map(len, event.chunks), default=0)
            if longest >= self._platform.stream_chunk_limit - _OF_A_CUT:
                self._look_at_chunk(job, longest)
        elif job.script is None:
            self._look_at_end(job)

    def printed(self, line: Line) -> None:
        """Look for a package that is missing."""
        if line.level != "error" or line.more:
            return
        if line.text.startswith("ModuleNotFoundError") and (module := missing_module(line.text)):
            advice = how_to_install(module, self._python(line.endpoint))
            self._warn(line.endpoint, f"module {module}", "%s", advice)

    def refused(self, entry: Entry) -> None:
        """Look for a key where nobody reads one, and for polls that come too fast."""
        if entry.status == 401 and entry.query:
            self._look_at_query(entry)
        elif entry.status == 429 and entry.operation in _POLLS and not entry.fault:
            self._warn(entry.endpoint, "polls", _TOO_FAST, entry.why)

    def cleared(self, endpoint: str | None) -> None:
        """Say all anew."""
        self._said = {one for one in self._said if endpoint not in (None, one[0])}

    def _look_at_policy(self, job: Job) -> None:
        policy = {"policy.ttl": job.expires_at - job.submitted_at, "policy.executionTimeout": job.execution_timeout}
        for name, value in policy.items():
            if value % _SECOND and not value % _MINUTE:
                said = "%s of %d ms is %g s: it looks like seconds, and RunPod takes milliseconds"
                self._warn(job.endpoint, name, said, name, value, value / _SECOND)

    def _look_at_chunk(self, job: Job, size: int) -> None:
        said = "a stream chunk of %d bytes, and RunPod takes 1 MB: it cuts longer strings, and may drop others"
        self._warn(job.endpoint, "chunk", said, size)

    def _look_at_end(self, job: Job) -> None:
        size = len(job.output or b"")
        if size >= self._near:
            self._look_at_size(job, size)
        if not job.execution_timeout or job.taken_at is None or job.ended_at is None:
            return
        run = job.ended_at - job.taken_at
        if _NEAR * job.execution_timeout <= run < job.execution_timeout:
            said = "a job took %g s of the %g s that it may (execution_timeout): a slower one is timed out"
            self._warn(job.endpoint, "timeout", said, run / _SECOND, job.execution_timeout / _SECOND)

    def _look_at_size(self, job: Job, size: int) -> None:
        limit = result_limit(job.id, self._platform)
        if _NEAR * limit <= size <= limit:
            said = "an output of %d bytes is near RunPod's limit of %d: beyond it the job ends without any"
            self._warn(job.endpoint, "output", said, size, limit)

    def _look_at_query(self, entry: Entry) -> None:
        for name, _ in parse_qsl(entry.query[:_QUERY], keep_blank_values=True):
            if names_secret(name):
                said = "a key in the query (%s): RunPod reads the Authorization header alone, and logs keep a query"
                self._warn(entry.endpoint, "query", said, name)

    def _warn(self, endpoint: str, cause: str, text: str, *words: object) -> None:
        """Warn, unless that was said already."""
        if (endpoint, cause) in self._said or len(self._said) >= _SAID:
            return
        self._said.add((endpoint, cause))
        facts = {"event": "surprise", "endpoint": endpoint, "cause": cause}
        log.warning(f"%s: {text}", endpoint, *words, extra={"facts": facts})
