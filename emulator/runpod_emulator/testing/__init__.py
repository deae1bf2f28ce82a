"""The emulator inside a Python program: `with Emulator() as emu:` for tests of whatever calls RunPod.

>>> from runpod_emulator import Emulator
>>> with Emulator("llm") as emu:
...     _ = emu.stub(endpoint="llm", respond={"output": "hello"})
...     emu.base_url.startswith("http://127.0.0.1:")
True

No client is pointed at it by itself: give yours `base_url`, or put `environment` into `os.environ` before it is made.
"""

from runpod_emulator.testing.clock import Clock
from runpod_emulator.testing.emulator import Emulator
from runpod_emulator.testing.factory import EmulatorFactory
from runpod_emulator.testing.handles import Fault, Stub
from runpod_emulator.testing.records import Job, Loaded, Request, Transition, WebhookCall
from runpod_emulator.testing.state import Snapshot, State
from runpod_emulator.testing.thread import NotRunning
from runpod_emulator.testing.webhooks import Webhooks

__all__ = [
    "Clock", "Emulator", "EmulatorFactory", "Fault", "Job", "Loaded", "NotRunning", "Request", "Snapshot", "State",
    "Stub", "Transition", "WebhookCall", "Webhooks",
]  # fmt: skip
