"""What the management API answers: the shapes for its OpenAPI document; answers are made by `showing`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from runpod_emulator.doors.management.shapes import EndpointType, Flashboot, QueueDelay, RequestCount

Status = Literal["RUNNING", "IDLE", "INITIALIZING", "THROTTLED", "UNHEALTHY"]
Count = Annotated[int, Field(ge=0)]


class Told(BaseModel):
    """A part of an answer: members in camelCase, and no others."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class QueueUrls(Told):
    """Where a queue is called."""

    run: str
    run_sync: str
    status: str
    stream: str
    cancel: str
    retry: str
    purge_queue: str
    health: str


class BalancerUrls(Told):
    """Where a load balancer is called."""

    base: str
    health: str


class Gpu(Told):
    """The GPUs that were asked for."""

    pools: list[str]
    excluded_types: list[str] = []
    count: Annotated[int, Field(ge=1)] = 1
    allowed_cuda_versions: list[str]
    min_cuda_version: str | None


class Cpu(Told):
    """A CPU that was asked for."""

    id: str
    vcpu_count: int
    memory: Annotated[int, Field(ge=1)]


class WorkersWanted(Told):
    """How many workers there may be."""

    min: Count
    max: Count
    idle_timeout: Annotated[int, Field(ge=1, le=3_600)] = 10


class Endpoint(Told):
    """One endpoint."""

    id: str
    name: str
    type: EndpointType
    request_urls: QueueUrls | BalancerUrls
    image: str = ""
    args: str
    disk: int
    ports: list[str]
    env: dict[str, str]
    registry: str | None
    gpu: Gpu | None = None
    cpu: list[Cpu] = []
    workers: WorkersWanted
    scaling: QueueDelay | RequestCount
    data_center_ids: list[str]
    network_volumes: list[str]
    timeout: int
    flashboot: Flashboot
    created_at: str


class Endpoints(Told):
    """All endpoints."""

    endpoints: list[Endpoint]


class Worker(Told):
    """One worker; null is what is not known of it."""

    id: str
    status: Status
    is_stale: bool
    version: int | None
    gpu_count: Count
    image: str | None
    uptime_seconds: Count | None
    gpu_type_id: str | None
    data_center_id: str | None
    started_at: str | None


class Summary(Told):
    """Workers in each state, and all."""

    running: Count
    idle: Count
    initializing: Count
    throttled: Count
    unhealthy: Count
    total: Count


class Workers(Told):
    """The workers of an endpoint."""

    workers: list[Worker]
    summary: Summary
    endpoint_version: int | None


class Rollout(Told):
    """How far the last release has come."""

    in_progress: bool
    workers_on_latest: Count
    workers_total: Count
    percent_on_latest: Annotated[int, Field(ge=0, le=100)]


class Difference(Told):
    """One field that a release has changed."""

    field: str
    old: Any
    new: Any


class Release(Told):
    """One release."""

    id: str
    version: int
    source: Literal["GIT_BUILD", "MANUAL"]
    build_id: str | None
    created_by_user_id: str | None
    worker_count: Count
    created_at: str
    diff: list[Difference]


class Releases(Told):
    """The releases of an endpoint."""

    endpoint_version: int | None
    rollout: Rollout
    releases: list[Release]


class Problem(BaseModel):
    """An error."""

    title: str
    status: int
    detail: str
    errors: list[str] = []
