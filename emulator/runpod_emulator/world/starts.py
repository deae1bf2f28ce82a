"""How the endpoints of a world began, so that a reset can bring them back to that."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from runpod_emulator.core.endpoint.workforce import Workforce
from runpod_emulator.core.settings import EndpointSettings


class Kept(Protocol):
    """An endpoint of either kind."""

    @property
    def settings(self) -> EndpointSettings:
        """The settings as they are now."""
        ...

    @property
    def workforce(self) -> Workforce:
        """Its workers."""
        ...

    async def configure(self, settings: EndpointSettings) -> None:
        """Go on with other settings."""
        ...


class _Start(NamedTuple):
    settings: EndpointSettings
    again: Callable[[], Kept]
    """Adds the endpoint as it was added then."""
    passes: bool
    """Whether it goes with the next reset."""


class Starts:
    """What each endpoint was as it was added. Those that a stub or a function of a test has made pass with a reset.

    One of the start comes back, if it was taken away; one that was added later does not.
    """

    def __init__(self, find: Callable[[str], Kept | None]) -> None:
        self._find = find
        self._starts: dict[str, _Start] = {}
        self._lasting: set[str] = set()

    def added(self, endpoint_id: str, settings: EndpointSettings, again: Callable[[], Kept]) -> None:
        """An endpoint was added; `again` does the same once more."""
        self._starts[endpoint_id] = _Start(settings, again, passes=False)

    def declared(self, endpoint_id: str, **changes: Any) -> None:
        """The source of an endpoint says other settings now."""
        start = self._starts[endpoint_id]
        self._starts[endpoint_id] = start._replace(settings=dataclasses.replace(start.settings, **changes))

    def forget(self, endpoint_id: str) -> None:
        """An endpoint comes back no more: its source declares it no longer."""
        self._starts.pop(endpoint_id, None)
        self._lasting.discard(endpoint_id)

    def keep(self) -> None:
        """The start is over: what is there now is there after each reset."""
        self._lasting = set(self._starts)

    def let_pass(self, endpoint_id: str) -> None:
        """An endpoint is there until the next reset only."""
        self._starts[endpoint_id] = self._starts[endpoint_id]._replace(passes=True)

    def removed(self, endpoint_id: str) -> None:
        """An endpoint was taken away."""
        if endpoint_id not in self._lasting:
            self._starts.pop(endpoint_id, None)

    def passing(self) -> list[str]:
        """The endpoints that go with this reset."""
        return [endpoint_id for endpoint_id, start in self._starts.items() if start.passes]

    async def restore(self) -> None:
        """Bring the settings of all back, and those that were taken away; their workers come when there are jobs."""
        for endpoint_id, start in self._starts.items():
            endpoint = self._find(endpoint_id)
            if endpoint is None:
                start.again().workforce.begin()
            elif endpoint.settings != start.settings:
                await endpoint.configure(start.settings)
