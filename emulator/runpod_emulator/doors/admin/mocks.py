"""What tests tell the emulator: stubs, endpoints, namespaces."""

from __future__ import annotations

import copy
from itertools import count, islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from starlette.requests import Request

from runpod_emulator.config.file import EndpointTable
from runpod_emulator.config.settings import Effective, scaling
from runpod_emulator.core.errors import ConfigurationError, NotFound
from runpod_emulator.core.mocks.fault_kinds import FaultKind
from runpod_emulator.core.mocks.stubs import Stub as CoreStub
from runpod_emulator.core.settings import ID
from runpod_emulator.doors.admin.listings import MOST
from runpod_emulator.doors.admin.names import check_endpoint
from runpod_emulator.doors.admin.questions import Parameters
from runpod_emulator.doors.admin.restored import restored
from runpod_emulator.doors.admin.state import Chosen, Limit, Offset
from runpod_emulator.mocking.amounts import few_faults, few_stubs
from runpod_emulator.mocking.faults import Fault
from runpod_emulator.mocking.forms import ONE, ONE_OR_SEVERAL, SEVERAL
from runpod_emulator.mocking.models import Stub
from runpod_emulator.mocking.profiles import profile
from runpod_emulator.values import Milliseconds
from runpod_emulator.world.world import World
from runpod_emulator.world.worlds import Worlds

OneOrSeveralStubs = Annotated[
    Annotated[Stub, ONE] | Annotated[list[Stub], SEVERAL], ONE_OR_SEVERAL, BeforeValidator(few_stubs)
]
OneOrSeveralFaults = Annotated[
    Annotated[Fault, ONE] | Annotated[list[Fault], SEVERAL], ONE_OR_SEVERAL, BeforeValidator(few_faults)
]

router = APIRouter(tags=["what shall happen"])


class NoSuchThing(NotFound):
    """The admin API knows nothing of this name."""


class Added(BaseModel):
    """The ids of what was added, in order."""

    ids: list[str]


# Stubs

_STUB = {"endpoint": "llm", "match": {"input": {"prompt": "hello"}}, "respond": {"output": "hi"}}


class Listed(BaseModel):
    """One stub, and how often it was of use."""

    id: str
    priority: int
    place: str = Field(description="the file and line it was written on, empty for one that came by the API")
    asked: int = Field(description="jobs that fitted it but for the number of the call")
    matched: int = Field(description="jobs that it took")
    played: int = Field(description="runs that a worker began, with those after a retry")
    problem: str = Field(description="the last pattern that took too long to look for, empty for none")
    on: bool = Field(description="false for one that was switched off")
    stub: Any = Field(description="as it was written")


@router.get("/stubs")
async def stubs(world: Chosen, limit: Limit = MOST, offset: Offset = 0) -> list[Listed]:
    """Every stub, in the order in which they are asked."""
    return [
        Listed(
            id=world.masks.text(one.id), priority=one.priority, place=one.place,
            asked=one.asked, matched=one.matched, played=one.played,
            problem=world.masks.text(one.problem), on=not one.is_off, stub=_as_shown(world, one),
        )
        for one in islice(world.stubs, offset, offset + limit)
    ]  # fmt: skip


def _as_shown(world: World, stub: CoreStub) -> Any:
    return world.masks.value(copy.deepcopy(stub.source))


@router.post("/stubs", status_code=201)
async def add_stubs(world: Chosen, given: OneOrSeveralStubs) -> Added:
    """One stub or several; one of an id that is there replaces it."""
    several, numbers = given if isinstance(given, list) else [given], count(1)
    return Added(ids=[world.stub(one.to_core(taken=world.stubs, numbers=numbers)) for one in several])


@router.delete("/stubs", status_code=204)
async def clear_stubs(world: Chosen) -> None:
    """Drop every stub."""
    world.stubs.clear()


@router.delete("/stubs/{stub_id}", status_code=204)
async def remove_stub(world: Chosen, stub_id: str) -> None:
    """Drop one stub."""
    if not world.stubs.remove(stub_id):
        raise NoSuchThing(f"there is no stub {stub_id}")


class Switch(Parameters):
    """Whether it counts."""

    on: bool


