"""One line for each thing that an emulator tells of: a line of a worker, a request, a change of a job."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any, NamedTuple

from runpod_emulator.cli.client.envelope import duration
from runpod_emulator.cli.client.named import short
from runpod_emulator.cli.client.shown import STYLES, console
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.core.secrets.shown import visible

_MASKS = Masks()
PROGRESSED = "Progressed"
"""The change of a job that has told how far it is."""
_OF_LEVEL = {"error": "red", "warning": "yellow"}


class Part(NamedTuple):
    """Some words of a line, and how they look on a terminal."""

    text: str
    style: str = ""


def print_line(parts: list[Part]) -> None:
    """A line on standard output: coloured on a terminal, and all of it can be seen."""
    shown = [Part(visible(_MASKS.text(part.text)), part.style) for part in parts]
    if not sys.stdout.isatty():
        print("".join(part.text for part in shown), flush=True)
        return
    from rich.text import Text

    console().print(Text.assemble(*shown), soft_wrap=True)


def log_line(line: dict[str, Any]) -> list[Part]:
    """A line that a worker has printed: `15:04:05 echo#1 8881c1a2 │ text`."""
    number = line.get("number")
    worker = f"#{number}" if number is not None else ""
    job = short(str(line.get("job") or ""))
    prefix = f"{line.get('endpoint')}{worker}" + (f" {job}" if job else "")
    style = _OF_LEVEL.get(str(line.get("level")), "")
    return [_time(line), Part(prefix, "cyan"), Part(" │ ", "dim"), Part(str(line.get("text", "")), style)]


def transition_line(told: dict[str, Any], what: str = "") -> list[Part]:
    """A change of a job: `15:04:05 echo/8881c1a2 COMPLETED  worker abc`; `what` is its progress, or its error."""
    status = str(told.get("status"))
    more = [f"worker {told['worker']}"] if told.get("worker") else []
    more += [f"retries {told['retries']}"] if told.get("retries") else []
    event = str(told.get("event") or "")
    if event.upper() == status.replace("_", "") or (what and event == PROGRESSED):
        event = ""
    return [
        _time(told),
        Part(f"{told.get('endpoint')}/{short(str(told.get('id')))} "),
        Part(status, STYLES.get(status, "")),
        Part(f"  {event}" if event else "", "dim"),
        Part(f"  {what}" if what else "", "red" if status in ("FAILED", "TIMED_OUT") else ""),
        Part("".join(f"  {one}" for one in more), "dim"),
    ]


def request_line(told: dict[str, Any]) -> list[Part]:
    """A request: `15:04:05 POST /v2/echo/run 200  1 ms  job 8881c1a2`, and why it was refused."""
    status, took, job = told.get("status"), told.get("took"), told.get("job")
    is_refused = isinstance(status, int) and status >= 400
    notes = [duration(took)] if isinstance(took, int | float) else []
    notes += [f"job {short(str(job))}"] if job else []
    notes += [f"{name} {told[name]}" for name in ("stub", "fault") if told.get(name)]
    why = str(told.get("why") or "")
    return [
        _time(told),
        Part(f"{told.get('method')} {told.get('path')} "),
        Part(str(status), "red" if is_refused else "green"),
        Part("".join(f"  {note}" for note in notes), "dim"),
        Part(f"  {why}" if why else "", "red" if is_refused else ""),
    ]


def time_of(at: Any) -> str:
    """A moment in ms since the epoch as the time of day here; "" for none."""
    try:
        return datetime.fromtimestamp(at / 1_000).strftime("%H:%M:%S")
    except (TypeError, ValueError, OverflowError, OSError):
        return ""


def _time(told: dict[str, Any]) -> Part:
    return Part(f"{time_of(told.get('at'))} ", "dim")
