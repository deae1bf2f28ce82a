"""What clients hand in with the mutations of GraphQL. What says where machines come from is kept as it came."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from runpod_emulator.core.graphql_errors import GraphQLInvalid
from runpod_emulator.core.platform import SECOND

Input = TypeVar("Input", bound="_Input")
_LONGEST = 20_000


class _Input(BaseModel):
    """Members that nobody reads are let through: there are more of them on RunPod than here."""

    model_config = ConfigDict(strict=True, extra="allow")

    @property
    def choices(self) -> dict[str, Any]:
        """What was handed in beside the members that mean something here, to be shown again."""
        return {name: value for name, value in (self.model_extra or {}).items() if value is not None}


class Variable(BaseModel):
    """One variable of a container."""

    model_config = ConfigDict(strict=True)

    key: str
    value: str


class TemplateInput(_Input):
    """A template to save; with an `id`, the one to change. What is left out stays, or is empty."""

    id: str | None = None
    name: str | None = None
    imageName: str | None = Field(None, max_length=_LONGEST)
    dockerArgs: str | None = Field(None, max_length=_LONGEST)
    env: list[Variable] | None = None

    @property
    def environment(self) -> dict[str, str] | None:
        """The variables by name; None where nothing is said of them."""
        return None if self.env is None else {one.key: one.value for one in self.env}


class Volume(BaseModel):
    """A network volume of an endpoint."""

    networkVolumeId: str


class EndpointInput(_Input):
    """An endpoint to save; with an `id`, the one to change. What is left out stays, or is the platform's default."""

    id: str | None = None
    name: str | None = None
    type: Literal["QB", "LB"] | None = None
    templateId: str | None = None
    template: TemplateInput | None = None
    workersMin: int | None = Field(None, ge=0)
    workersMax: int | None = Field(None, ge=0)
    idleTimeout: int | None = Field(None, ge=1, le=3_600, description="s")
    scalerType: Literal["QUEUE_DELAY", "REQUEST_COUNT"] | None = None
    scalerValue: float | None = Field(None, gt=0, lt=1e9, allow_inf_nan=False)
    executionTimeoutMs: int | None = Field(None, ge=0, description="0 is none")
    gpuIds: str | None = Field(None, description="pools, and types that are none of them: ADA_24,-NVIDIA L4")
    gpuCount: int | None = Field(None, ge=1)
    allowedCudaVersions: str | None = None
    minCudaVersion: str | None = None
    instanceIds: list[str] | None = None
    locations: str | None = None
    networkVolumeId: str | None = None
    networkVolumeIds: list[Volume] | None = None
    flashBootType: Literal["OFF", "FLASHBOOT", "PRIORITY_FLASHBOOT"] | None = None

    @field_validator("templateId", "id", mode="before")
    @classmethod
    def _empty_is_none(cls, given: Any) -> Any:
        return None if given == "" else given

    @property
    def options(self) -> dict[str, Any]:
        """What it says of workers, by the names of the configuration file's options."""
        found = {
            "workers_min": self.workersMin,
            "workers_max": self.workersMax,
            "idle_timeout": self.idleTimeout and self.idleTimeout * SECOND,
            "scaler": self.scalerType,
            "scaler_value": self.scalerValue,
            "execution_timeout": self.executionTimeoutMs,
        }
        return {name: value for name, value in found.items() if value is not None}


class TemplateOfEndpoint(_Input):
    """Which endpoint goes over to which template."""

    endpointId: str
    templateId: str


def read(kind: type[Input], given: Any) -> Input:
    """An input; raises GraphQLInvalid, which names the member that is wrong."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, ("input", *first["loc"])))
        raise GraphQLInvalid(f"{place}: {first['msg']}") from error
