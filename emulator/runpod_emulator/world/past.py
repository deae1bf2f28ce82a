"""What happened in a world before this server was there: only those hear of it who keep what was."""

from __future__ import annotations

from collections.abc import Sequence

from runpod_emulator.core.jobs.job import Transition
from runpod_emulator.core.jobs.store import Cleared
from runpod_emulator.core.records.news import Effect


def remember(records: Sequence[Effect], piece: Transition | Cleared) -> None:
    """Tell records of one piece of it."""
    for record in records:
        if isinstance(piece, Cleared):
            record.cleared(piece.endpoint)
        elif type(piece.event) in record.events:
            record.heard(piece)
