"""The shapes of requests and answers, for the OpenAPI page. `wire.py` reads and writes them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]


class Policy(BaseModel):
    """Per-job limits; they win over the endpoint's."""

    executionTimeout: int | None = Field(None, description="Longest run, in ms")
    ttl: int | None = Field(None, description="The job's whole life, in ms from submission")
    lowPriority: bool | None = Field(None, description="Never causes another worker")


class S3Config(BaseModel):
    """Handed to the worker, never shown again."""

    model_config = ConfigDict(extra="allow")

    accessId: Any = Field(None, description="A string")
    accessSecret: Any = Field(None, description="A string")
    bucketName: Any = Field(None, description="A string")
    endpointUrl: Any = Field(None, description="A string")


class JobRequest(BaseModel):
    """The body of /run and /runsync; unknown keys are ignored."""

    model_config = ConfigDict(extra="allow")

    input: dict[str, Any] = Field(description="What the handler gets as job['input']")
    webhook: str | None = Field(
        None, description="Called with the result when the job has ended", examples=["http://127.0.0.1:9000/done"]
    )
    policy: Policy | None = None
    s3Config: S3Config | None = None


class Accepted(BaseModel):
    """A job that was accepted, cancelled or retried."""

    id: str
    status: Status


class Envelope(BaseModel):
    """A job; a key is absent until it exists."""

    delayTime: int | None = Field(None, description="Submission to the last pickup, in ms")
    error: str | None = None
    executionTime: int | None = Field(None, description="How long the worker held it, in ms")
    id: str
    output: Any = None
    retries: int | None = None
    status: Status
    workerId: str | None = None


class Chunk(BaseModel):
    """One yield of the handler."""

    output: Any


class StreamAnswer(BaseModel):
    """The chunks since the last call; each is delivered once."""

    status: Status
    stream: list[Chunk]


class Cancelled(Accepted):
    """A cancelled job; the times only if it ran."""

    delayTime: int | None = None
    executionTime: int | None = None
    workerId: str | None = None


class Purged(BaseModel):
    """How many waiting jobs were removed."""

    removed: int
    status: Literal["completed"]


class JobCounters(BaseModel):
    """Jobs of the endpoint; the first, second and last are cumulative."""

    completed: int
    failed: int
    inProgress: int
    inQueue: int
    retried: int


class WorkerCounters(BaseModel):
    """Workers of the endpoint."""

    idle: int
    initializing: int
    ready: int
    running: int
    throttled: int
    unhealthy: int


class HealthAnswer(BaseModel):
    """The endpoint's counters."""

    jobs: JobCounters
    workers: WorkerCounters


class MetricsAnswer(BaseModel):
    """The endpoint's workers."""

    readyWorkers: list[str] = Field(description="Ids of the workers that are up")
    workers: WorkerCounters


class RequestsPage(BaseModel):
    """One page of the endpoint's jobs, newest first."""

    requests: list[Envelope]
    total: int
    offset: int
    limit: int
    hasMore: bool


class Problem(BaseModel):
    """An error in the service's own shape."""

    status: int
    title: str
    detail: str
    code: str | None = Field(None, description="On a few answers: a name for programs")


class Alive(BaseModel):
    """The server runs."""

    status: str
    version: str


class Ready(BaseModel):
    """Whether every handler has been imported."""

    ready: bool
    broken: dict[str, str] = Field({}, description="With --reload: endpoints whose code can't be imported, and why")
