"""What is seen of a job that somebody waits for: one line that moves on a terminal, elsewhere a line for each news."""

from __future__ import annotations

import json
import re
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from runpod_emulator.cli.client.envelope import Envelope, duration
from runpod_emulator.cli.client.shown import STYLES, console, say
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.core.secrets.shown import visible
from runpod_emulator.core.time.clock import ticks

if TYPE_CHECKING:
    from rich.status import Status
    from rich.text import Text

_SHARE = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)(?:\s*(%)|\s*/\s*(\d+)|\W+(?:of|total)\W+(\d+))")
_BAR = 20
_LONGEST = 60
"""Characters of a progress update in the line."""


class LiveLine:
    """The line of one job, which begins with `label`, there within `with`."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._began = ticks()
        self._status: Status | None = None
        self._job: Envelope | None = None
        self._last = ""

    def __enter__(self) -> LiveLine:
        if sys.stderr.isatty():
            self._status = console(sys.stderr).status(self)
            self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the line away: what follows is for whoever reads the output."""
        status, self._status = self._status, None
        if status is not None:
            status.stop()

    def tell(self, job: Envelope) -> None:
        """The job as it is now."""
        self._job = job
        if self._status is not None:
            return
        update = self._update
        news = f"{self._label} {job.status}" + (f": {update}" if update else "")
        if news != self._last and not job.has_ended:
            say(news)
        self._last = news

    def __rich__(self) -> Text:
        """The line at this moment."""
        from rich.text import Text

        line = Text(f"{self._label} ", no_wrap=True, overflow="ellipsis")
        if self._job is not None:
            line.append(self._job.status, STYLES.get(self._job.status, ""))
        line.append(f"  {duration((ticks() - self._began) * 1_000)}", "dim")
        update = self._update
        share = share_of(update)
        if update:
            line.append("  " + ("" if share is None else bar(share) + " ") + update)
        return line

    @property
    def _update(self) -> str:
        """The job's last progress update."""
        job = self._job
        return "" if job is None or job.has_ended else progress_text(job.output_text)


def progress_text(output: str) -> str:
    """A progress update in a few words, of which all can be seen."""
    if not output:
        return ""
    try:
        value: Any = json.loads(output)
    except (ValueError, RecursionError):
        value = output
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = visible(Masks().text(text))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def share_of(update: str) -> float | None:
    """How much of the work is done, from 0 to 1, where the update says `40%`, `2/5` or `{"step": 2, "of": 5}`."""
    match = _SHARE.search(update)
    if match is None:
        return None
    whole = 100.0 if match[2] else float(match[3] or match[4])
    share = float(match[1]) / whole if whole else 2.0
    return share if share <= 1 else None


def bar(share: float) -> str:
    """A share as a bar of characters."""
    done = round(share * _BAR)
    return "━" * done + "╌" * (_BAR - done)
