"""A job's life in the trace event format of Chrome, which Perfetto opens.

One process is the job. Its threads are its phases, what its workers print, the requests about it and its webhook calls.
Spans of one thread must lie within each other or apart, so requests that overlap are spread over several threads.
https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

_PID = 1
_JOB, _LINES, _WEBHOOKS, _REQUESTS = 1, 2, 3, 4
"""Threads; those of requests are the last, for there may be several."""
_MICRO = 1_000
"""Microseconds, in which a trace counts, of a millisecond."""
_TICKS = {"Emitted": "chunks", "Progressed": "progress", "Renewed": "sign of life"}
"""Events in the midst of a run, and what they are called."""
_LONGEST = 200
"""Characters of a line that is a name."""

Event = dict[str, Any]


def chrome_trace(life: dict[str, Any], now: int) -> dict[str, Any]:
    """The trace of a life as `life_of` tells it; what goes on lasts until `now`. Times begin with the job."""
    job = life["job"]
    begin = min((one["at"] for one in job["transitions"]), default=now)
    begin = min([begin, *(one["at"] - one["took"] for one in life["requests"])])
    events = [
        *_named(job),
        *(_span(_JOB, one["name"], "phase", one["began"], one["ended"] or now, begin, one) for one in life["phases"]),
        *(_tick(_JOB, _name(one), "transition", one["at"], begin, one) for one in _ticks(job["transitions"])),
        *(_tick(_LINES, one["text"][:_LONGEST], "log", one["at"], begin, one) for one in life["lines"]),
        *(_tick(_WEBHOOKS, _call(one), "webhook", one["at"], begin, one) for one in life["webhooks"]),
        *_requests(life["requests"], begin),
    ]
    about = {"job": job["id"], "endpoint": job["endpoint"], "beganAt": begin}
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}


def _named(job: Event) -> Iterator[Event]:
    yield _meta("process_name", 0, f"job {job['id']} of {job['endpoint']}")
    for thread, name in ((_JOB, "job"), (_LINES, "log"), (_WEBHOOKS, "webhook calls")):
        yield _meta("thread_name", thread, name)


def _meta(name: str, thread: int, value: str) -> Event:
    return {"name": name, "ph": "M", "pid": _PID, "tid": thread, "args": {"name": value}}


def _span(thread: int, name: str, kind: str, began: int, ended: int, begin: int, args: Event) -> Event:
    times = {"ts": (began - begin) * _MICRO, "dur": max(0, ended - began) * _MICRO}
    return {"name": name, "cat": kind, "ph": "X", **times, "pid": _PID, "tid": thread, "args": args}


def _tick(thread: int, name: str, kind: str, at: int, begin: int, args: Event) -> Event:
    where = {"pid": _PID, "tid": thread}
    return {"name": name, "cat": kind, "ph": "i", "s": "t", "ts": (at - begin) * _MICRO, **where, "args": args}


def _ticks(transitions: Iterable[Event]) -> Iterator[Event]:
    """The transitions that are no beginning of a phase, or an end of all."""
    return (one for one in transitions if one["event"] not in ("Submitted", "Taken"))


def _name(transition: Event) -> str:
    event: str = transition["event"]
    return _TICKS.get(event, event)


def _call(one: Event) -> str:
    return f"attempt {one['attempt']}" + (f": {one['problem'][:_LONGEST]}" if one["problem"] else "")


def _requests(requests: Iterable[Event], begin: int) -> Iterator[Event]:
    """The requests, each in the first thread where no earlier one still goes on."""
    busy: list[int] = []
    for one in sorted(requests, key=lambda one: (one["at"] - one["took"], one["number"])):
        began = one["at"] - one["took"]
        lane = next((lane for lane, until in enumerate(busy) if until <= began), len(busy))
        if lane == len(busy):
            busy.append(0)
            yield _meta("thread_name", _REQUESTS + lane, "requests")
        busy[lane] = one["at"]
        yield _span(
            _REQUESTS + lane,
            f"{one['method']} {one['operation']} {one['status']}",
            "request",
            began,
            one["at"],
            begin,
            one,
        )
