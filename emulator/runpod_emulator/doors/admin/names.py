"""Names that tests write, of endpoints: a wrong one is refused, or what is asked of it would hold for ever."""

from __future__ import annotations

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.mocks.stubs import is_pattern
from runpod_emulator.core.settings import FLASH
from runpod_emulator.values import nearest
from runpod_emulator.world.world import World


def check_endpoint(world: World, name: str | None) -> None:
    """Raise ConfigurationError for an endpoint that is not there, and of which no request came.

    A pattern may fit none.
    """
    if name is None or name == FLASH or is_pattern(name) or name in world.endpoints:
        return
    if not any(entry.endpoint == name for entry in world.journal):
        raise ConfigurationError(f"there is no endpoint {name}{nearest(name, world.endpoints)}")