@router.patch("/stubs/{stub_id}", status_code=204)
async def switch_stub(world: Chosen, stub_id: str, given: Switch) -> None:
    """Switch a stub off, so that it takes no job, or on again; its counts go on."""
    stub = world.stubs.get(stub_id)
    if stub is None:
        raise NoSuchThing(f"there is no stub {stub_id}")
    stub.is_off = not given.on


@router.put("/stubs/{stub_id}", status_code=204)
async def change_stub(world: Chosen, stub_id: str, given: Annotated[dict[str, Any], Body(examples=[_STUB])]) -> None:
    """Put what is written in the place of a stub. Its counts begin anew; texts that its list masks stay as they were.

    A reset, or a change of the file that it is from, brings that one back.
    """
    old = world.stubs.get(stub_id)
    if old is None:
        raise NoSuchThing(f"there is no stub {stub_id}")
    written = restored(given, _as_shown(world, old), old.source)
    if written.setdefault("id", stub_id) != stub_id:
        raise ConfigurationError(f"id: it is {stub_id}, and stays so; add a stub of another id, and remove this one")
    try:
        new = Stub.model_validate(written)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    world.stub(new.to_core(source=written), stays=True)


# Faults


class ListedFault(BaseModel):
    """One fault, and how often it was of use."""

    id: str
    asked: int = Field(description="calls that fitted it")
    struck: int = Field(description="calls that it struck")
    fault: str
    on: bool = Field(description="false for one that was switched off")
    rule: Any = Field(description="as it was written")


@router.get("/faults")
async def faults(world: Chosen, limit: Limit = MOST, offset: Offset = 0) -> list[ListedFault]:
    """Every fault that has not ended by itself."""
    return [
        ListedFault(
            id=world.masks.text(one.id), asked=one.asked, struck=one.struck, fault=one.kind.value, on=not one.is_off,
            rule=world.masks.value(_as_written(one.source)),
        )
        for one in islice(world.faults, offset, offset + limit)
    ]  # fmt: skip


def _as_written(source: Any) -> Any:
    """The members of a rule that somebody has written; none of one that was made otherwise."""
    return source.model_dump(mode="json", exclude_unset=True) if isinstance(source, BaseModel) else {}


class KindOfFault(BaseModel):
    """What there is to know of one kind of fault."""

    fault: str
    meaning: str
    counts: str = Field(description="what one call is, of which `calls` has the numbers")
    takes: list[str] = Field(description="members of its own, beside those that every fault takes")
    needs: str = Field(description="the one of them that must be there, empty for none")


@router.get("/faults/kinds")
async def kinds_of_faults() -> list[KindOfFault]:
    """Every kind of fault."""
    rows = [kind.row for kind in FaultKind]
    return [
        KindOfFault(fault=row.name, meaning=row.meaning, counts=row.place.value, takes=list(row.takes), needs=row.needs)
        for row in rows
    ]


@router.post("/faults", status_code=201)
async def add_faults(world: Chosen, given: OneOrSeveralFaults) -> Added:
    """One fault or several; one of an id that is there replaces it."""
    return _add_faults(world, given if isinstance(given, list) else [given])


@router.post("/faults/profiles/{name}", status_code=201)
async def add_profile(world: Chosen, name: str) -> Added:
    """All faults of a named profile."""
    return _add_faults(world, profile(name))


def _add_faults(world: World, faults: list[Fault]) -> Added:
    for one in faults:
        check_endpoint(world, one.endpoint)
    return Added(ids=[world.fault(one.to_core(world.timeline.now())).id for one in faults])


@router.delete("/faults", status_code=204)
async def clear_faults(world: Chosen) -> None:
    """Drop every fault."""
    world.faults.clear()


@router.delete("/faults/{fault_id}", status_code=204)
async def remove_fault(world: Chosen, fault_id: str) -> None:
    """Drop one fault."""
    if not world.faults.remove(fault_id):
        raise NoSuchThing(f"there is no fault {fault_id}")


@router.patch("/faults/{fault_id}", status_code=204)
async def switch_fault(world: Chosen, fault_id: str, given: Switch) -> None:
    """Switch a fault off, so that it strikes nothing, or on again; its counts go on."""
    fault = world.faults.get(fault_id)
    if fault is None:
        raise NoSuchThing(f"there is no fault {fault_id}")
    fault.is_off = not given.on


