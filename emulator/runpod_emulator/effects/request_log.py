"""One log line for each request of a client, or for each that was refused: what it asked, and how that was answered."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from runpod_emulator.core.durations import length
from runpod_emulator.core.jobs.job import Forgotten, Transition
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.records.history import History
from runpod_emulator.core.records.news import Effect, Entry
from runpod_emulator.core.secrets.masks import masked
from runpod_emulator.effects.names import JobNames

log = logging.getLogger("runpod_emulator.requests")

Mode = Literal["all", "errors", "none"]
"""Which requests have a line."""
_POLLS = frozenset(one.value for one in (Operation.STATUS, Operation.STATUS_SYNC, Operation.STREAM))
_SUBMITS = frozenset(one.value for one in (Operation.RUN, Operation.RUNSYNC, Operation.OPENAI))
_PREFIX = "/v2/"
_LONGEST = 200
"""Characters of a path or of a query that are shown."""
_LONGEST_FACT = 4_000
"""The same for programs: more would hold up everybody, for secrets are looked for in it."""
_OF_NAMESPACE = re.compile(r"(/__emulator/+(?:hooks|namespaces)/+)([^/]+)")
_STILL = 60_000
"""Milliseconds after which polls that say nothing new are told of again."""
_THE_LAST = "the last of them"
_FOLLOWED = 1_000
"""Jobs whose polls are counted at once."""


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What the log says of the requests of one server, and the names that jobs have in it."""

    requests: Mode = "none"
    namespaces_are_keys: bool = False
    """Whether the name of a namespace is a client's key."""
    names: JobNames = field(default_factory=JobNames)

    def shown(self, path: str) -> str:
        """A path as the log may have it: a name of a namespace that is a key is masked."""
        if self.namespaces_are_keys:
            path = _OF_NAMESPACE.sub(lambda found: found[1] + masked(found[2]), path)
        return _bounded(path)


class RequestLines:
    """Writes lines about requests."""

    def __init__(self, names: JobNames, history: History) -> None:
        self._names = names
        self._history = history

    def write(self, entry: Entry, *more: str, polls: int = 0, was: str = "") -> None:
        """Log a request; `more` is said of it beside, and `polls` before it had no line. Its job `was` so then."""
        if not log.isEnabledFor(logging.INFO):
            return
        path, query = _path(entry), f"?{entry.query[:_LONGEST]}" if entry.query else ""
        status = entry.status or "reset"
        tail = ", ".join(filter(None, (*self._told(entry, was), *more)))
        log.info(
            "%s %s%s %s%s", entry.method, path, query, status, tail and f" {tail}",
            extra={"facts": _facts(entry, polls)},
        )  # fmt: skip

    def _told(self, entry: Entry, was: str) -> tuple[str, ...]:
        """What else there is to say: the reason, or the time and the job; what was done on purpose."""
        took = "" if entry.why and not entry.took else f"{entry.took} ms"
        fault, stub = entry.fault and f"fault {entry.fault}", entry.stub and f"stub {entry.stub}"
        return entry.why, took, self._job(entry, was), stub, fault

    def _job(self, entry: Entry, was: str) -> str:
        if not entry.job or entry.status >= 400:
            return ""
        if entry.operation in _SUBMITS:
            return f"job {self._names.introduced(entry.job) or self._names.short(entry.job)}"
        return f"{self._names.short(entry.job)} {was or self._history.last(entry.endpoint, entry.job)[1]}".rstrip()


class RefusalLog(Effect):
    """Logs the requests that were refused, and why."""

    def __init__(self, names: JobNames, history: History) -> None:
        self._lines = RequestLines(names, history)

    def refused(self, entry: Entry) -> None:
        """Log a refusal."""
        self._lines.write(entry)


@dataclass(slots=True)
class _Fold:
    """Polls of one job that say the same."""

    said: tuple[Any, ...]
    since: int
    last: Entry
    count: int = 0
    """Polls that have no line."""


