"""New endpoints, and changes of those that there are, in the way of the admin API and of the configuration."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from runpod_emulator.config.file import EndpointTable
from runpod_emulator.config.plans import check_port
from runpod_emulator.config.settings import Effective
from runpod_emulator.core.containers import usable
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.management_errors import UnknownImage
from runpod_emulator.core.platform import SECOND
from runpod_emulator.world.deployments import Deployment, EndpointType
from runpod_emulator.world.world import World

PlanFor = Callable[[str, str, str, Mapping[str, str], EndpointType], EndpointTable]
"""What serves an image: called with image, template id, arguments (each "" for none), variables and the type.

The table has those of the variables that workers get.
"""
_ORIGIN = "this request"


def no_images(image: str, template_id: str, args: str, env: Mapping[str, str], type: EndpointType) -> EndpointTable:
    """Where nothing is said of images, none is known; raises UnknownImage."""
    raise UnknownImage(image, template_id, args)


async def create(state: Any, world: World, deployment: Deployment, options: Mapping[str, Any]) -> str:
    """Serve one endpoint more; returns its id. Its handler has been imported then, or it is not there.

    `state` is the application's, with `serve` and `plan_for`; `options` are given ones of an endpoint's table.
    Raises UnknownImage, ConfigurationError.
    """
    check_variables(deployment.env)
    plan_for: PlanFor = state.plan_for
    table = plan_for(deployment.image, deployment.template_id or "", deployment.args, deployment.env, deployment.type)
    endpoint_id = world.endpoints.deployments.new_id()
    await state.serve(world, endpoint_id, table.model_copy(update=dict(options)))
    world.endpoints.deployments.note(endpoint_id, deployment)
    return endpoint_id


async def change(world: World, endpoint_id: str, fields: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Change `fields` of an endpoint's deployment, and its `settings`; if these cannot be, nothing is changed.

    Raises EndpointNotFound, ConfigurationError.
    """
    variables = None
    if "env" in fields:
        check_variables(fields["env"])
        variables = usable(fields["env"])
    if settings:
        await world.endpoints.configure(endpoint_id, **settings)
    world.endpoints.deployments.change(endpoint_id, fields, variables)


def check_code(state: Any, world: World, endpoint_id: str, fields: Mapping[str, Any]) -> None:
    """Refuse a change to an image, template or arguments for which other code stands in than what serves the endpoint.

    Those of the configuration have no image, and keep whatever they are given. Raises EndpointNotFound, UnknownImage,
    ConfigurationError.
    """
    before = world.endpoints.deployments.of(endpoint_id)
    if before.is_ours:
        return
    after = dataclasses.replace(before, **fields)
    if _code(state.plan_for, before) != _code(state.plan_for, after):
        raise ConfigurationError(
            f"something else stands in for image {after.image[:100]!r} than what serves endpoint {endpoint_id} now: "
            "delete it and deploy it anew"
        )


def _code(plan_for: PlanFor, one: Deployment) -> tuple[Any, ...]:
    """What serves a deployment."""
    table = plan_for(one.image, one.template_id or "", one.args, one.env, one.type)
    return table.handler, table.command, table.mock


def check_variables(env: Mapping[str, str]) -> None:
    """Refuse variables by which no worker can start; raises ConfigurationError."""
    if "PORT_HEALTH" in env:
        check_port("PORT_HEALTH", Effective(env["PORT_HEALTH"], _ORIGIN))


def settings_of(scaling: Any) -> dict[str, Any]:
    """The settings of a scaler of `shapes`."""
    if scaling.type == "QUEUE_DELAY":
        return {"scaler": "QUEUE_DELAY", "scaler_delay": round(scaling.queue_delay * SECOND)}
    return {"scaler": "REQUEST_COUNT", "scaler_requests": scaling.request_count}


def options_of(scaling: Any) -> dict[str, Any]:
    """The options of a scaler of `shapes`."""
    is_delay = scaling.type == "QUEUE_DELAY"
    return {"scaler": scaling.type, "scaler_value": float(scaling.queue_delay if is_delay else scaling.request_count)}
