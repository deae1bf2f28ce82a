"""What the fields of GraphQL come to: endpoints as they are, and what the mutations do to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from runpod_emulator.config.settings import Effective, scaling
from runpod_emulator.core.graphql_errors import GraphQLInvalid
from runpod_emulator.core.platform import SECOND
from runpod_emulator.doors.management.creating import change, check_code, create
from runpod_emulator.doors.management.inputs import EndpointInput, TemplateInput, TemplateOfEndpoint, read
from runpod_emulator.doors.management.machines import machines_of, machines_shown
from runpod_emulator.world.deployments import Deployment
from runpod_emulator.world.templates import Template
from runpod_emulator.world.world import World

USER = "user_emulator"
"""The id of whoever has a key: all keys belong to one user."""


def fields_of(state: Any, world: World) -> Mapping[str, Any]:
    """The fields of queries and mutations in one world, by their names; `state` is the application's."""
    account = Account(state, world)
    return {
        "myself": lambda info: account.shown(),
        "podTemplate": lambda info, id: account.template(id),
        "saveEndpoint": account.save_endpoint,
        "updateEndpointTemplate": account.update_endpoint_template,
        "deleteEndpoint": account.delete_endpoint,
        "saveTemplate": account.save_template,
    }


class Account:
    """The endpoints and templates of one world, as GraphQL shows and changes them."""

    def __init__(self, state: Any, world: World) -> None:
        self._state = state
        self._world = world
        self._endpoints = world.endpoints
        self._templates = world.endpoints.templates

    # What there is

    def shown(self) -> dict[str, Any]:
        """The user, whose endpoints are all there are."""
        return {
            "id": USER,
            "endpoints": lambda info: [self.endpoint(one) for one in self._endpoints],
            "endpoint": lambda info, id: self.endpoint(id) if id in self._endpoints else None,
            "podTemplates": lambda info: [_template(one) for one in self._templates.values()],
        }

    def template(self, template_id: str) -> dict[str, Any] | None:
        """A template that was saved here; None for any other."""
        found = self._templates.get(template_id)
        return None if found is None else _template(found)

    def endpoint(self, endpoint_id: str) -> dict[str, Any]:
        """An endpoint as it is now; raises EndpointNotFound."""
        endpoint, deployed = self._endpoints.any(endpoint_id), self._endpoints.deployments.of(endpoint_id)
        settings = endpoint.settings
        value = settings.scaler_delay / SECOND if settings.scaler == "QUEUE_DELAY" else settings.scaler_requests
        return {
            **machines_shown(deployed),
            "id": endpoint_id,
            "name": deployed.name,
            "createdAt": _stamp(deployed.created_at),
            "env": _variables(deployed.env),
            "executionTimeoutMs": settings.execution_timeout,
            "idleTimeout": max(1, settings.idle_timeout // SECOND),
            "scalerType": settings.scaler,
            "scalerValue": int(value) if value == int(value) else value,
            "template": self.template(deployed.template_id or ""),
            "templateId": deployed.template_id,
            "type": "QB" if deployed.type == "QUEUE" else "LB",
            "userId": USER,
            "version": deployed.version,
            "workersMax": settings.workers_max,
            "workersMin": settings.workers_min,
            "workersStandby": settings.workers_min,
        }

    # What becomes of it

    async def save_endpoint(self, info: Any, input: Any) -> dict[str, Any]:
        """Deploy an endpoint, or change the one of the `id` that is given.

        Raises GraphQLInvalid, EndpointNotFound, UnknownImage, ConfigurationError.
        """
        given = read(EndpointInput, input)
        if given.id is None:
            return self.endpoint(await self._create(given))
        scaler = self._endpoints.any(given.id).settings.scaler
        fields = machines_of(given) | ({"name": given.name} if given.name else {})
        template = self._template_for(given) if given.templateId or given.template else None
        if template is not None:
            fields |= self._container(given.id, template)
        await change(self._world, given.id, fields, _settings(given, scaler))
        self._keep_own(given, template)
        return self.endpoint(given.id)

    async def _create(self, given: EndpointInput) -> str:
        if not given.name:
            raise GraphQLInvalid("input.name: an endpoint needs a name")
        template = self._template_for(given)
        _settings(given, self._world.platform.scaler)
        fields = machines_of(given) | _container(template)
        kind = "LOAD_BALANCER" if given.type == "LB" else "QUEUE"
        deployment = Deployment(**{"name": given.name, "type": kind, **fields})
        endpoint_id = await create(self._state, self._world, deployment, given.options)
        self._keep_own(given, template)
        return endpoint_id

    def _keep_own(self, given: EndpointInput, template: Template | None) -> None:
        """Keep the template that came with an endpoint: it has an id by now."""
        if given.template is not None and template is not None:
            self._templates[template.id] = template

    def _template_for(self, given: EndpointInput) -> Template:
        """The template that an endpoint is made from: one that was saved, an unknown one, or a new one."""
        if given.templateId is not None and given.template is not None:
            raise GraphQLInvalid("input: give templateId or template, not both")
        if given.templateId is not None:
            return self._templates.get(given.templateId) or Template(given.templateId)
        if given.template is None:
            raise GraphQLInvalid("input: an endpoint needs a templateId, or a template with an imageName")
        return _filled(Template(self._endpoints.deployments.new_id()), given.template)

    async def update_endpoint_template(self, info: Any, input: Any = None) -> dict[str, Any]:
        """Let an endpoint go over to another template; raises EndpointNotFound, UnknownImage, ConfigurationError."""
        given = read(TemplateOfEndpoint, input)
        template = self._templates.get(given.templateId) or Template(given.templateId)
        await change(self._world, given.endpointId, self._container(given.endpointId, template), {})
        return self.endpoint(given.endpointId)

    def _container(self, endpoint_id: str, template: Template) -> dict[str, Any]:
        """What an endpoint that goes over to a template becomes; raises ConfigurationError where that is other code."""
        fields = _container(template)
        check_code(self._state, self._world, endpoint_id, fields)
        return fields

    async def delete_endpoint(self, info: Any, id: str) -> None:
        """Serve an endpoint no more: its jobs are cancelled, its workers end. Raises EndpointNotFound."""
        await self._endpoints.remove(id)

    async def save_template(self, info: Any, input: Any = None) -> dict[str, Any]:
        """Keep a template, or change the one of the `id` that is given, and with it the endpoints made from it."""
        given = read(TemplateInput, input)
        known = self._templates.get(given.id) if given.id else Template(self._endpoints.deployments.new_id())
        if known is None:
            raise GraphQLInvalid(f"there is no template {str(given.id)[:100]}")
        template = _filled(known, given)
        deployments = self._endpoints.deployments
        using = [one for one in self._endpoints if deployments.of(one).template_id == known.id]
        changes = {one: self._container(one, template) for one in using}
        self._templates[known.id] = template
        for endpoint_id, fields in changes.items():
            await change(self._world, endpoint_id, fields, {})
        return _template(template)


def _settings(given: EndpointInput, scaler: str) -> dict[str, Any]:
    """What is said of workers, as an endpoint's settings have it; raises ConfigurationError."""
    found = given.options
    value = found.pop("scaler_value", None)
    return found | scaling(found.get("scaler", scaler), Effective(value, "input"))


def _container(template: Template) -> dict[str, Any]:
    return {"template_id": template.id, "image": template.image, "args": template.args, "env": template.env}


def _filled(template: Template, given: TemplateInput) -> Template:
    """A template with what was handed in."""
    found: dict[str, Any] = {
        "name": given.name, "image": given.imageName, "args": given.dockerArgs, "env": given.environment,
    }  # fmt: skip
    changes = {name: value for name, value in found.items() if value is not None}
    return dataclasses.replace(template, **changes, choices={**template.choices, **given.choices})


def _template(template: Template) -> dict[str, Any]:
    return {
        **template.choices,
        "id": template.id,
        "name": template.name,
        "imageName": template.image,
        "dockerArgs": template.args,
        "env": _variables(template.env),
    }


def _variables(env: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in env.items()]


def _stamp(at: int) -> str:
    moment = datetime.fromtimestamp(at / 1000, tz=timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
