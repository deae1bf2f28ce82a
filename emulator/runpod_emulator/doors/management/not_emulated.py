"""Routes of the management API that there are on RunPod and not here: each says so, and none is 404."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from runpod_emulator.http.names import authority

_V1 = ("billing", "containerregistryauth", "endpoints", "networkvolumes", "openapi.json", "pods", "templates", "docs")
"""Everything below `/v1` of `rest.runpod.io`."""
_V2 = (
    "account", "audit", "billing", "catalog", "clusters", "global-volumes", "network-volumes", "organization", "pods",
    "registries", "sandboxes", "secrets", "signup", "tags", "templates",
)  # fmt: skip
"""Everything below `/v2` of `api.runpod.io` beside `serverless`."""
HOSTS = frozenset(("api.runpod.io", "rest.runpod.io", "v2-rest.runpod.io"))
"""Under these names there is the management API alone."""


def _both(path: str) -> tuple[str, str]:
    return path, f"{path}/{{rest:path}}"


MANAGEMENT = {
    **{path: "the management API (REST v1)" for name in _V1 for path in _both(f"/v1/{name}")},
    **{path: "the management API (REST)" for name in _V2 for path in _both(f"/v2/{name}")},
    "/v2/serverless/{rest:path}": "this part of the management API (REST)",
}
"""Routes that answer 501, and what they are called; they come after all others."""


def is_management(connection: HTTPConnection) -> bool:
    """Whether a request was meant for a host of the management API, which answers nothing else."""
    found = authority(connection.headers.get("host", ""))
    return found is not None and found.host in HOSTS
