"""The variables by which clients go through the proxy."""

from __future__ import annotations

import os

from runpod_emulator.server.tls import SERVICE

_HERE = ("127.0.0.1", "localhost", "::1")
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY")
NODE = "NODE_USE_ENV_PROXY"
"""Lets fetch of Node.js, from 22.21 and 24 on, go by the other variables."""


def proxied(url: str, host: str) -> dict[str, str]:
    """The variables for a proxy at `url`; this machine, and the server's `host`, are reached past it.

    Whom the environment reaches past proxies is still reached so, but for what has a host of the service in it.
    curl reads the names in small letters, Java's and .NET's libraries differ: both are there.
    """
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    kept = (name.strip() for name in given.split(",") if not _has_service(name.strip().lower()))
    direct = ",".join(dict.fromkeys(name for name in (*kept, *_HERE, host.strip("[]")) if name))
    names = {name: url for upper in _PROXIES for name in (upper, upper.lower())}
    return {**names, "NO_PROXY": direct, "no_proxy": direct, NODE: "1"}


def _has_service(name: str) -> bool:
    """Whether an entry of NO_PROXY, such as `.runpod.ai` or `*`, stands for a host of the service too."""
    bare = name.partition(":")[0].lstrip("*.")
    if not bare:
        return "*" in name
    hosts = (host.removeprefix("*.") for host in SERVICE)
    return any(host == bare or host.endswith(f".{bare}") or bare.endswith(f".{host}") for host in hosts)