# Endpoints


class Endpoint(BaseModel):
    """One endpoint."""

    id: str
    kind: str = Field(description="handler, command, mock, load_balancer or remote")
    workers_min: int
    workers_max: int
    idle_timeout: int = Field(description="ms")
    execution_timeout: int = Field(description="ms; 0 is none")
    job_ttl: int = Field(description="ms")
    scaler: str


class NewEndpoint(EndpointTable):
    """An endpoint to serve from now on: by a handler or a command, by stubs alone without either.

    Its other members are those of an endpoint's table in the configuration file.
    """

    id: str = Field(pattern=f"^{ID.pattern}$")
    remote: bool = Field(False, description="workers that are started elsewhere serve it")


class Changes(Parameters):
    """Settings to change; what is left out stays."""

    workers_min: int | None = Field(None, ge=0)
    workers_max: int | None = Field(None, ge=0)
    idle_timeout: Milliseconds | None = Field(None, ge=1)
    execution_timeout: Milliseconds | None = Field(None, ge=0)
    job_ttl: Milliseconds | None = Field(None, ge=0)
    init_timeout: Milliseconds | None = Field(None, ge=0)
    scaler: Literal["REQUEST_COUNT", "QUEUE_DELAY"] | None = None
    scaler_value: float | None = Field(None, gt=0, allow_inf_nan=False)
    worker_capacity: int | None = Field(None, ge=0, description="of a load-balancing endpoint; 0 is no limit")


@router.get("/endpoints")
async def endpoints(world: Chosen) -> list[Endpoint]:
    """Every endpoint."""
    return [_shown(world, endpoint_id) for endpoint_id in world.endpoints]


@router.post("/endpoints", status_code=201)
async def add_endpoint(request: Request, world: Chosen, given: NewEndpoint) -> Endpoint:
    """Serve one endpoint more; a handler is imported before the answer, which says what went wrong."""
    if given.id in world.endpoints:
        raise ConfigurationError(f"endpoint {given.id} is served already")
    table = given
    if not (given.handler or given.command or given.remote):
        table = given.model_copy(update={"mock": True})
    await request.app.state.serve(world, given.id, table)
    return _shown(world, given.id)


@router.patch("/endpoints/{endpoint_id}")
async def change_endpoint(world: Chosen, endpoint_id: str, given: Changes) -> Endpoint:
    """Change settings of an endpoint at work; those of a job are for jobs to come."""
    changes = {name: value for name in given.model_fields_set if (value := getattr(given, name)) is not None}
    value = changes.pop("scaler_value", None)
    scaler = changes.get("scaler", world.endpoints.any(endpoint_id).settings.scaler)
    await world.endpoints.configure(endpoint_id, **changes, **scaling(scaler, Effective(value, "this request")))
    return _shown(world, endpoint_id)


def _shown(world: World, endpoint_id: str) -> Endpoint:
    settings = world.endpoints.any(endpoint_id).settings
    return Endpoint(
        id=world.masks.text(endpoint_id),
        kind=world.endpoints.any(endpoint_id).workforce.launcher.kind,
        workers_min=settings.workers_min,
        workers_max=settings.workers_max,
        idle_timeout=settings.idle_timeout,
        execution_timeout=settings.execution_timeout,
        job_ttl=settings.job_ttl,
        scaler=settings.scaler,
    )


@router.delete("/endpoints/{endpoint_id}", status_code=204)
async def remove_endpoint(world: Chosen, endpoint_id: str) -> None:
    """Serve an endpoint no more: its jobs are cancelled, its workers end."""
    await world.endpoints.remove(endpoint_id)


# Namespaces


@router.get("/namespaces")
async def namespaces(request: Request) -> list[str]:
    """Every namespace there is; those that are keys of clients are masked."""
    worlds: Worlds = request.app.state.worlds
    return [worlds.shown(name) for name in worlds.names]


@router.delete("/namespaces/{name}", status_code=204)
async def drop_namespace(request: Request, name: str) -> None:
    """End a world and forget it; `name` is the whole one, also of one that is shown masked."""
    worlds: Worlds = request.app.state.worlds
    if not await worlds.drop(name):
        raise NoSuchThing(f"there is no namespace {worlds.shown(name)}")
