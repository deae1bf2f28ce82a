"""The receiver for webhooks that every emulator has, on its own port."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.records.receiver import Received
from runpod_emulator.testing.checking import asked, checked, text
from runpod_emulator.testing.clock import in_milliseconds
from runpod_emulator.testing.records import WebhookCall

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from runpod_emulator.testing.thread import Link
    from runpod_emulator.testing.written import CallFilter, Duration, Json

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")


class Webhooks:
    """Takes the webhook calls of a world, and answers them 200, or what a test says."""

    def __init__(self, link: Link) -> None:
        self._link = link

    @property
    def url(self) -> str:
        """What a client gives as `webhook`: that of the name `test`."""
        return self.url_for("test")

    def url_for(self, name: str) -> str:
        """A URL for webhooks of one name, by which their calls are told apart."""
        return self._link.hooks_url(_checked_name(name))

    @property
    def received(self) -> list[WebhookCall]:
        """The calls that came, oldest first."""
        return self._link.ask(lambda world: [_record(call, world.timeline.drift()) for call in world.receiver])

    def received_at(self, name: str) -> list[WebhookCall]:
        """Those that came to the URL of this name."""
        _checked_name(name)
        return [call for call in self.received if call.name == name]

    def answer(
        self,
        status: int | str = 200,
        times: int = 1,
        *,
        name: str | None = None,
        delay: Duration = 0,
        body: Json = None,
        drop: bool = False,
    ) -> None:
        """Answer the next calls, or those of one name, so; all others with 200.

        `delay` is seconds on the emulator's clock, a text such as "2s", or a timedelta. `body` is JSON, or a text.
        With `drop` the connection ends without an answer.

        >>> from runpod_emulator import Emulator
        >>> with Emulator("llm") as emu:
        ...     emu.webhooks.answer(503, times=2)
        ...     emu.webhooks.answer(drop=True, name="orders")
        """
        from runpod_emulator.doors.admin.calls import Answers

        status = int(status) if isinstance(status, str) and re.fullmatch("[0-9]{3}", status) else status
        if not (isinstance(status, int) and 200 <= status <= 599):
            raise ConfigurationError(f"status: {status} is no answer of a webhook; write 200 to 599")
        if isinstance(times, bool) or not isinstance(times, int) or times < 0:
            raise ConfigurationError(f"times: {times} calls can't be answered; write 0 or more")
        if drop and (body is not None or status != 200):
            raise ConfigurationError("drop: a connection that is dropped has no status and no body")
        if name is not None:
            _checked_name(name)
        told: dict[str, Any] = {"drop": True} if drop else {"status": status, "body": body}
        given = checked(Answers, {"delay": f"{in_milliseconds(delay, 'delay')}ms", "name": name, **told})
        self._link.ask(lambda world: given.tell(world, times))

    def assert_received(
        self,
        *,
        count: int | None = None,
        at_least: int | None = None,
        at_most: int | None = None,
        **match: Unpack[CallFilter],
    ) -> None:
        """Raise AssertionError, which says what came instead, unless such a call came, or as many of them.

        >>> from runpod_emulator import Emulator
        >>> with Emulator("llm") as emu:
        ...     emu.webhooks.assert_received(name="orders", body={"status": "COMPLETED"}, count=0)
        """
        from runpod_emulator.doors.admin.calls import Expected

        given = checked(Expected, {"match": match, "count": count, "at_least": at_least, "at_most": at_most})
        answer = asked(self._link, given.verified(self._link.world))
        if not answer.ok:
            raise AssertionError(answer.detail)

    def clear(self) -> None:
        """Forget the calls that came, and what was to be answered."""
        self._link.ask(lambda world: world.receiver.clear())


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(text("name", name)):
        raise ConfigurationError(f"{name!r} is no name of webhooks: write letters, digits, '.', '_' and '-'")
    return name


def _record(call: Received, drift: int) -> WebhookCall:
    try:
        parsed = call.json
    except ValueError:
        parsed = None
    return WebhookCall((call.at + drift) / 1000, call.name, call.headers, call.body, call.status, parsed)
