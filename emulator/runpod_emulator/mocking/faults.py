"""A fault as users write it: flat, in JSON or YAML, with what belongs to its kind and nothing else."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_serializer,
    field_validator,
    model_validator,
)  # fmt: skip

from runpod_emulator.core.mocks.faults import Fault as CoreFault
from runpod_emulator.core.mocks.faults import FaultKind
from runpod_emulator.core.platform import SECOND
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import AT_ONCE, Span
from runpod_emulator.values import Duration, Exact, Milliseconds, as_text

_K = FaultKind
_OF_ALL = frozenset({"fault", "id", "endpoint", "calls", "probability", "seed", "times", "ttl"})
_EDGE = frozenset({"operations", "processed", "delay", "larger_than"})
PARAMETERS: dict[FaultKind, frozenset[str]] = {
    _K.STATUS: _EDGE | {"status", "headers", "body"},
    _K.LATENCY: frozenset({"operations", "delay", "larger_than"}),
    _K.CONNECTION_RESET: _EDGE,
    _K.TRUNCATED_BODY: frozenset({"operations", "delay", "larger_than"}),
    _K.NOT_FOUND_AFTER_RUN: frozenset({"operations", "delay"}),
    _K.LOST_JOB: frozenset(),
    _K.STUCK_IN_QUEUE: frozenset({"operations"}),
    _K.OUTPUT_GONE_EARLY: frozenset({"operations", "delay"}),
    _K.LATE_TIMEOUT: frozenset({"operations", "delay"}),
    _K.EXECUTED_TWICE: frozenset(),
    _K.WORKER_CRASH: frozenset({"delay", "chunks"}),
    _K.ZOMBIE: frozenset({"delay"}),
    _K.DROPPED_REPORT: frozenset(),
    _K.LATE_REPORT: frozenset({"delay"}),
    _K.REPEATED_REPORT: frozenset({"delay", "copies"}),
    _K.EMPTY_OUTPUT: frozenset(),
    _K.EMPTY_STREAM: frozenset(),
    _K.THROTTLED_WORKERS: frozenset({"delay"}),
    _K.COLD_STARTS: frozenset({"delay"}),
    _K.WEBHOOK_LATE: frozenset({"delay"}),
    _K.WEBHOOK_DUPLICATE: frozenset({"copies"}),
    _K.WEBHOOK_LOST: frozenset(),
    _K.WEBHOOK_OUT_OF_ORDER: frozenset({"delay"}),
}
"""What each kind takes beside the parameters of all."""
_DELAYS = {
    _K.NOT_FOUND_AFTER_RUN: Span(SECOND, SECOND),
    _K.LATE_TIMEOUT: Span(2_800, 11_800),  # recorded: the earliest and the latest
    _K.WEBHOOK_OUT_OF_ORDER: Span(5 * SECOND, 5 * SECOND),
}
"""Where a delay has a default."""
_LATE = (
    _K.LATENCY, _K.OUTPUT_GONE_EARLY, _K.LATE_REPORT, _K.THROTTLED_WORKERS, _K.COLD_STARTS, _K.WEBHOOK_LATE
)  # fmt: skip
_NEEDED = {_K.STATUS: "status", **dict.fromkeys(_LATE, "delay")}
"""Without which a kind would do nothing."""
_STATUS = (
    "The HTTP status of the answer. Over http:// the official Python client tries a GET again after 429 and 408, for "
    "up to 30 s; over https:// (serve --tls) it raises them at once, as in production"
)
_MOST = 1_000_000_000
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")


def _listed(given: Any) -> Any:
    return given if isinstance(given, list | tuple | set | frozenset) else [given]


def _operations(given: Any) -> Any:
    return [one.replace("-", "_") if isinstance(one, str) else one for one in _listed(given)]


class Fault(Exact):
    """One fault: what goes wrong, where, how often, and when it ends by itself."""

    model_config = ConfigDict(extra="forbid")

    fault: FaultKind = Field(description="What goes wrong")
    id: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]{1,100}$", description="Its name; chosen when left out")
    endpoint: str = Field("*", max_length=1_000, description="Endpoint ids it fits, as a shell pattern")
    operations: Annotated[list[Operation], BeforeValidator(_operations)] = Field(
        [], description="Operations of clients that it fits; all when left out"
    )
    calls: Annotated[list[Annotated[int, Field(ge=1, le=_MOST)]], BeforeValidator(_listed)] = Field(
        [], description="Numbers, from 1, of the calls that it strikes among those it fits"
    )
    probability: float = Field(1.0, ge=0, le=1, description="How likely it strikes one of these")
    seed: int | None = Field(
        None, ge=-(1 << 64), le=1 << 64, description="Seed of its own dice; the server's seed when left out"
    )
    times: int | None = Field(None, ge=1, le=_MOST, description="How often it strikes at most")
    ttl: Milliseconds | None = Field(None, gt=0, description="How long it lasts, as 30s; for ever when left out")
    delay: Annotated[Duration, WithJsonSchema({"type": ["string", "integer"]})] | None = Field(
        None, description="A time or a range, as 1s or 1s-3s"
    )
    status: int | None = Field(None, ge=400, le=599, description=_STATUS)
    headers: dict[str, str | int] = Field({}, description="Headers of the answer")
    body: Any = Field(None, description="Body of the answer, JSON or a text; the service's own error when left out")
    processed: bool = Field(False, description="Whether the request is carried out, and only its answer is lost")
    larger_than: int = Field(0, ge=0, le=1 << 40, description="Only requests with a longer body than this many bytes")
    chunks: int | None = Field(None, ge=1, le=_MOST, description="The worker crashes after so many stream chunks")
    copies: int = Field(1, ge=1, le=100, description="How many more of the same")

    @field_validator("headers")
    @classmethod
    def _sound(cls, headers: dict[str, str | int]) -> dict[str, str | int]:
        for name, value in headers.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if not _VALUE.fullmatch(str(value)):
                raise ValueError(f"the header {name} may hold printable ASCII only")
        return headers

    @field_serializer("delay")
    def _as_written(self, delay: Span | None) -> str | None:
        return None if delay is None else as_text(delay)

    @model_validator(mode="after")
    def _belongs(self) -> Fault:
        kind, takes = self.fault, PARAMETERS[self.fault]
        strange = sorted(self.model_fields_set - _OF_ALL - takes)
        if strange:
            those = f"it takes {', '.join(sorted(takes))}" if takes else "it takes no parameters of its own"
            raise ValueError(f"{', '.join(strange)} is not for {kind.value}: {those}")
        needed = _NEEDED.get(kind)
        if needed is not None and getattr(self, needed) is None:
            raise ValueError(f"{kind.value} needs {needed}")
        if self.chunks is not None and self.delay is not None:
            raise ValueError("worker_crash comes after a delay or after some chunks, not both")
        return self

    def to_core(self, now: int) -> CoreFault:
        """The rule of the core; `now` is when its `ttl` begins, in ms since the epoch."""
        return CoreFault(
            id=self.id or "",
            kind=self.fault,
            endpoint=self.endpoint,
            operations=frozenset(self.operations),
            calls=frozenset(self.calls),
            probability=self.probability,
            seed=self.seed,
            times=self.times,
            expires_at=None if self.ttl is None else now + self.ttl,
            delay=self.delay or _DELAYS.get(self.fault, AT_ONCE),
            status=self.status or 500,
            body=self._body(),
            headers=self._headers(),
            processed=self.processed,
            larger_than=self.larger_than,
            count=self.chunks if self.fault is _K.WORKER_CRASH else self.copies,
            source=self,
        )

    def _body(self) -> bytes | None:
        if "body" not in self.model_fields_set:
            return None
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body, ensure_ascii=False).encode()

    def _headers(self) -> dict[str, str]:
        headers = {name: str(value) for name, value in self.headers.items()}
        if self._body() is not None and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = "text/plain; charset=utf-8" if isinstance(self.body, str) else "application/json"
        return headers
