"""What workers print, in the log."""

from __future__ import annotations

import logging

from runpod_emulator.core.records.news import Effect, Line
from runpod_emulator.core.secrets.shown import Shown

log = logging.getLogger("runpod_emulator.worker")


class WorkerLog(Effect):
    """Logs each line with its endpoint, worker and job."""

    def printed(self, line: Line) -> None:
        """Log a line."""
        where = "/".join(filter(None, (line.endpoint, line.worker, line.job)))
        extra = {"coloured": line.coloured} if line.coloured else None
        log.info("%s | %s", where, Shown(line.text), extra=extra)
