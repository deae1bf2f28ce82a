"""The routes of REST v2 below `/v2/serverless`."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Header, Query
from starlette.requests import Request
from starlette.responses import Response

from runpod_emulator.core.errors import TooManyRequests
from runpod_emulator.core.management_errors import ContradictoryRequest, Unprocessable, WorkerUnknown
from runpod_emulator.core.platform import SECOND
from runpod_emulator.doors.management import answers
from runpod_emulator.doors.management.creating import change, check_code, create, options_of, settings_of
from runpod_emulator.doors.management.logs import Cursor, Wanted, WorkerLogs
from runpod_emulator.doors.management.shapes import EndpointChange, Gpu, NewEndpoint
from runpod_emulator.doors.management.showing import Shown
from runpod_emulator.doors.public import Events
from runpod_emulator.http.answers import WORLD
from runpod_emulator.http.call import FIDELITY
from runpod_emulator.world.deployments import Deployment
from runpod_emulator.world.world import World

PATH = "/v2/serverless"
MOST_READERS = 64
"""Of a world's news at a time, those of the admin API among them."""
MEMORY = 4
"""GB for each vCPU, as in the specification's first example: there is no catalogue."""
_SERVICE = ".runpod.io"
"""Ends the host name of the management API, whose endpoints are called at another."""
_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)")

router = APIRouter(prefix=PATH, tags=["Serverless"])


async def _world(request: Request) -> World:
    world: World = request.scope[WORLD]
    return world


Chosen = Annotated[World, Depends(_world)]


def _origin(request: Request) -> str:
    """Where the endpoints are called: here, or at the real host by whose name the management API was called."""
    host = request.headers.get("host", "")
    if host.partition(":")[0].lower().endswith(_SERVICE):
        return "https://api.runpod.ai"
    return f"{request.url.scheme}://{host or request.url.netloc}"


def _answer(world: World, body: dict[str, Any], status: int = 200) -> Response:
    headers = {FIDELITY: world.ledger.headers["management.shown"]}
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


@router.get("", operation_id="listEndpoints", response_model=answers.Endpoints)
async def endpoints(world: Chosen, request: Request) -> Response:
    """All endpoints."""
    origin = _origin(request)
    return _answer(world, {"endpoints": [Shown(world, one, origin).endpoint() for one in list(world.endpoints)]})


@router.post("", operation_id="createEndpoint", response_model=answers.Endpoint, status_code=201)
async def add(world: Chosen, request: Request, given: NewEndpoint) -> Response:
    """Serve one endpoint more: by what stands in for its image."""
    if (given.gpu is None) == (given.cpu is None):
        raise ContradictoryRequest("specify exactly one of gpu or cpu")
    _check_idle(given.type, given.scaling.type, given)
    deployment = Deployment(**_with_template(world, _fields(given)))
    options = {
        "workers_min": given.workers.min,
        "workers_max": given.workers.max,
        "idle_timeout": given.workers.idle_timeout * SECOND,
        "execution_timeout": given.timeout,
        **options_of(given.scaling),
    }
    endpoint_id = await create(request.app.state, world, deployment, options)
    return _answer(world, Shown(world, endpoint_id, _origin(request)).endpoint(), 201)


@router.get("/{id}", operation_id="getEndpoint", response_model=answers.Endpoint)
async def endpoint(world: Chosen, request: Request, id: str) -> Response:
    """One endpoint."""
    return _answer(world, Shown(world, id, _origin(request)).endpoint())


@router.patch("/{id}", operation_id="updateEndpoint", response_model=answers.Endpoint)
async def patch(world: Chosen, request: Request, id: str, given: EndpointChange) -> Response:
    """Change an endpoint: workers and scaling at once, what workers run by a release."""
    settings = world.endpoints.any(id).settings
    before = world.endpoints.deployments.of(id)
    scaler = settings.scaler if given.scaling is None else given.scaling.type
    if before.type == "LOAD_BALANCER" and scaler == "QUEUE_DELAY":
        raise Unprocessable(errors=["scaling.type: a LOAD_BALANCER endpoint has no queue: write REQUEST_COUNT"])
    if given.gpu is not None and before.cpu:
        raise ContradictoryRequest("gpu: this is a CPU endpoint, and stays one")
    if given.cpu is not None and not before.cpu:
        raise ContradictoryRequest("cpu: this is a GPU endpoint, and stays one")
    _check_idle(before.type, scaler, given)
    fields = _with_template(world, _fields(given, before))
    check_code(request.app.state, world, id, fields)
    await change(world, id, fields, _settings(given))
    return _answer(world, Shown(world, id, _origin(request)).endpoint())


@router.delete("/{id}", operation_id="deleteEndpoint", status_code=204)
async def remove(world: Chosen, id: str) -> Response:
    """Serve an endpoint no more: its jobs are cancelled, its workers end."""
    await world.endpoints.remove(id)
    return Response(status_code=204, headers={FIDELITY: world.ledger.headers["management.shown"]})


@router.get("/{id}/workers", operation_id="listEndpointWorkers", response_model=answers.Workers)
async def workers(world: Chosen, request: Request, id: str) -> Response:
    """The workers of an endpoint, and how many are in each state."""
    return _answer(world, Shown(world, id, _origin(request)).workers())


