"""A trace of each job with OpenTelemetry: its wait, its worker's start, its runs, its webhook calls.

    job ── queued ── cold start
        ├─ run        one for each hand-out
        └─ webhook    one for each attempt

Times are those of the emulator's clock. Only loaded where traces are wanted: it needs the extra `otel`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from runpod_emulator.core.fleet.arrivals import Arrival
from runpod_emulator.core.jobs.deliveries import Delivery, DeliveryStatus
from runpod_emulator.core.jobs.job import (
    Emitted,
    Forgotten,
    Job,
    JobStatus,
    Progressed,
    Requeued,
    Retried,
    Returned,
    Submitted,
    Taken,
    Transition,
)  # fmt: skip
from runpod_emulator.core.jobs.listeners import ENDS
from runpod_emulator.core.records.news import Attempt, Effect
from runpod_emulator.core.records.phases import cold_start

MOST = 20_000
"""Jobs whose traces are open; of more, the oldest are ended as they are."""
_NANO = 1_000_000
"""Nanoseconds, in which spans count, of a millisecond."""
_PROPAGATOR = TraceContextTextMapPropagator()
ArrivalOf = Callable[[str, str], "Arrival | None"]
Key = tuple[str, str]


@dataclass(slots=True)
class _Life:
    """The spans of one job that are not over."""

    root: Span
    part: Span | None = None
    """Its wait or its run."""
    began: int = 0
    """When that began, in ms."""
    is_over: bool = False
    """Whether the job has ended, and only webhooks are called."""
    may_return: bool = False
    """Whether it has failed, and may be retried: then the traces are linked."""


class Traces(Effect):
    """Makes the spans. `arrival_of` says when a worker of an endpoint came up, `drift` is that of the time line."""

    events = (Submitted, Taken, Emitted, Progressed, Requeued, Returned, Retried, *ENDS, Forgotten)

    def __init__(self, tracer: Tracer, arrival_of: ArrivalOf, drift: Callable[[], int], shown: Callable[[str], str]):
        self._tracer = tracer
        self._arrival_of = arrival_of
        self._drift = drift
        self._shown = shown
        self._lives: OrderedDict[Key, _Life] = OrderedDict()
        self._calls: dict[tuple[int, str, str], Span] = {}
        """The webhook calls on the wire, by the keys of their deliveries."""

    # What happens

    def won(self, transition: Transition) -> None:
        """A job has changed."""
        job, event, at = transition.job, type(transition.event), transition.at
        if event is Submitted or event is Retried:
            self._begin(job, at)
        life = self._lives.get((job.endpoint, job.id))
        if life is None or life.is_over:
            if event is Forgotten:
                self._lives.pop((job.endpoint, job.id), None)
            return
        if event is Taken:
            self._taken(life, job, at)
        elif event in (Requeued, Returned):
            self._next_part(life, "queued", at, problem="the worker was lost" if event is Requeued else "")
        elif event in (Emitted, Progressed):
            self._tick(life, transition.event, at)
        elif transition.ended or transition.after is None:
            self._end(life, job, at, transition.delivery is not None)

    def tried(self, attempt: Attempt) -> None:
        """A webhook was called."""
        delivery = attempt.delivery
        span = self._calls.pop(delivery.key, None)
        if span is not None:
            span.set_attribute("runpod.webhook.attempt", delivery.attempts)
            if attempt.problem:
                span.set_status(Status(StatusCode.ERROR, self._shown(attempt.problem)))
            span.end(self._nanoseconds(attempt.at))
        life = self._lives.get((delivery.endpoint, delivery.job))
        if life is not None and life.is_over and not life.may_return and delivery.status is not DeliveryStatus.OWED:
            del self._lives[delivery.endpoint, delivery.job]

    def cleared(self, endpoint: str | None) -> None:
        """A reset has forgotten jobs: their traces end here."""
        for key in [key for key in self._lives if endpoint in (None, key[0])]:
            self._give_up(self._lives.pop(key))

    def removed(self, endpoint: str) -> None:
        """An endpoint was taken away; its webhooks are called all the same."""

    # Who takes part

    def of_run(self, job: Job) -> str:
        """The context for the worker that has the job; "" for none."""
        life = self._lives.get((job.endpoint, job.id))
        return "" if life is None or life.part is None else _text(life.part)

    def calling(self, delivery: Delivery, at: int) -> str:
        """A webhook is about to be called: the context for whoever takes the call; "" for none."""
        life = self._lives.get((delivery.endpoint, delivery.job))
        if life is None:
            return ""
        attributes = {"url.full": self._shown(delivery.url), "http.request.method": "POST"}
        span = self._span("webhook", at, set_span_in_context(life.root), SpanKind.CLIENT, attributes)
        self._calls[delivery.key] = span
        return _text(span)

    # Inside

    def _begin(self, job: Job, at: int) -> None:
        key = job.endpoint, job.id
        earlier = self._lives.pop(key, None)
        if earlier is not None and not earlier.is_over:
            self._give_up(earlier)
        if len(self._lives) >= MOST:
            self._give_up(self._lives.popitem(last=False)[1])
        parent = _PROPAGATOR.extract({"traceparent": job.trace}) if job.trace else Context()
        attributes = {"runpod.endpoint.id": job.endpoint, "runpod.job.id": job.id}
        links = [Link(earlier.root.get_span_context())] if earlier is not None else []
        root = self._span(f"job {job.endpoint}", at, parent, SpanKind.SERVER, attributes, links)
        self._lives[key] = life = _Life(root)
        self._next_part(life, "queued", at)

    def _taken(self, life: _Life, job: Job, at: int) -> None:
        worker = job.worker or ""
        waited = cold_start(life.began, at, self._arrival_of(job.endpoint, worker))
        if waited is not None and life.part is not None:
            span = self._span("cold start", waited[0], set_span_in_context(life.part), SpanKind.INTERNAL, {})
            span.end(self._nanoseconds(waited[1]))
        self._next_part(life, "run", at)
        if life.part is not None:
            life.part.set_attributes({"runpod.worker.id": worker, "runpod.job.retries": job.retries})

    def _next_part(self, life: _Life, name: str, at: int, problem: str = "") -> None:
        self._end_part(life, at, problem)
        life.part = self._span(name, at, set_span_in_context(life.root), SpanKind.INTERNAL, {})
        life.began = at

    def _end_part(self, life: _Life, at: int, problem: str) -> None:
        if life.part is not None:
            if problem:
                life.part.set_status(Status(StatusCode.ERROR, problem))
            life.part.end(self._nanoseconds(at))
            life.part = None

    def _tick(self, life: _Life, event: Any, at: int) -> None:
        if life.part is not None:
            count = {"runpod.chunks": len(event.chunks)} if type(event) is Emitted else {}
            life.part.add_event("chunks" if count else "progress", count, self._nanoseconds(at))

    def _end(self, life: _Life, job: Job, at: int, is_called: bool) -> None:
        has_failed = job.status in (JobStatus.FAILED, JobStatus.TIMED_OUT)
        problem = self._shown((job.error or job.status.value).strip())[:1_000] if has_failed else ""
        self._end_part(life, at, problem)
        life.root.set_attribute("runpod.job.status", job.status.value)
        if problem:
            life.root.set_status(Status(StatusCode.ERROR, problem))
        life.root.end(self._nanoseconds(at))
        life.is_over, life.may_return = True, has_failed
        if not is_called and not has_failed:
            self._lives.pop((job.endpoint, job.id), None)

    @staticmethod
    def _give_up(life: _Life) -> None:
        for span in (life.part, life.root):
            if span is not None and span.is_recording():
                span.end()

    def _span(
        self, name: str, at: int, parent: Context, kind: SpanKind, attributes: dict[str, Any], links: Any = ()
    ) -> Span:
        time = self._nanoseconds(at)
        return self._tracer.start_span(name, parent, kind, attributes, links, start_time=time)

    def _nanoseconds(self, at: int) -> int:
        return (at + self._drift()) * _NANO


def _text(span: Span) -> str:
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, set_span_in_context(span))
    return carrier.get("traceparent", "")
