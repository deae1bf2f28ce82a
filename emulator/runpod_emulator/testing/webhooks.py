"""The receiver for webhooks that every emulator has, on its own port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.records.receiver import Received
from runpod_emulator.testing.records import WebhookCall

if TYPE_CHECKING:
    from runpod_emulator.testing.thread import Link


class Webhooks:
    """Takes the webhook calls of a world, and answers them 200, or what a test says."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def url(self) -> str:
        """What a client gives as `webhook`."""
        return self._link.hooks_url("test")

    @property
    def received(self) -> list[WebhookCall]:
        """The calls that came, oldest first."""
        return self._link.ask(lambda world: [_record(call, world.timeline.drift()) for call in world.receiver])

    def answer(self, status: int, times: int = 1) -> None:
        """Answer the next calls with this status; all others with 200."""
        if not 200 <= status <= 599:
            raise ConfigurationError(f"status: {status} is no answer of a webhook; write 200 to 599")
        if times < 0:
            raise ConfigurationError(f"times: {times} calls can't be answered; write 0 or more")
        self._link.ask(lambda world: world.receiver.answer(status, times))


def _record(call: Received, drift: int) -> WebhookCall:
    try:
        parsed = call.json
    except ValueError:
        parsed = None
    return WebhookCall((call.at + drift) / 1000, call.name, call.headers, call.body, call.status, parsed)