class RequestLog(Effect):
    """Logs every request; polls of one job that say nothing new are counted, and told of with the next that does.

    Where nothing new comes, they are told of once a minute; where no poll comes any more, with the first request after
    that time, or as the job is forgotten.
    """

    events = (Forgotten,)

    def __init__(self, names: JobNames, history: History) -> None:
        self._lines = RequestLines(names, history)
        self._history = history
        self._folds: dict[tuple[str, str, str], _Fold] = {}

    def answered(self, entry: Entry) -> None:
        """Log a request, or count a poll."""
        self._log(entry)
        if self._folds:
            self._tell_of_old(entry.at)

    def _log(self, entry: Entry) -> None:
        if entry.operation not in _POLLS or not entry.job:
            self._lines.write(entry)
            return
        key = entry.endpoint, entry.operation, entry.job
        changes, status = self._history.last(entry.endpoint, entry.job)
        said = entry.status, entry.fault, changes, status
        fold = self._folds.pop(key, None)
        if fold is None:
            self._folds[key] = _Fold(said, entry.at, entry)
            self._make_room()
            self._lines.write(entry)
        elif fold.said == said and entry.at - fold.since < _STILL:
            fold.count += 1
            fold.last = entry
            self._folds[key] = fold
        else:
            self._folds[key] = _Fold(said, entry.at, entry)
            self._lines.write(entry, _before(fold, entry.at), polls=fold.count)

    def _make_room(self) -> None:
        """The polls that came longest ago are no longer counted: nobody seems to wait for that job."""
        if len(self._folds) > _FOLLOWED:
            self._give_up(next(iter(self._folds)))

    def _tell_of_old(self, now: int) -> None:
        """The polls that came longest ago come no more."""
        first = next(iter(self._folds))
        if now - self._folds[first].last.at >= _STILL:
            self._give_up(first)

    def _give_up(self, key: tuple[str, str, str]) -> None:
        fold = self._folds.pop(key)
        if fold.count:
            polls, fold.count = fold.count, fold.count - 1
            before = _before(fold, fold.last.at)
            self._lines.write(fold.last, before, _THE_LAST, polls=polls, was=fold.said[3])

    def heard(self, transition: Transition) -> None:
        """A job is gone: no poll of it says anything new."""
        for operation in _POLLS:
            key = transition.job.endpoint, operation, transition.job.id
            if key in self._folds:
                self._give_up(key)

    def cleared(self, endpoint: str | None) -> None:
        """The jobs are gone, and their polls are no longer counted."""
        self._folds = {} if endpoint is None else {key: one for key, one in self._folds.items() if key[0] != endpoint}


def request_log(options: LogOptions, history: History) -> list[Effect]:
    """The effect that logs requests, if there is one."""
    kind = {"all": RequestLog, "errors": RefusalLog}.get(options.requests)
    return [] if kind is None else [kind(options.names, history)]


def _before(fold: _Fold, now: int) -> str:
    """How many polls have said the same before this one."""
    if not fold.count:
        return ""
    polls = "1 poll" if fold.count == 1 else f"{fold.count} polls"
    return f"before that {polls} {fold.said[3]}".rstrip() + f" in {length(max(0, now - fold.since))}"


def short_path(path: str) -> str:
    """A path without its prefix; a long one is cut."""
    path = path.removeprefix(_PREFIX)
    return path if len(path) <= _LONGEST else f"{path[:_LONGEST]}…"


def _bounded(path: str) -> str:
    return path if len(path) <= _LONGEST_FACT else f"{path[:_LONGEST_FACT]}…"


def _path(entry: Entry) -> str:
    """The path without its prefix and without the id of a job, which is told otherwise."""
    return short_path(entry.path.removesuffix(f"/{entry.job}") if entry.job else entry.path)


def _facts(entry: Entry, polls: int) -> dict[str, object]:
    """What the line says, for programs."""
    path = f"{entry.path}?{entry.query}" if entry.query else entry.path
    return {
        "event": "request", "endpoint": entry.endpoint, "operation": entry.operation, "method": entry.method,
        "path": _bounded(path), "status": entry.status, "ms": entry.took, "job": entry.job, "stub": entry.stub,
        "fault": entry.fault, "why": entry.why, "polls": polls or None,
    }  # fmt: skip
