"""What workers print, in the log: `echo#1 8881 │ text`."""

from __future__ import annotations

import logging

from runpod_emulator.core.records.news import Effect, Line
from runpod_emulator.core.secrets.shown import BAR, Shown, block
from runpod_emulator.effects.names import JobNames, worker_name

log = logging.getLogger("runpod_emulator.worker")

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class WorkerLog(Effect):
    """Logs each line behind its endpoint, worker and job; a traceback as one record."""

    def __init__(self, names: JobNames) -> None:
        self._names = names
        self._before: list[str] = []
        """The lines of a traceback that has not come to its end."""

    def printed(self, line: Line) -> None:
        """Log a line, unless it waits for the rest."""
        if line.more:
            self._before.append(line.text)
            return
        before, self._before = self._before, []
        level = _LEVELS[line.level]
        if not log.isEnabledFor(level):
            return
        name, short = worker_name(line.endpoint, line.number), self._names.short(line.job)
        facts = {"event": "printed", "endpoint": line.endpoint, "worker": line.worker, "job": line.job}
        if short and log.isEnabledFor(logging.INFO) and (whole := self._names.introduced(line.job)):
            log.info("%s %s is job %s", name, short, whole, extra={"facts": facts | {"event": "named"}})
        extra: dict[str, object] = {"facts": facts}
        if line.coloured and not before:
            extra["coloured"] = line.coloured
        text = block("\n".join((*before, line.text))) if before else Shown(line.text)
        log.log(level, f"%s{BAR}%s", Shown(f"{name} {short}" if short else name), text, extra=extra)
