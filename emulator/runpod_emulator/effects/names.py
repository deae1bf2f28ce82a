"""Short names of workers and jobs in the log: `echo#1 8881`."""

from __future__ import annotations

from runpod_emulator.core.jobs.ids import SYNC

_SHORTEST, _LONGEST = 4, 8
"""Characters of a job's id."""
_KEPT = 10_000
"""Jobs that are known by short names; of the one that was named longest ago the name is free again."""


class JobNames:
    """The beginnings of the ids of jobs, each of as many characters as tell it from all that were named lately."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._jobs: dict[str, str] = {}
        self._introduced: set[str] = set()

    def short(self, job: str) -> str:
        """The short name of a job; "" of none."""
        return self._names.get(job) or self._named(job)

    def introduced(self, job: str) -> str:
        """The whole id where nobody was told of it yet, else ""."""
        if job in self._introduced:
            return ""
        self.short(job)
        self._introduced.add(job)
        return job

    def _named(self, job: str) -> str:
        if not job:
            return ""
        if len(self._names) >= _KEPT:
            oldest = next(iter(self._names))
            self._introduced.discard(oldest)
            if self._jobs.get(name := self._names.pop(oldest)) == oldest:
                del self._jobs[name]
        begun = job.removeprefix(SYNC)
        lengths = range(_SHORTEST, _LONGEST + 1)
        name = next((begun[:length] for length in lengths if begun[:length] not in self._jobs), begun[:_LONGEST])
        self._names[job] = name
        self._jobs.setdefault(name, job)
        return name


def worker_name(endpoint: str, number: int) -> str:
    """The short name of a worker, or its endpoint's where the worker is not known."""
    return f"{endpoint}#{number}" if number else endpoint
