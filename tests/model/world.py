"""One namespace: its endpoints, its clock, its webhooks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from tests.model.deliveries import Deliveries
from tests.model.endpoint import Endpoint, Settings
from tests.model.jobs import Terms
from tests.model.mocked import Mocked


class World:
    """All that one namespace is; time moves only by `run_to`."""

    def __init__(self, name: str, now: int, terms: Terms) -> None:
        self.name = name
        self.now = now
        self.shown = 0
        """What to add to a time for the one that is shown: a reset shows that of the start again."""
        self.terms = terms
        self.deliveries = Deliveries(terms)
        self.endpoints: dict[str, Endpoint] = {}
        self._numbers = itertools.count(1)
        self.ever: set[str] = set()
        """The ids of all jobs there ever were."""

    def add(self, name: str, kind: str, settings: Settings | None = None) -> Endpoint:
        """One endpoint more."""
        made = Mocked if kind == "mock" else Endpoint
        endpoint = made(name, kind, settings or Settings(), self.terms, self.deliveries, self._numbers)
        self.endpoints[name], endpoint.now = endpoint, self.now
        return endpoint

    def _events(self) -> Iterator[tuple[int, int, Any]]:
        yield from self.deliveries.events()
        for endpoint in self.endpoints.values():
            yield from endpoint.events()

    def run_to(self, until: int) -> None:
        """Let everything happen that is due by then, in its order."""
        while True:
            due = min(self._events(), key=lambda event: event[:2], default=None)
            if due is None or due[0] > until:
                break
            self._be_at(max(due[0], self.now), True)
            due[2](self.now)
        self._be_at(until, False)

    def _be_at(self, at: int, in_time: bool) -> None:
        self.now = at
        for endpoint in self.endpoints.values():
            endpoint.now, endpoint.is_in_time = at, in_time
