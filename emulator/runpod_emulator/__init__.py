"""runpod-emulator: RunPod Serverless on your machine.

`from runpod_emulator import Emulator` is the emulator inside a Python program.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runpod_emulator.testing import Emulator

__all__ = ["Emulator", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`Emulator` is loaded when it is asked for: the command line never needs it."""
    if name != "Emulator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from runpod_emulator.core.time.clock import genuine_dates

    with genuine_dates():
        from runpod_emulator.testing import Emulator

    return Emulator
