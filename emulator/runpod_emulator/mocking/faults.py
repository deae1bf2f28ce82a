"""A fault as users write it: flat, in JSON or YAML, with what belongs to its kind and nothing else.

What that is for each kind says its row in `core/mocks/fault_kinds.py`; what a member may hold is said here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    field_serializer,
    field_validator,
    model_validator,
)  # fmt: skip

from runpod_emulator.core.mocks.fault_kinds import OF_ALL, FaultKind, Row
from runpod_emulator.core.mocks.faults import Fault as CoreFault
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import AT_ONCE, Span
from runpod_emulator.values import Duration, Exact, Milliseconds, as_text, nearest

_STATUS = (
    "The HTTP status of the answer. Over http:// the official Python client tries a GET again after 429 and 408, for "
    "up to 30 s; over https:// (serve --tls) it raises them at once, as in production"
)
_MOST = 1_000_000_000
_LONGEST = 100
"""Characters of a wrong name that are shown."""
_KINDS = {kind.value: kind for kind in FaultKind}
_LIMIT = "write the fault status with status 429"
_PROFILE = "it is a profile of faults: profile({!r}), or --fault-profile"
_MEANT = {
    "rate_limit": _LIMIT,
    "too_many_requests": _LIMIT,
    "429": _LIMIT,
    "500": "write the fault status with status 500",
    "503": "write the fault status with status 503",
    "error": "write the fault status for an HTTP error; a job that fails is a stub's: respond: {error: …}",
    "timeout": "a job that exceeds its time is a stub's: respond: {timeout: true}; a late answer is the fault latency",
    **{
        name.replace("-", "_"): _PROFILE.format(name)
        for name in ("flaky-network", "cold-fleet", "rate-limited", "edge-timeouts", "worker-crashes")
    },
}
"""What to say of a name that is no fault, where the nearest one would mislead."""
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[\x20-\x7e\t]*")
_FRAMING = frozenset(
    ("connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)
"""Headers of a connection, not of an answer: a wrong one breaks the connection, which other kinds of fault do."""
_BROKEN = "connection_reset and truncated_body"


def _listed(given: Any) -> Any:
    return given if isinstance(given, list | tuple | set | frozenset) else [given]


def _operations(given: Any) -> Any:
    found = [one.replace("-", "_") if isinstance(one, str) else one for one in _listed(given)]
    names = [operation.value for operation in Operation]
    return [_operation(one, names) if isinstance(one, str) and one not in names else one for one in found]


def _operation(name: str, names: list[str]) -> str:
    raise ValueError(f"there is no operation {name[:_LONGEST]}{nearest(name.strip('/'), names)}")


def _known(given: Any) -> Any:
    if isinstance(given, str) and given not in _KINDS:
        meant = _MEANT.get(given.replace("-", "_"))
        hint = nearest(given, _KINDS) if meant is None else f"; {meant}"
        raise ValueError(f"there is no fault {given[:_LONGEST]}{hint}")
    return given


def _row(given: Any) -> Row | None:
    """Of the kind that is named; None where none is."""
    kind = given.get("fault") if isinstance(given, Mapping) else None
    return _KINDS[kind].row if isinstance(kind, str) and kind in _KINDS else None


def _shown(row: Row, members: Mapping[str, Any]) -> dict[str, Any]:
    """What a schema says of one kind: its meaning, and which members it takes and needs."""
    properties: dict[str, Any] = {"fault": {"type": "string", "const": row.name, "description": row.meaning}}
    properties |= {name: members[name] for name in (*row.takes, *OF_ALL)}
    if row.needs:
        forms = [form for form in members[row.needs].get("anyOf", ()) if form.get("type") != "null"]
        properties[row.needs] = {**members[row.needs], "anyOf": forms}
        properties[row.needs].pop("default", None)
    if "operations" in row.takes:
        properties["operations"] = {
            **members["operations"], "minItems": 1, "items": {"enum": [one.value for one in row.strikes]},
        }  # fmt: skip
    if row.usual_delay != AT_ONCE:
        properties["delay"] = {**members["delay"], "default": as_text(row.usual_delay)}
    return {
        "title": row.name,
        "type": "object",
        "description": f"{row.meaning}. One call is {row.place.value}.",
        "properties": properties,
        "required": ["fault", row.needs] if row.needs else ["fault"],
        "additionalProperties": False,
    }


def _by_kind(schema: dict[str, Any]) -> None:
    """Let a schema say what each kind takes, instead of all that there is."""
    members = schema.pop("properties")
    del schema["required"], schema["additionalProperties"]
    schema["oneOf"] = [_shown(kind.row, members) for kind in FaultKind]
    schema["discriminator"] = {"propertyName": "fault"}


class Fault(Exact):
    """One fault: what goes wrong, where, how often, and when it ends by itself."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_by_kind)

    fault: Annotated[FaultKind, BeforeValidator(_known)] = Field(description="What goes wrong")
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
    delay: Duration | None = Field(None, description="A time or a range, as 1s or 1s-3s")
    status: int | None = Field(None, ge=400, le=599, description=_STATUS)
    headers: dict[str, str | int] = Field({}, description="Headers of the answer")
    body: Any = Field(None, description="Body of the answer, JSON or a text; the service's own error when left out")
    processed: bool = Field(False, description="Whether the request is carried out, and only its answer is lost")
    larger_than: int = Field(0, ge=0, le=1 << 40, description="Only requests with a longer body than this many bytes")
    chunks: int | None = Field(None, ge=1, le=_MOST, description="The worker crashes after so many stream chunks")
    copies: int = Field(1, ge=1, le=100, description="How many more of the same")

    @model_validator(mode="before")
    @classmethod
    def _belongs(cls, given: Any) -> Any:
        """Members of other kinds are refused before their values are looked at."""
        row = _row(given)
        if row is None:
            return given
        for name in sorted(set(given) - {"fault", *OF_ALL, *row.takes}, key=str):
            if name not in cls.model_fields:
                raise ValueError(f"{name}: no such key{nearest(str(name), [*row.takes, *OF_ALL])}")
            those = f"it takes {', '.join(sorted(row.takes))}" if row.takes else "it takes no parameters of its own"
            raise ValueError(f"{name} is not for {row.name}: {those}")
        return given

    @field_validator("headers")
    @classmethod
    def _sound(cls, headers: dict[str, str | int]) -> dict[str, str | int]:
        for name, value in headers.items():
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a header")
            if name.lower() in _FRAMING:
                raise ValueError(f"{name} belongs to the connection: {_BROKEN} break answers")
            if not _VALUE.fullmatch(str(value)):
                raise ValueError(f"the header {name} may hold printable ASCII only")
        return headers

    @field_serializer("delay")
    def _as_written(self, delay: Span | None) -> str | None:
        return None if delay is None else as_text(delay)

    @model_validator(mode="after")
    def _is_whole(self) -> Fault:
        row = self.fault.row
        if row.needs and getattr(self, row.needs) is None:
            raise ValueError(f"{row.name} needs {row.needs}")
        if self.chunks is not None and self.delay is not None:
            raise ValueError(f"{row.name} comes after a delay or after some chunks, not both")
        for name in ("operations", "calls"):
            if name in self.model_fields_set and not getattr(self, name):
                raise ValueError(f"{name}: an empty list fits none; leave it out for all")
        for one in self.operations:
            if one not in row.strikes:
                those = ", ".join(possible.value for possible in row.strikes)
                raise ValueError(f"operations: {row.name} can't strike {one.value}; it can {those}")
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
            lasts=self.ttl or 0,
            delay=self.delay or self.fault.row.usual_delay,
            status=self.status or 500,
            body=self._body(),
            headers=self._headers(),
            processed=self.processed,
            larger_than=self.larger_than,
            count=self.chunks if "chunks" in self.fault.row.takes else self.copies,
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
