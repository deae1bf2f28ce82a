"""What clients of the management API send: bodies as the specification has them, and nothing beside them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

from runpod_emulator.core.settings import MOST_WORKERS

LONGEST = 100_000
"""Characters of a text, such as the value of a variable: what Linux lets a process have."""
LONGEST_TIMEOUT = 2**53
"""Milliseconds: a number that every client can hold. What the platform allows is checked with the settings."""


def _whole(given: Any) -> Any:
    """A number such as 3.0 is a whole one in JSON."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


def _unique(given: list[Any]) -> list[Any]:
    if any(one in given[:place] for place, one in enumerate(given)):
        raise ValueError("the same value stands there twice")
    return given


def _power_of_two(given: int) -> int:
    if given & (given - 1):
        raise ValueError("must be a power of two")
    return given


def _printable(given: str) -> str:
    if "\0" in given or len(given) > LONGEST:
        raise ValueError(f"write a text of at most {LONGEST} characters, without NUL")
    return given


def _no_nul(given: dict[str, str]) -> dict[str, str]:
    """What an operating system takes as variables."""
    for name, value in given.items():
        _printable(value)
        if not name or "=" in name or "\0" in name or len(name) > LONGEST:
            raise ValueError(
                f"{name[:40]!r} can't be a variable: a name has no '=', and neither it nor its value a NUL"
            )
    return given


Absent = SkipJsonSchema[None]
"""What stands for a member that was not sent; null is refused."""
Whole = Annotated[int, BeforeValidator(_whole)]
Text = Annotated[str, AfterValidator(_printable)]
Named = Annotated[str, Field(min_length=1), AfterValidator(_printable)]
Env = Annotated[dict[str, str], AfterValidator(_no_nul)]
Cuda = Annotated[str, Field(pattern=r"^\d+\.\d+$")]
ExcludedType = Annotated[str, Field(pattern=r"^\s*[^-\s]")]
Flashboot = Literal["OFF", "FLASHBOOT", "PRIORITY_FLASHBOOT"]
EndpointType = Literal["QUEUE", "LOAD_BALANCER"]
Timeout = Annotated[Whole, Field(ge=0, le=LONGEST_TIMEOUT, description="ms that a job may run; 0 is no limit")]


class Given(BaseModel):
    """A part of a body: members in camelCase, no others, and no null where a value belongs."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, allow_inf_nan=False)

    def given(self) -> dict[str, Any]:
        """The members that were sent, by our names."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Gpu(Given):
    """GPUs of a new endpoint: kept and shown, compared with no catalogue."""

    pools: Annotated[list[str], Field(min_length=1)]
    excluded_types: Annotated[list[ExcludedType], AfterValidator(_unique)] = []
    count: Annotated[Whole, Field(ge=1, le=1_024)] = 1
    allowed_cuda_versions: list[Cuda] = []
    min_cuda_version: Cuda = ""


class GpuChange(Given):
    """A change of GPUs: what is left out stays. Types are excluded from the pools that stand beside them."""

    pools: Annotated[list[str], Field(min_length=1)] = []
    excluded_types: Annotated[list[ExcludedType], AfterValidator(_unique)] = []
    count: Annotated[Whole, Field(ge=1, le=1_024)] = 1
    allowed_cuda_versions: list[Cuda] = []
    min_cuda_version: Annotated[str, Field(pattern=r"^$|^\d+\.\d+$")] = ""

    @model_validator(mode="after")
    def _with_pools(self) -> GpuChange:
        if "excluded_types" in self.model_fields_set and "pools" not in self.model_fields_set:
            raise ValueError("excludedTypes needs pools beside it")
        return self


class Cpu(Given):
    """One CPU of an endpoint."""

    id: Named
    vcpu_count: Annotated[
        Whole,
        Field(ge=2, le=1_024, json_schema_extra={"enum": [2**power for power in range(1, 11)]}),
        AfterValidator(_power_of_two),
    ]


class Workers(Given):
    """How many workers there are, and how long an idle one stays, in seconds."""

    min: Annotated[Whole, Field(ge=0, le=MOST_WORKERS)] = 0
    max: Annotated[Whole, Field(ge=0, le=MOST_WORKERS)] = 3
    idle_timeout: Annotated[Whole, Field(ge=1, le=3_600)] = 10


class QueueDelay(Given):
    """Another worker when a job has waited for so many seconds."""

    type: Literal["QUEUE_DELAY"]
    queue_delay: Annotated[float, Field(ge=0.5, le=86_400)]


class RequestCount(Given):
    """A worker for so many jobs, or requests in flight."""

    type: Literal["REQUEST_COUNT"]
    request_count: Annotated[Whole, Field(ge=1, le=2**31)]


Scaling = Annotated[QueueDelay | RequestCount, Field(discriminator="type")]
Cpus = Annotated[list[Cpu], Field(min_length=1), AfterValidator(_unique)]


class Body(Given):
    """A whole body: text that can be written again, and null for `registry` alone."""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: Any) -> Any:
        if isinstance(given, dict):
            nothing = next((name for name, value in given.items() if value is None and name != "registry"), None)
            if nothing is not None:
                raise ValueError(f"{str(nothing)[:40]}: null is no value of it: leave it out")
        try:
            json.dumps(given, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half a surrogate pair stands in a text") from None
        return given


class NewEndpoint(Body):
    """A new endpoint: one of gpu and cpu, and an image unless a template is named."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["gpu"]}, {"required": ["cpu"]}],
            "anyOf": [{"required": ["image"]}, {"required": ["templateId"]}],
        }
    )

    name: Named
    type: EndpointType
    scaling: Scaling
    image: Text = ""
    template_id: Named = ""
    args: Text = ""
    disk: Annotated[Whole, Field(ge=1, le=2**31)] = 20
    env: Env = {}
    ports: list[str] = []
    registry: str | None = None
    gpu: Gpu | Absent = None
    cpu: Cpus | Absent = None
    workers: Workers = Workers()
    data_center_ids: list[str] = []
    network_volumes: list[str] = []
    timeout: Timeout = 300_000
    flashboot: Flashboot = "OFF"

    @model_validator(mode="after")
    def _fitting(self) -> NewEndpoint:
        if not self.model_fields_set & {"image", "template_id"}:
            raise ValueError("image: Field required, unless templateId is given")
        if self.type == "LOAD_BALANCER" and self.scaling.type == "QUEUE_DELAY":
            raise ValueError("scaling.type: a LOAD_BALANCER endpoint has no queue: write REQUEST_COUNT")
        return self


class EndpointChange(Body):
    """What to change of an endpoint: what is left out stays."""

    name: Named = ""
    scaling: Scaling | Absent = None
    image: Text = ""
    template_id: Text = ""
    args: Text = ""
    disk: Annotated[Whole, Field(ge=1, le=2**31)] = 20
    env: Env = {}
    ports: list[str] = []
    registry: str | None = None
    gpu: GpuChange | Absent = None
    cpu: Cpus | Absent = None
    workers: Workers = Workers()
    data_center_ids: list[str] = []
    network_volumes: list[str] = []
    timeout: Timeout = 300_000
    flashboot: Flashboot = "OFF"
