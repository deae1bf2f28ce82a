"""What bare routes cannot declare of themselves on the OpenAPI page: bodies, headers, keys, and ranges in force."""

from __future__ import annotations

from typing import Any

from emulator.api import models
from emulator.api.guards import FIDELITY
from emulator.core.platform import Platform

Schema = dict[str, Any]
_OF_CLIENTS = {"queue", "openai", "flash"}

_KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "bare": {"type": "apiKey", "in": "header", "name": "Authorization"},
}


def describe(schema: Schema, platform: Platform) -> Schema:
    """The page with everything it should say; done in place."""
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
