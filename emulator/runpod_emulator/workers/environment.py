"""The environment of workers: of those that speak the worker protocol, and of those that are HTTP servers."""

from __future__ import annotations

import os
from collections.abc import Mapping

from runpod_emulator.core.platform import Platform
from runpod_emulator.core.settings import named

POINTED_BY_EXEC = "_RUNPOD_EMULATOR_EXEC"
"""The variable by which `exec` says to which URL it has pointed the clients of its command."""
_WHO_IT_IS = ("RUNPOD_WEBHOOK_", "RUNPOD_ENDPOINT_ID", "RUNPOD_POD_", "RUNPOD_AI_API_KEY")
"""How the variables begin that make a process this worker, which nobody else may set."""
_PLATFORM = (
    "RUNPOD_WEBHOOK_", "RUNPOD_ENDPOINT_", "RUNPOD_POD_", "RUNPOD_AI_API_KEY", "RUNPOD_API_KEY", "RUNPOD_API_BASE_URL",
    "RUNPOD_SERVERLESS_", "RUNPOD_HAPI_URL", "RUNPOD_CONSOLE_URL", "RUNPOD_REALTIME_", "RUNPOD_PING_", "RUNPOD_TASK_",
    "RUNPOD_PROJECT_ID", "RUNPOD_BUILD_ID", "RUNPOD_RESOURCE_", "RUNPOD_RUNTIME_", "RUNPOD_DEV_", "RUNPOD_MOUNTS",
    "RUNPOD_VOLUME_", "RUNPOD_DC_ID", "RUNPOD_PUBLIC_IP", "RUNPOD_TCP_PORT_", "RUNPOD_GPU_COUNT", "RUNPOD_GPU_TYPE",
    "RUNPOD_CPU_COUNT", "RUNPOD_MEM_GB",
)  # fmt: skip
"""How the variables begin by which the platform tells a pod where it is and whom it talks to. The server may run in
one: what it starts would talk to the real service. Settings of the SDK, such as RUNPOD_LOG_LEVEL, are passed on."""
_KEYS_OF_SERVER = tuple(f"runpod_emulator_{name}" for name in ("api_key", "worker_key", "admin_key", "store"))
"""Who has the one for administrators may do anything, and so may who has the password of the store. The options are
read whatever the case of their letters."""
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_HERE = ("127.0.0.1", "localhost", "::1")


def host_name(worker: str) -> str:
    """The host name that a worker of the service sees."""
    return f"{worker}-64410d87"


def inherited() -> dict[str, str]:
    """The server's own environment, as far as what it starts may have it."""
    kept = (name for name in os.environ if not name.startswith(_PLATFORM))
    own = {name: os.environ[name] for name in kept if not name.lower().startswith(_KEYS_OF_SERVER)}
    return own | past_proxies()


def past_proxies(host: str = "127.0.0.1") -> dict[str, str]:
    """What lets clients reach this machine, and `host`, past proxies; nothing where the environment names none."""
    if not any(os.environ.get(name) or os.environ.get(name.lower()) for name in _PROXIES):
        return {}
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = dict.fromkeys(name.strip() for name in direct.split(",") if name.strip())
    if "*" in names:  # nothing goes to a proxy; beside other names it would be none that clients know
        return {}
    names |= dict.fromkeys((*_HERE, host.strip("[]")))
    text = ",".join(names)
    return {"NO_PROXY": text, "no_proxy": text}


def client_urls(base_url: str) -> dict[str, str]:
    """The variables by which clients find jobs at `base_url`, which ends with /v2, and the management API beside it."""
    root = base_url.removesuffix("/v2")
    return {
        "RUNPOD_ENDPOINT_BASE_URL": base_url,
        "RUNPOD_SERVERLESS_API_URL": base_url,
        "RUNPOD_API_BASE_URL": root,
        "RUNPOD_REST_API_URL": f"{root}/v1",
    }


def joined(protocol: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker: the server's own, the protocol's, and above it what the user has given.

    Only what says which worker it is and where it reports stays the protocol's.
    """
    kept = {name: value for name, value in protocol.items() if name.startswith(_WHO_IT_IS)}
    return {**inherited(), **protocol, **given, **kept, "PYTHONUNBUFFERED": "1"}


def server_environment(
    url: str, endpoint: str, worker: str, client_key: str, port: int, health_port: int, health_path: str
) -> dict[str, str]:
    """The variables of a load-balancing worker, which listens on `port` and answers health checks on `health_port`."""
    return {
        "PORT": str(port),
        "PORT_HEALTH": str(health_port),
        "HEALTH_CHECK_PATH": health_path,
        "RUNPOD_POD_ID": worker,
        "RUNPOD_ENDPOINT_ID": endpoint,
        "RUNPOD_POD_HOSTNAME": host_name(worker),
        "RUNPOD_ENDPOINT_BASE_URL": f"{url}/v2",
        "RUNPOD_API_BASE_URL": url,
        "RUNPOD_API_KEY": client_key,
    }


def worker_environment(
    url: str,
    endpoint: str,
    worker: str,
    worker_key: str,
    client_key: str,
    namespace: str = "",
    ping_interval: int = Platform().worker_ping_interval,
) -> dict[str, str]:
    """The variables that make `runpod.serverless.start` a worker of `endpoint` at `url`.

    `url` has no path. The SDK puts ids into these URLs by replacing text, and appends
    parameters blindly: they must have exactly this form. `client_key` is for handlers
    that call endpoints themselves; `namespace` chooses one of the worlds there. `ping_interval` is in ms.
    """
    base = f"{url}/v2/{endpoint}"
    tail = "?gpu=CPU" + (f"&ns={namespace}" if namespace else "")
    return {
        "RUNPOD_WEBHOOK_GET_JOB": f"{base}/job-take/$ID{tail}",
        "RUNPOD_WEBHOOK_POST_OUTPUT": f"{base}/job-done/$RUNPOD_POD_ID/$ID{tail}",
        "RUNPOD_WEBHOOK_POST_STREAM": f"{base}/job-stream/$RUNPOD_POD_ID/$ID{tail}",
        "RUNPOD_WEBHOOK_PING": f"{base}/ping/$RUNPOD_POD_ID{tail}",
        "RUNPOD_AI_API_KEY": worker_key,
        "RUNPOD_POD_ID": worker,
        "RUNPOD_ENDPOINT_ID": named(endpoint),
        "RUNPOD_POD_HOSTNAME": host_name(worker),
        "RUNPOD_PING_INTERVAL": str(ping_interval),
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
        "RUNPOD_ENDPOINT_BASE_URL": f"{url}/v2",
        "RUNPOD_API_BASE_URL": url,
        "RUNPOD_API_KEY": client_key,
    }
