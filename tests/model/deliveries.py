"""The webhook calls that are owed, and what the receiver answers them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.model.jobs import Job, Terms


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

    def owe(self, job: Job, at: int) -> None:
        """A job has ended; its body is frozen now."""
        if job.webhook is not None:
            self.owed.append(Owed(job.told(), at))

    def events(self) -> Iterator[tuple[int, int, Any]]:
        """The calls that are due."""
        for one in self.owed:
            yield one.due, 5, lambda one=one: self._make(one)

    def _make(self, one: Owed) -> None:
        status = self.answers.pop(0) if self.answers else 200
        self.made.append((one.due, one.body, status))
        one.attempts += 1
        if 200 <= status < 300 or one.attempts > len(self.terms.webhook_delays):
            self.owed.remove(one)
        else:
            one.due += self.terms.webhook_delays[one.attempts - 1]
