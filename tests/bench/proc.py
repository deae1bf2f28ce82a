"""A process seen from outside, through /proc: its memory, its time, its wake-ups. Linux only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


def resident(pid: int) -> int:
    """Bytes that the process holds in memory."""
    return _status(Path(f"/proc/{pid}/status"), "VmRSS") * 1024


def peak(pid: int) -> int:
    """The most it held since `reset_peak`."""
    return _status(Path(f"/proc/{pid}/status"), "VmHWM") * 1024


def reset_peak(pid: int) -> None:
    """Let the peak begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


class Activity(NamedTuple):
    """What a process has done so far."""

    seconds: float
    """Of processor time."""
    wakes: int
    """How often one of its threads had waited for something."""


def activity(pid: int) -> Activity:
    """Of all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    threads = Path(f"/proc/{pid}/task").iterdir()
    wakes = sum(_status(thread / "status", "voluntary_ctxt_switches") for thread in threads)
    return Activity(ticks / os.sysconf("SC_CLK_TCK"), wakes)


def children(pid: int) -> list[int]:
    """Its child processes."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for thread in threads for child in (thread / "children").read_text().split()]


def _status(file: Path, name: str) -> int:
    for line in file.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(name)
