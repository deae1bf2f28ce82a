"""What templates may name."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import Any

from runpod_emulator.core.mocks.script import Scene

Names = dict[str, Any]


def names_of(scene: Scene) -> Names:
    """The names in templates of a scene; all dice in it are the scene's own.

    `now` is ms since the epoch, `now_iso` the same as `2023-11-14T22:13:20.000Z`.
    """
    now = scene.now
    moment = datetime.fromtimestamp(now / 1000, tz=timezone.utc)
    chance = scene.chance
    return {
        "input": scene.input,
        "headers": dict(scene.headers),
        "call": scene.call,
        "run": scene.run,
        "endpoint": scene.endpoint,
        "job": scene.job,
        "now": now,
        "now_iso": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "random": chance.random,
        "randint": chance.randint,
        "choice": chance.choice,
        "uuid": lambda: str(uuid.UUID(int=chance.getrandbits(128), version=4)),
    }
