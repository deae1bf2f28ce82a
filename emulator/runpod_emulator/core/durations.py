"""How durations are read."""

from __future__ import annotations


def length(duration: int) -> str:
    """A duration of so many ms, as it is read: 1.5 s, 10 min."""
    for unit, name in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min")):
        if duration >= unit:
            return f"{duration / unit:.2f}".rstrip("0").rstrip(".") + f" {name}"
    return f"{duration / 1000:.3f}".rstrip("0").rstrip(".") + " s"
