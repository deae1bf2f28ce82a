"""The type of the fixture that makes emulators for fixtures of a wider scope."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from runpod_emulator.testing.emulator import Emulator
from runpod_emulator.testing.thread import PATIENCE

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from runpod_emulator.testing.options import Options


class EmulatorFactory(Protocol):
    """What the fixture `runpod_emulator_factory` is: it takes what the mark takes."""

    def __call__(
        self, *endpoints: str, patience: float = PATIENCE, strict: bool = False, **options: Unpack[Options]
    ) -> AbstractContextManager[Emulator]:
        """An emulator for a block, at which RunPod clients are pointed as long as that lasts."""
        ...