@router.get("/{id}/releases", operation_id="listEndpointReleases", response_model=answers.Releases)
async def releases(world: Chosen, request: Request, id: str) -> Response:
    """The releases of an endpoint, newest first."""
    return _answer(world, Shown(world, id, _origin(request)).releases())


@router.get("/{id}/workers/{workerId}/logs", operation_id="getWorkerLogs", response_class=Events)
async def logs(
    world: Chosen,
    id: str,
    workerId: str,
    source: Literal["container", "system"] | None = None,
    tail: Annotated[int, Query(ge=0, le=5_000)] = 100,
    since: str | None = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """What a worker prints, as server-sent events."""
    world.endpoints.any(id)
    wanted = Wanted(source, tail, _cursor("since", since), _cursor("Last-Event-ID", last_event_id))
    log = WorkerLogs(world, id, workerId, wanted)
    if not log.is_known:
        raise WorkerUnknown
    if len(world.feeds) >= MOST_READERS:
        raise TooManyRequests(f"{MOST_READERS} others read what happens here already", 1)
    headers = {"Cache-Control": "no-cache", FIDELITY: world.ledger.headers["management.logs"]}
    return Events(log.pieces(), headers=headers).within(log.reading())


def _check_idle(type: str, scaler: str, given: NewEndpoint | EndpointChange) -> None:
    """Refuse what the specification refuses: an idle timeout where a queue is scaled by its requests."""
    if (type, scaler) == ("QUEUE", "REQUEST_COUNT") and "idle_timeout" in given.workers.model_fields_set:
        raise Unprocessable(errors=["workers.idleTimeout: not applicable to a QUEUE endpoint scaled by REQUEST_COUNT"])


def _fields(given: NewEndpoint | EndpointChange, before: Deployment | None = None) -> dict[str, Any]:
    """The fields of a deployment that a body has."""
    names = {"data_center_ids": "data_centers"}
    found: dict[str, Any] = {}
    for name, value in given.given().items():
        if name in ("workers", "scaling", "timeout"):
            continue
        if name == "cpu" and value is not None:
            value = tuple(
                {"id": one.id, "vcpuCount": one.vcpu_count, "memory": one.vcpu_count * MEMORY} for one in value
            )
        elif name == "gpu" and value is not None:
            value = _gpu(value, (before and before.gpu) or {})
        elif isinstance(value, list):
            value = tuple(value)
        elif name == "template_id":
            value = value or None
        found[names.get(name, name)] = value
    return found


def _with_template(world: World, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields laid over those of the template that they name, if it was saved here."""
    template = world.endpoints.templates.get(fields.get("template_id") or "")
    if template is None:
        return fields
    env = {**template.env, **fields.get("env", {})}
    return {"image": template.image, "args": template.args, **fields, "env": env}


def _gpu(given: Any, before: Any) -> dict[str, Any]:
    """The choice of GPUs with what was given laid over what was `before`."""
    found = {"pools": ["ANY"], "count": 1, "allowedCudaVersions": [], "minCudaVersion": None, **before}
    sent = given.given()
    if "pools" in sent:
        found.pop("excludedTypes", None)
        found["pools"] = sent["pools"]
    if "excluded_types" in sent:
        found["excludedTypes"] = [one.strip() for one in sent["excluded_types"]]
    if "count" in sent or isinstance(given, Gpu):
        found["count"] = given.count
    if "allowed_cuda_versions" in sent:
        found["allowedCudaVersions"] = sent["allowed_cuda_versions"]
    if "min_cuda_version" in sent:
        found["minCudaVersion"] = sent["min_cuda_version"] or None
    if found["allowedCudaVersions"] and found["minCudaVersion"]:
        raise ContradictoryRequest("gpu: allowedCudaVersions and minCudaVersion exclude each other")
    return found


def _settings(given: EndpointChange) -> dict[str, Any]:
    """The settings that a change names."""
    found: dict[str, Any] = {} if given.scaling is None else settings_of(given.scaling)
    names = {"min": "workers_min", "max": "workers_max"}
    for name, value in given.workers.given().items():
        if name == "idle_timeout":
            found["idle_timeout"] = value * SECOND
        else:
            found[names[name]] = value
    if "timeout" in given.model_fields_set:
        found["execution_timeout"] = given.timeout
    return found


def _cursor(name: str, text: str | None) -> Cursor | None:
    """A time as it stands in an event's id; raises InvalidQuery."""
    if text is None:
        return None
    found = _RFC3339.fullmatch(text)
    try:
        assert found is not None
        whole = datetime.datetime.fromisoformat(
            found[1].upper().replace(" ", "T") + found[3].upper().replace("Z", "+00:00")
        )
    except (AssertionError, ValueError):
        raise Unprocessable(errors=[f"{name}: write a time as RFC 3339, such as 2026-06-01T12:00:00Z"]) from None
    digits = (found[2] or "").ljust(9, "0")
    return round(whole.timestamp()) * SECOND + int(digits[:3]), int(digits[3:])
