"""Short names of workers and jobs in the log: `echo#1 8881`."""

from __future__ import annotations

from collections import OrderedDict

from runpod_emulator.core.jobs.ids import SYNC

_SHORTEST, _LONGEST = 4, 8
"""Characters of a job's id."""
_KEPT = 10_000
"""Jobs that are known by short names; of the one that was named longest ago the name is free again."""


class JobNames:
    """The beginnings of the ids of jobs, each of as many characters as tell it from all that were named lately."""

    def __init__(self) -> None:
        self._names: OrderedDict[str, str] = OrderedDict()
        self._jobs: dict[str, str] = {}
        self._introduced: set[str] = set()

    def short(self, job: str) -> str:
        """The short name of a job; "" of none."""
        return self._names.get(job) or self._named(job)

    def introduced(self, job: str) -> str:
        """The whole id where nobody was told of it yet, else ""."""
        if job in self._introduced:
            return ""
        if job not in self._names:
            self._named(job)
        self._introduced.add(job)
        return job

    def _named(self, job: str) -> str:
        if not job:
            return ""
        if len(self._names) >= _KEPT:
            oldest, name = self._names.popitem(last=False)
            self._introduced.discard(oldest)
            if self._jobs.get(name) == oldest:
                del self._jobs[name]
        begun = job.removeprefix(SYNC)
        name = begun[:_SHORTEST]
        while name in self._jobs and len(name) < _LONGEST:
            name = begun[: len(name) + 1]
        self._names[job] = name
        self._jobs.setdefault(name, job)
        return name


def worker_name(endpoint: str, number: int) -> str:
    """The short name of a worker, or its endpoint's where the worker is not known."""
    return f"{endpoint}#{number}" if number else endpoint
