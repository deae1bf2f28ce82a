"""The webhook calls that are owed, and what the receiver answers them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.model.jobs import Job, Terms

REST = 50
"""ms that a host which has failed is left alone: the emulator's own choice, the contract does not speak of it."""


@dataclass(eq=False)
class Owed:
    """One call to be made."""

    body: dict[str, Any]
    due: int
    rank: int
    endpoint: str
    attempts: int = 0


@dataclass
class Deliveries:
    """The calls of one world, in the order in which they are made."""

    terms: Terms
    owed: list[Owed] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    made: list[tuple[int, dict[str, Any], int]] = field(default_factory=list)
    """When, with which body, and what it was answered."""
    _line: list[Owed] = field(default_factory=list)
    _rests_until: int = 0

    def owe(self, endpoint: str, job: Job, at: int) -> None:
        """A job has ended; its body is frozen now."""
        if job.webhook is not None:
            self.owed.append(Owed(job.told(), at, job.place, endpoint))

    def reset(self) -> None:
        """Forget what was owed, made and answered."""
        self.owed, self.answers, self.made, self._line, self._rests_until = [], [], [], [], 0

    def drop(self, endpoint: str) -> None:
        """Forget what is owed for the jobs of one endpoint."""
        self.owed = [one for one in self.owed if one.endpoint != endpoint]
        self._line = [one for one in self._line if one.endpoint != endpoint]

    def events(self) -> Iterator[tuple[int, int, Any]]:
        """When calls are due next."""
        if self.owed:
            yield min(one.due for one in self.owed), 5, self._line_up
        if self._line:
            yield self._rests_until, 6, self._work

    def _line_up(self, at: int) -> None:
        due = sorted((one for one in self.owed if one.due <= at), key=lambda one: (one.due, one.rank))
        self.owed = [one for one in self.owed if one not in due]
        self._line += due
        if at >= self._rests_until:
            self._work(at)

    def _work(self, at: int) -> None:
        while self._line:
            self._make(self._line.pop(0), at)

    def _make(self, one: Owed, at: int) -> None:
        status = self.answers.pop(0) if self.answers else 200
        self.made.append((at, one.body, status))
        one.attempts += 1
        acknowledged = 200 <= status < 300
        self._rests_until = 0 if acknowledged else at + REST
        if not acknowledged and one.attempts <= len(self.terms.webhook_delays):
            one.due = at + self.terms.webhook_delays[one.attempts - 1]
            self.owed.append(one)
