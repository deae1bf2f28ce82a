"""The Flash route `/v2/flash`: the queue API of whichever endpoint a Flash client names in its headers."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

from starlette.requests import HTTPConnection, Request

from runpod_emulator.core.balancer_errors import QueueCall, WrongKind
from runpod_emulator.core.endpoint.balancer import Balancer
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.errors import BadRequest, FlashEndpointMissing, FlashEndpointNotFound, JobNotFound
from runpod_emulator.core.rates import Operation
from runpod_emulator.core.settings import FLASH, FlashAddress
from runpod_emulator.doors import public
from runpod_emulator.http.guards import verb_of
from runpod_emulator.world.world import World

Kind = TypeVar("Kind", Endpoint, Balancer)

log = logging.getLogger("runpod_emulator.api")

_NOT_SERVED = (Operation.STATUS_SYNC, Operation.PURGE, Operation.HEALTH, Operation.METRICS, Operation.REQUESTS)
APP, ENVIRONMENT, NAME = "X-Flash-App", "X-Flash-Environment", "X-Flash-Endpoint"


async def find_endpoint(request: Request, emulator: World) -> Endpoint:
    """The endpoint that the headers name, or else the job's; raises a NotFound, QueueCall or FlashEndpointMissing.

    From here on the request is the endpoint's own, in the journal too.
    """
    address = _address(request)
    if not address.name and "job_id" in request.path_params:
        endpoint = await _holding(emulator, request.path_params["job_id"])
    else:
        endpoint = _named(Endpoint, emulator, address, lambda: QueueCall(verb_of(request)))
    request.path_params["endpoint_id"] = endpoint.id
    return endpoint


def balancer_named(connection: HTTPConnection, emulator: World) -> Balancer:
    """The load-balancing endpoint that the headers name.

    Raises FlashEndpointNotFound, FlashEndpointMissing, WrongKind.
    """
    return _named(Balancer, emulator, _address(connection), WrongKind)


def _named(kind: type[Kind], emulator: World, address: FlashAddress, other: Callable[[], BadRequest]) -> Kind:
    """The endpoint that is called so; raises `other` for one of the other kind."""
    if not address.name:
        raise FlashEndpointMissing
    found = _called(emulator.endpoints, address)
    if found is None:
        raise _unknown(emulator, address)
    if not isinstance(found, kind):
        raise other()
    return found


def _called(endpoints: Mapping[str, Endpoint | Balancer], address: FlashAddress) -> Endpoint | Balancer | None:
    """The endpoint of a Flash app, or else that whose id stands for the name: stubs of SDK 2.0 send either."""
    exact = (one for one in endpoints.values() if one.settings.flash == address)
    # What runs here was deployed nowhere, so its environment is only a name.
    near = (one for one in endpoints.values() if one.settings.flash and _in_app(one.settings.flash) == _in_app(address))
    return next(exact, None) or next(near, None) or endpoints.get(address.name)


def _address(connection: HTTPConnection) -> FlashAddress:
    headers = connection.headers
    return FlashAddress(headers.get(APP, ""), headers.get(ENVIRONMENT, ""), headers.get(NAME, ""))


def _unknown(emulator: World, address: FlashAddress) -> FlashEndpointNotFound:
    error = FlashEndpointNotFound(*address, list(emulator.endpoints))
    log.warning("%s", error)  # the Flash client does not show its user what the answer says
    return error


def _in_app(address: FlashAddress) -> tuple[str, str]:
    return address.app, address.name


async def _holding(emulator: World, job_id: str) -> Endpoint:
    for endpoint in emulator.endpoints.queues.values():
        with contextlib.suppress(JobNotFound):
            await emulator.store.get(endpoint.id, job_id)
            return endpoint
    raise JobNotFound


routes = public.routes_at(f"/v2/{FLASH}", find_endpoint, "flash", but=_NOT_SERVED)
