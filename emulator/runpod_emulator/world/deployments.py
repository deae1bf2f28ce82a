"""What the endpoints of a world were deployed as: what the management API shows of them beside what they do.

Each has a record. That of an endpoint of the configuration says what its settings and variables say. A change of what
its workers run is a release, with a number of its own; which release a worker runs follows from when it was started.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from runpod_emulator.core.endpoint.workforce import Workforce
from runpod_emulator.core.errors import EndpointNotFound

EndpointType = Literal["QUEUE", "LOAD_BALANCER"]

DISK = 20
"""GB of a container's disk where nobody says more, as in the specification's examples; kept and shown, no more."""
_OF_THE_SERVER = ("PYTHONDONTWRITEBYTECODE", "RUNPOD_VOLUME_PATH")
"""Variables that the server gives workers by itself: neither shown nor taken away."""
RELEASED = (
    "image", "template_id", "args", "env", "disk", "ports", "registry", "gpu", "cpu", "data_centers", "network_volumes",
)  # fmt: skip
"""Fields whose change is a release: those of the container and of its machine."""


class Change(NamedTuple):
    """One field in a release."""

    field: str
    old: Any
    new: Any


class Release(NamedTuple):
    """One version of an endpoint; `code` is the fleet's count of changes from which on workers run it."""

    version: int
    at: int
    """When it came, in ms since the epoch."""
    code: int
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True)
class Deployment:
    """What one endpoint was deployed as. Workers, scaling and timeouts are in its settings."""

    name: str
    type: EndpointType
    image: str = ""
    template_id: str | None = None
    args: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    disk: int = DISK
    ports: tuple[str, ...] = ()
    registry: str | None = None
    gpu: Mapping[str, Any] | None = None
    cpu: tuple[Mapping[str, Any], ...] = ()
    data_centers: tuple[str, ...] = ()
    network_volumes: tuple[str, ...] = ()
    flashboot: str = "OFF"
    created_at: int = 0
    """In ms since the epoch."""
    releases: tuple[Release, ...] = ()
    """Oldest first; the last is in force."""
    is_ours: bool = True
    """Whether the configuration made it, whose variables may hold secrets of this machine."""

    @property
    def version(self) -> int:
        """The number of the release in force."""
        return self.releases[-1].version

    def version_of(self, code: int) -> int | None:
        """The release of a worker that was started after so many changes of code; None for one that is forgotten."""
        return next((one.version for one in reversed(self.releases) if one.code <= code), None)


@dataclass(slots=True)
class _Kept:
    deployment: Deployment
    first: Deployment
    """What a reset brings back."""
    given: Mapping[str, str]
    """The variables that its workers were to have as it was added."""
    variables: dict[str, str]
    """Those that workers which start now have; changed in place."""

    @property
    def _below(self) -> dict[str, str]:
        own = self.first.env
        return {name: value for name, value in self.given.items() if name not in own}

    @property
    def laid(self) -> dict[str, str]:
        """The variables that were laid over the server's."""
        below = self._below
        return {name: value for name, value in self.variables.items() if name not in below}

    def lay(self, env: Mapping[str, str]) -> None:
        """Let workers that start now have these variables, laid over the server's."""
        self._become(self._below | dict(env))

    def lay_first(self) -> None:
        """Let workers that start now have the variables of the start."""
        self._become(self.given)

    def _become(self, variables: Mapping[str, str]) -> None:
        found = dict(variables)
        self.variables.clear()
        self.variables.update(found)


class Deployments:
    """The records of one world, by endpoint. `renew` brings an endpoint's workers to what they run now."""

    def __init__(
        self,
        now: Callable[[], int],
        new_id: Callable[[], str],
        find: Callable[[str], Workforce | None],
        renew: Callable[[Workforce], None],
    ) -> None:
        self._now = now
        self.new_id = new_id
        """Makes an id for an endpoint that nobody has named, in the form of RunPod's."""
        self._find = find
        self._renew = renew
        self._kept: dict[str, _Kept] = {}

    def of(self, endpoint_id: str) -> Deployment:
        """What an endpoint was deployed as; raises EndpointNotFound."""
        return self._record(endpoint_id).deployment

    def added(self, endpoint_id: str, type: EndpointType, variables: dict[str, str] | None = None) -> None:
        """An endpoint was added, whose workers have these `variables`; they are changed in place."""
        variables = {} if variables is None else variables
        env = {name: value for name, value in variables.items() if name not in _OF_THE_SERVER}
        at = self._now()
        deployment = Deployment(endpoint_id, type, env=env, created_at=at, releases=(Release(1, at, 0),))
        self._kept[endpoint_id] = _Kept(deployment, deployment, dict(variables), variables)

    def note(self, endpoint_id: str, deployment: Deployment) -> None:
        """Say what an endpoint that was just added was deployed as; its workers have the variables already.

        Raises EndpointNotFound.
        """
        kept = self._record(endpoint_id)
        made = kept.deployment
        noted = dataclasses.replace(deployment, created_at=made.created_at, releases=made.releases, is_ours=False)
        kept.deployment = kept.first = noted

    def change(self, endpoint_id: str, fields: Mapping[str, Any], variables: Mapping[str, str] | None = None) -> None:
        """Change fields of a deployment: those of `RELEASED` are a release, which its workers are brought to.

        These get the `variables`; without them they have what they had. Raises EndpointNotFound.
        """
        kept = self._record(endpoint_id)
        before = kept.deployment
        changes = tuple(
            Change(name, getattr(before, name), value)
            for name, value in fields.items()
            if name in RELEASED and getattr(before, name) != value
        )
        after = dataclasses.replace(before, **fields)
        if changes:
            kept.lay(kept.laid if variables is None else variables)
            release = Release(before.version + 1, self._now(), self._begin(endpoint_id), changes)
            after = dataclasses.replace(after, releases=(*before.releases, release))
        kept.deployment = after

    def removed(self, endpoint_id: str) -> None:
        """An endpoint was taken away."""
        self._kept.pop(endpoint_id, None)

    def restore(self) -> None:
        """Let each be what it was as it was added; workers that run a later release are renewed."""
        for endpoint_id, kept in self._kept.items():
            first = kept.first
            if len(kept.deployment.releases) > 1:
                kept.lay_first()
                release = first.releases[0]._replace(code=self._begin(endpoint_id))
                first = dataclasses.replace(first, releases=(release,))
            kept.deployment = first

    def _record(self, endpoint_id: str) -> _Kept:
        kept = self._kept.get(endpoint_id)
        if kept is None:
            raise EndpointNotFound
        return kept

    def _begin(self, endpoint_id: str) -> int:
        """Renew the workers; returns the count of changes of code with which those to come start."""
        workforce = self._find(endpoint_id)
        if workforce is None:
            return 0
        code = workforce.fleet.version + 1
        self._renew(workforce)
        return code
