"""How requests are told of in a line of text: polls that are alike are one line, with their number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runpod_emulator.core.durations import length
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.records.news import Entry
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.core.secrets.shown import visible

_POLLS = frozenset(
    one.value for one in (Operation.STATUS, Operation.STATUS_SYNC, Operation.STREAM, Operation.HEALTH)
)  # fmt: skip
_LONGEST = 200
"""Characters of a path, and of a reason, that are told."""


@dataclass(slots=True)
class Fold:
    """Requests that are told of in one line."""

    first: Entry
    last: Entry
    count: int = 1
    rest: str = ""
    """What is said of each of them beside."""

    def line(self, masks: Masks, began_at: int | None = None) -> str:
        """The line, without secrets; with the seconds since `began_at`, if that is given."""
        one, number = self.first, f"#{self.first.number}{_after(self.first, began_at)}"
        path = _shown(one.path, masks)
        job = f", job {_shown(one.job, masks)}" if one.job and one.job not in one.path else ""
        why = f" by fault {masks.text(one.fault)}" if one.fault else one.why and f" ({_shown(one.why, masks)})"
        told = f"{one.method} {path}: {one.status or 'connection reset'}{why}{job}"
        if self.count == 1:
            return f"{number} {told}{self.rest}"
        return f"{self.count} x {told}, {number} to #{self.last.number}{_after(self.last, began_at)}{self.rest}"


def _shown(text: str, masks: Masks) -> str:
    """What a client has written, without secrets, and so that it makes no line and no colour of its own."""
    text = visible(masks.text(text))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _after(entry: Entry, began_at: int | None) -> str:
    return "" if began_at is None else f" +{length(entry.at - began_at)}"


def folded(entries: Iterable[tuple[Entry, str]]) -> list[Fold]:
    """Requests with what is said of each beside, in their order; what is alike in a row is one, and so are polls."""
    folds: list[Fold] = []
    alike: dict[tuple[str, str, int, str, str], Fold] = {}
    for entry, rest in entries:
        why = "" if entry.operation in _POLLS else entry.why  # that of a poll says how long ago
        key = entry.method, entry.path, entry.status, entry.job, f"{entry.fault} {why} {rest}"
        if key in alike:
            alike[key].count += 1
            alike[key].last = entry
            continue
        if entry.operation not in _POLLS or (folds and folds[-1].first.operation not in _POLLS):
            alike.clear()
        alike[key] = Fold(entry, entry, rest=rest)
        folds.append(alike[key])
    return folds


def lines(entries: Iterable[tuple[Entry, str]], masks: Masks, most: int, began_at: int | None = None) -> list[str]:
    """The last `most` lines about requests, with the number of those that are left out."""
    folds = folded(entries)
    left_out = sum(fold.count for fold in folds[:-most])
    told = [fold.line(masks, began_at) for fold in folds[-most:]]
    return [f"{left_out} earlier ones", *told] if left_out else told
