"""The API page of clients, `/docs` and `/openapi.json`: each route with its parameters and the models of its answers.

The routes serve without it. It is made when it is first asked for, since FastAPI takes long to load.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterable
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel

from runpod_emulator import __version__
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.rates import Operation
from runpod_emulator.doors import alive, models
from runpod_emulator.doors.flash import APP, ENVIRONMENT, NAME
from runpod_emulator.doors.swagger import add_page
from runpod_emulator.http.call import FIDELITY
from runpod_emulator.http.routing import Door

_ABOUT = """A local stand-in for `https://api.runpod.ai/v2/<endpoint_id>`.

Every answer carries `X-Emulator-Fidelity`: how well that answer of the real service is known."""

Schema = dict[str, Any]
_OF_CLIENTS = {"queue", "openai", "flash"}

_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "bare": {"type": "apiKey", "in": "header", "name": "Authorization"},
}
_SECURITY: list[Schema] = [{"bearer": []}, {"bare": []}]


def _parameter(name: str, place: str, text: str, **schema: Any) -> Schema:
    required = place == "path"
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": text,
        "schema": {"type": "string", **schema},
    }


_JOB = _parameter("job_id", "path", "The id that /run or /runsync answered")
_WAIT = _parameter(
    "wait", "query", "How long to hold the answer, in ms", type="integer", minimum=1_000, maximum=300_000
)
_TTL = _parameter("ttl", "query", "Keep the result no longer than this, in ms", type="integer")
_OFFSET = _parameter("offset", "query", "Jobs to skip", type="integer", minimum=0, default=0)
_LIMIT = _parameter("limit", "query", "Jobs a page", type="integer", minimum=1, maximum=1_000)
_ROUTE = _parameter("route", "path", "The path at OpenAI, such as `v1/chat/completions`; its percent-encoding is kept")

_OWN = {
    "queue": (_parameter("endpoint_id", "path", "The endpoint's id"),),
    "flash": (
        _parameter(NAME, "header", "The endpoint's name; needed to submit a job, else its id will do"),
        _parameter(APP, "header", "The app, where two apps have an endpoint of this name"),
        _parameter(ENVIRONMENT, "header", "The environment of the app"),
    ),
}
"""What says whose a request is, by tag."""

_TEXTS = {
    400: "The request is wrong: `detail` says how",
    401: "No key, or one that is not accepted",
    404: "Unknown endpoint or job",
    429: "A rate limit is reached; `Retry-After` says for how long",
}
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": models.Problem, "description": text} for code, text in _TEXTS.items()
}
_SUBMITS_PROBLEMS = _PROBLEMS | {409: {"model": models.Problem, "description": "The endpoint may have no worker"}}


class Description(NamedTuple):
    """What a route answers, and its parameters beside those that say whose a request is."""

    answer: type[BaseModel]
    parameters: tuple[Schema, ...] = ()


_DESCRIPTIONS = {
    Operation.RUN: Description(models.Accepted),
    Operation.RUNSYNC: Description(models.Envelope, (_WAIT,)),
    Operation.STATUS: Description(models.Envelope, (_JOB, _TTL)),
    Operation.STATUS_SYNC: Description(models.Envelope, (_JOB, _WAIT)),
    Operation.STREAM: Description(models.StreamAnswer, (_JOB, _WAIT)),
    Operation.CANCEL: Description(models.Accepted, (_JOB,)),
    Operation.RETRY: Description(models.Accepted, (_JOB,)),
    Operation.PURGE: Description(models.Purged),
    Operation.HEALTH: Description(models.HealthAnswer),
    Operation.METRICS: Description(models.MetricsAnswer),
    Operation.REQUESTS: Description(models.RequestsPage, (_OFFSET, _LIMIT)),
}
_BODY = {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/JobRequest"}}}}
_OPENAI = {
    "POST": "Ask an OpenAI-compatible worker",
    "GET": "Ask an OpenAI-compatible worker without a body, as for models",
}


def page_app(doors: Iterable[Door], platform: Platform) -> FastAPI:
    """An application that describes these doors and serves the page."""
    app = FastAPIOffline(
        None, None, title="runpod-emulator", version=__version__, description=_ABOUT, redirect_slashes=False
    )
    add_page(app)
    for door in doors:
        describe = _describe_openai if door.operation is Operation.OPENAI else _describe
        describe(app, door)
    alive.describe(app, "/__emulator")
    plain = app.openapi
    app.openapi = functools.cache(lambda: _finish_page(plain(), platform))  # type: ignore[method-assign]
    return app


def _describe(app: FastAPI, door: Door) -> None:
    answer, parameters = _DESCRIPTIONS[door.operation]
    extra: Schema = {"parameters": [*_OWN[door.tag], *parameters], "security": _SECURITY}
    submits = door.operation in (Operation.RUN, Operation.RUNSYNC)
    if submits:
        extra["requestBody"] = _BODY
    name = f"flash_{door.operation.value}" if door.tag == "flash" else door.operation.value
    events: Schema = {"text/event-stream": {}} if door.operation is Operation.STREAM else {}
    methods = sorted(door.methods or ())
    for method in methods:
        app.add_api_route(
            door.path,
            door.endpoint,
            methods=[method],
            tags=[door.tag],
            operation_id=f"{name}_{method.lower()}" if len(methods) > 1 else name,
            summary=(door.endpoint.__doc__ or "").partition(".")[0].partition("\n")[0],
            responses={200: {"model": answer, "content": events}, **(_SUBMITS_PROBLEMS if submits else _PROBLEMS)},
            response_model=None,
            openapi_extra=copy.deepcopy(extra),
        )


def _describe_openai(app: FastAPI, door: Door) -> None:
    for method, summary in _OPENAI.items():
        events: Schema = {"text/event-stream": {}} if method == "POST" else {}
        app.add_api_route(
            door.path,
            door.endpoint,
            methods=[method],
            tags=[door.tag],
            operation_id=f"openai_{method.lower()}",
            summary=summary,
            responses={
                200: {"description": "What the worker answers", "content": {"application/json": {}, **events}},
                500: {"description": "The job failed, or has ended in another way"},
                **_SUBMITS_PROBLEMS,
            },
            response_model=None,
            openapi_extra={"parameters": copy.deepcopy([*_OWN["queue"], _ROUTE]), "security": _SECURITY},
        )


def _finish_page(schema: Schema, platform: Platform) -> Schema:
    components = schema.setdefault("components", {})
    components["securitySchemes"] = _KEYS
    schemas = components["schemas"]
    request = models.JobRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(request.pop("$defs", {}), JobRequest=request)
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    _set_policy_ranges(schemas["Policy"], platform)
    for path in schema["paths"].values():
        for operation in path.values():
            _finish(operation, platform)
    return schema


def _finish(operation: Schema, platform: Platform) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    if not _OF_CLIENTS & set(operation["tags"]):
        return
    text = "How well this answer of the real service is known, and its row in docs/fidelity.md"
    for answer in answers.values():
        answer.setdefault("headers", {})[FIDELITY] = {"description": text, "schema": {"type": "string"}}
    wait = {"description": "Whole seconds to wait", "schema": {"type": "integer"}}
    answers["429"]["headers"]["Retry-After"] = wait
    for parameter in operation["parameters"]:
        parameter["schema"].update(_range(parameter["name"], platform))
    failed = str(platform.runsync_failed_status)
    if operation["operationId"].endswith("runsync") and failed != "200":
        envelope = answers["200"]["content"]["application/json"]["schema"]
        content = answers.setdefault(failed, {"description": "The job failed"}).setdefault("content", {})
        known = content.get("application/json", {}).get("schema")
        content["application/json"] = {"schema": {"anyOf": [envelope, known]} if known else envelope}


def _range(parameter: str, platform: Platform) -> Schema:
    if parameter == "wait":
        return {"minimum": platform.wait_min, "maximum": platform.wait_max}
    if parameter == "ttl":
        return {"minimum": platform.status_ttl_min}
    return {"default": platform.requests_limit} if parameter == "limit" else {}


def _set_policy_ranges(policy: Schema, platform: Platform) -> None:
    ranges = {
        "executionTimeout": (platform.execution_timeout_min, platform.execution_timeout_max),
        "ttl": (platform.job_ttl_min, platform.job_ttl_max),
    }
    for name, (low, high) in ranges.items():
        for choice in policy["properties"][name]["anyOf"]:
            if choice["type"] == "integer":
                choice.update(minimum=low, maximum=high)
