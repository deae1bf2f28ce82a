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
    attempts: int = 0


@dataclass
class Deliveries:
    """The calls of one world, in the order in which they are made."""

    terms: Terms
    owed: list[Owed] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    made: list[tuple[int, dict[str, Any], int]] = field(default_factory=list)
    """When, with which body, and what it was answered."""
    _rests_until: int = 0

    def owe(self, job: Job, at: int) -> None:
        """A job has ended; its body is frozen now."""
        if job.webhook is not None:
            self.owed.append(Owed(job.told(), at))

    def events(self) -> Iterator[tuple[int, int, Any]]:
        """When calls are due next."""
        if self.owed:
            yield max(min(one.due for one in self.owed), self._rests_until), 0, self._make_due

    def _make_due(self, at: int) -> None:
        for one in sorted((one for one in self.owed if one.due <= at), key=lambda one: one.due):
            self._make(one, at)

    def _make(self, one: Owed, at: int) -> None:
        status = self.answers.pop(0) if self.answers else 200
        self.made.append((at, one.body, status))
        one.attempts += 1
        acknowledged = 200 <= status < 300
        self._rests_until = 0 if acknowledged else at + REST
        if acknowledged or one.attempts > len(self.terms.webhook_delays):
            self.owed.remove(one)
        else:
            one.due = at + self.terms.webhook_delays[one.attempts - 1]
