"""Secrets are masked before a line is made of a record."""

from __future__ import annotations

import logging

from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.core.secrets.shown import traceback_block


class WithoutSecrets(logging.Filter):
    """Masks what looks like a secret, in tracebacks too."""

    def __init__(self, masks: Masks) -> None:
        super().__init__()
        self._masks = masks

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, and let it pass."""
        if record.name == "runpod_emulator.jobs" and record.levelno < logging.WARNING:
            return True  # how a job ended: the commonest line, and it repeats nothing that anybody has sent
        text = self._masks.text
        plain = record.getMessage()
        record.msg, record.args = text(plain), None
        if record.exc_info:
            record.exc_text = text(
                record.exc_text or traceback_block(logging.Formatter().formatException(record.exc_info))
            )
        if record.stack_info:
            record.stack_info = text(record.stack_info)
        if record.msg != plain and hasattr(record, "coloured"):
            delattr(record, "coloured")  # a colour within a secret, or its name, would hide it from the masks
        return True
