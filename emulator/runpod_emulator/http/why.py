"""Why a request was refused, in words for those who run the server: what its client is told is the service's own."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from starlette.types import Scope

from runpod_emulator.core.durations import length
from runpod_emulator.core.errors import EndpointNotFound, InvalidKey, JobNotFound, RequestError
from runpod_emulator.core.jobs.job import JobStatus
from runpod_emulator.http.routing import headers_of
from runpod_emulator.world.world import World

_NAMED = 8
"""Endpoints that are named where one was not found."""
_SHOWN = 100
"""Characters of a client's word that are repeated."""
_ENDED = frozenset(one.value for one in JobStatus if one.terminal)


def why(error: RequestError, scope: Scope, world: World) -> str:
    """The reason of a refusal; it may hold what the client has sent."""
    params: dict[str, Any] = scope.get("path_params", {})
    endpoint = str(params.get("endpoint_id", ""))
    if isinstance(error, JobNotFound):
        return _no_job(world, endpoint, str(params.get("job_id", "")))
    if isinstance(error, EndpointNotFound):
        return _no_endpoint(world, endpoint)
    if isinstance(error, InvalidKey):
        sent = headers_of(scope).get(b"authorization", b"").decode("latin-1")
        return f"no key of this server: {world.masks.header('authorization', sent)[:_SHOWN]}"
    return error.why


def _no_endpoint(world: World, endpoint: str) -> str:
    told = f"no endpoint {endpoint[:_SHOWN]}"
    near = get_close_matches(endpoint[:_SHOWN], list(world.endpoints), n=1)
    if near:
        return f"{told}: did you mean {near[0]}?"
    names = list(world.endpoints)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{told}: there are {', '.join(names[:_NAMED])}{more}" if names else f"{told}: there are none"


def _no_job(world: World, endpoint: str, job: str) -> str:
    name = f"job {endpoint}/{job[:_SHOWN]}"
    moments = world.history.of(endpoint, job)
    if not moments:
        other = next((one for one in world.endpoints.queues if world.history.of(one, job)), None)
        return f"{name} was never here" if other is None else f"{name} is {other}'s"
    ago = length(max(0, world.timeline.now() - moments[-1].at))
    before = moments[-2].status if len(moments) > 1 else ""
    if before in _ENDED:
        return f"{name} expired {ago} ago"
    if moments[-1].ttl:
        life = f"its TTL of {length(moments[-1].ttl)} was over (policy.ttl, job_ttl)"
        return f"{name} expired {before} {ago} ago: {life}"
    return f"{name} was purged, {before}, {ago} ago" if before else f"{name} went {ago} ago"
