"""What a client saw of a job, without what differs from run to run, and how two such sights differ."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields

_STRING = r'"((?:\\.|[^"\\])*)"'
_ERROR = re.compile(r'"error":\s?' + _STRING)
_TIMES = re.compile(r'"(delayTime|executionTime)":\d+')
_MEASURED = re.compile(r'"(ready_delay_ms|duration_ms)": [0-9.e+-]+')
_MOMENTS = re.compile(r'"(start_utc|stop_utc)": "[^"]+"')
_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")
_MARGIN = re.compile(r"^ *\| ")
_FRAME = re.compile(r'  File "(?P<file>[^"]+)", line \d+')
_HEADER = "Traceback (most recent call last):"
"""Not written where no frame is left."""
_REPEATED = re.compile(r"\[Previous line repeated \d+ more times\]")
_LONGEST = 2_000
_UNTOLD = re.compile(r'"(delayTime|executionTime)":0,?|"(id|workerId)":"[A-Z]+",?')


@dataclass(frozen=True)
class Seen:
    """Everything that a client can see of one job."""

    states: str
    """Each transition; a take says whether its worker had no job before."""
    bodies: tuple[str, ...]
    """The bodies of /status: at each progress, and at the end."""
    stream: tuple[str, ...]
    """The bodies of /stream: as chunks came where the case reads them, and at the end."""
    hooks: tuple[str, ...]
    """The bodies of its webhook calls."""

    @property
    def summary(self) -> str:
        """The end in one line."""
        end = _UNTOLD.sub("", self.bodies[-1])
        chunks = self.stream[-1].partition('"stream":')[2].rstrip("}") if self.stream else ""
        return f"{self.states} | {end[:300]}" + (f" | chunks {chunks[:200]}" if chunks not in ("", "[]") else "")

    def differences(self, other: Seen) -> dict[str, tuple[str, str]]:
        """What the two do not share."""
        pairs = {field.name: (_shown(self, field.name), _shown(other, field.name)) for field in fields(self)}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _shown(seen: Seen, name: str) -> str:
    value = getattr(seen, name)
    return value if isinstance(value, str) else "\n".join(value)


def short(text: str) -> str:
    """A long text by its beginning and its digest."""
    if len(text) <= _LONGEST:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:12]
    return f"{text[:_LONGEST]}... ({len(text)} characters, sha256 {digest})"


class Normal:
    """Takes out of texts what differs between two runs: ids, times, tracebacks of the worker's own code."""

    def __init__(self, endpoint: str, name: str, job: str, workers: Iterable[str]) -> None:
        self._names = {endpoint: name, job: "JOB", **dict.fromkeys(workers, "WORKER")}

    def __call__(self, body: str) -> str:
        """The text as any run would have it."""
        for found, name in self._names.items():
            body = body.replace(found, name)
        body = _TIMES.sub(r'"\1":0', body)
        body = _MOMENTS.sub(r'"\1": 0', _MEASURED.sub(r'"\1": 0', body))
        body = _ADDRESS.sub("0xADDRESS", body)
        return short(_ERROR.sub(_without_frames, body))


def _without_frames(found: re.Match[str]) -> str:
    try:
        error = json.loads(f'"{found[1]}"', strict=False)
    except ValueError:
        return found[0]
    return f'"error":{json.dumps(_error(error), ensure_ascii=False)}'


def _error(error: str) -> str:
    """An error with the frames of the handler's file only."""
    if error.startswith(('{"error_type"', '{"event"')):
        report = json.loads(error)
        if isinstance(report.get("error_traceback"), str):
            clipped = "characters truncated]..." in report["error_traceback"]  # where, depends on the other frames
            report["error_traceback"] = "clipped" if clipped else own_frames(report["error_traceback"])
        return json.dumps(report)
    return own_frames(error)


def own_frames(text: str) -> str:
    """A traceback without the frames of other files than handlers, and without marks below the source lines."""
    kept: list[str] = []
    foreign = False
    for line in _REPEATED.sub("[repeated]", text).split("\n"):
        bare = _MARGIN.sub("", line)  # of an exception group
        frame = _FRAME.match(bare)
        if frame:
            foreign = not frame["file"].endswith("_handler.py")
        source = bare.startswith("    ")
        foreign = foreign and (source or bool(frame))
        marks = source and not bare.strip("^~ ")
        if not (foreign or marks or line == _HEADER):
            kept.append(line)
    return "\n".join(kept)
