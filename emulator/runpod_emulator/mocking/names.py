"""What templates may name."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from datetime import datetime, timezone
from typing import Any

from runpod_emulator.core.mocks.script import Scene

Names = dict[str, Any]
FOR_FILTERS = frozenset({"choice"})
"""Names that filters ask for: `random` throws the scene's own dice."""
_NAMES: dict[str, Callable[[Scene], Any]] = {
    "input": lambda scene: scene.input,
    "headers": lambda scene: dict(scene.headers),
    "call": lambda scene: scene.call,
    "run": lambda scene: scene.run,
    "endpoint": lambda scene: scene.endpoint,
    "job": lambda scene: scene.job,
    "random": lambda scene: scene.chance.random,
    "randint": lambda scene: scene.chance.randint,
    "choice": lambda scene: scene.chance.choice,
    "uuid": lambda scene: lambda: str(uuid.UUID(int=scene.chance.getrandbits(128), version=4)),
}
_TIMES = frozenset({"now", "now_iso"})


def names_of(scene: Scene, asked: Collection[str]) -> Names:
    """Those of the names in templates of a scene that they ask for; all dice in it are the scene's own.

    `now` is ms since the epoch, `now_iso` the same as `2023-11-14T22:13:20.000Z`.
    """
    names = {name: _NAMES[name](scene) for name in asked if name in _NAMES}
    if not _TIMES.isdisjoint(asked):
        names["now"] = now = scene.now
        moment = datetime.fromtimestamp(now / 1000, tz=timezone.utc)
        names["now_iso"] = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return names
