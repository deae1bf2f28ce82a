"""What there is and what happened, as objects with attributes. Secrets in them are masked; times are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of a job."""

    at: float
    """Seconds since the epoch."""
    event: str
    """Submitted, Taken, Progressed, Emitted, Completed, Failed, Cancelled, TimedOut, Requeued …"""
    status: str
    """The job's state after it; GONE once the job was deleted."""
    worker: str | None
    retries: int


@dataclass(frozen=True, slots=True)
class Job:
    """One job, as it was when it was asked for. Times are seconds since the epoch, None where there is none."""

    id: str
    endpoint: str
    status: str
    """GONE where clients are told of it no more; where it was purged, only its transitions are remembered."""
    input: Any = None
    output: Any = None
    error: str | None = None
    webhook: str | None = None
    low_priority: bool = False
    held: bool = False
    """Whether it waits where no worker can see it: a stub keeps it there."""
    worker: str | None = None
    retries: int = 0
    """How often it was tried again because its worker was lost."""
    execution_timeout: float = 0.0
    """Seconds; 0 is none."""
    submitted_at: float | None = None
    taken_at: float | None = None
    ended_at: float | None = None
    expires_at: float | None = None
    kept_until: float | None = None
    transitions: tuple[Transition, ...] = ()
    """Every change, oldest first."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a client, and how it was answered."""

    number: int
    """Of the world's requests, from 1."""
    at: float
    endpoint: str
    operation: str
    """What it asked for; empty where no route has the path."""
    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: Any
    """The parsed JSON, or a text; None where there was none, or only its beginning was kept."""
    status: int
    """Of the answer; 0 where the connection was reset instead."""
    job: str | None
    body_cut: str = ""
    """Why the body was not kept whole; "" where it was."""
    fault: str | None = None
    """The id of the fault that has changed the answer."""
    took: float = 0.0
    """Seconds from when it was let in until it was answered."""
    stub: str | None = None
    """The id of the stub that its job plays."""
    why: str | None = None
    """Why it was refused, in words."""


@dataclass(frozen=True, slots=True)
class WebhookCall:
    """One call that the built-in receiver got, as it came."""

    at: float
    name: str
    """The last part of the URL: that of `url_for`."""
    headers: Mapping[str, str]
    body: bytes
    status: int
    """What it was answered."""
    json: Any = None
    """The parsed body; None for one that is no JSON."""


def job(shown: Mapping[str, Any]) -> Job:
    """The record of a job as the admin API shows it, with its transitions."""
    if shown["status"] == "GONE" and "input" not in shown:
        return _gone(shown["id"], shown["endpoint"], _transitions(shown))
    return Job(
        id=shown["id"],
        endpoint=shown["endpoint"],
        status=shown["status"],
        input=shown["input"],
        output=shown["output"],
        error=shown["error"] or None,
        webhook=shown["webhook"] or None,
        low_priority=shown["lowPriority"],
        held=shown["held"],
        worker=shown["worker"] or None,
        retries=shown["retries"],
        execution_timeout=shown["executionTimeout"] / 1000,
        submitted_at=_seconds(shown["submittedAt"]),
        taken_at=_seconds(shown["takenAt"]),
        ended_at=_seconds(shown["endedAt"]),
        expires_at=_seconds(shown["expiresAt"]),
        kept_until=_seconds(shown["keptUntil"]),
        transitions=_transitions(shown),
    )


def _gone(job_id: str, endpoint: str, told: tuple[Transition, ...]) -> Job:
    """A job of which only its changes are known."""
    taken = [one for one in told if one.event == "Taken"]
    ended = [one for one in told[-2:-1] if one.status not in ("IN_QUEUE", "IN_PROGRESS")]
    return Job(
        id=job_id,
        endpoint=endpoint,
        status="GONE",
        worker=taken[-1].worker if taken else None,
        retries=told[-1].retries,
        submitted_at=told[0].at if told[0].event == "Submitted" else None,
        taken_at=taken[-1].at if taken else None,
        ended_at=ended[-1].at if ended else None,
        transitions=told,
    )


def request(shown: Mapping[str, Any]) -> Request:
    """The record of a request as the admin API shows it."""
    return Request(
        number=shown["number"],
        at=shown["at"] / 1000,
        endpoint=shown["endpoint"],
        operation=shown["operation"],
        method=shown["method"],
        path=shown["path"],
        query=shown["query"],
        headers=shown["headers"],
        body=shown["body"],
        status=shown["status"],
        job=shown["job"],
        body_cut=shown["bodyCut"]["reason"] if "bodyCut" in shown else "",
        fault=shown["fault"],
        took=shown["took"] / 1000,
        stub=shown["stub"],
        why=shown["why"],
    )


def _transitions(shown: Mapping[str, Any]) -> tuple[Transition, ...]:
    return tuple(
        Transition(one["at"] / 1000, one["event"], one["status"], one["worker"] or None, one["retries"])
        for one in shown["transitions"]
    )


def _seconds(at: int | None) -> float | None:
    return None if at is None else at / 1000


@dataclass(frozen=True, slots=True)
class Loaded:
    """What has come of a snapshot."""

    jobs: int
    """Those that are there now."""
    lost: int
    """Those of them that ran: their workers are lost."""
    unserved: Mapping[str, int]
    """Endpoints that nobody serves here, and how many jobs of each are kept for the next snapshot."""
