"""Asking a running server whether it is ready."""

from __future__ import annotations

import ipaddress
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from emulator.core.clock import RealClock, pause
from emulator.core.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

_BETWEEN = 0.1
_ANSWER = 2.0


def until_ready(url: str, timeout: float, ca_file: str | None = None) -> str:
    """Wait up to `timeout` seconds; answers "" once ready, else what the last try met.

    Over HTTPS `ca_file` is trusted, or the local CA, beside what the system trusts.
    """
    context = _trusting(ca_file) if url.startswith("https:") else None
    clock = RealClock()
    until = clock.now() + timeout * 1000
    while True:
        problem = _ask(url.rstrip("/").removesuffix("/v2"), context)
        if not problem or clock.now() >= until:
            return problem
        pause(_BETWEEN)


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    import ssl

    from emulator.tls import default_folder

    context = ssl.create_default_context()
    path = Path(ca_file) if ca_file else default_folder() / "ca.pem"
    if ca_file or path.exists():
        try:
            context.load_verify_locations(path)
        except OSError as error:
            raise ConfigurationError(f"--ca-file {path}: {error.strerror or error}") from error
    return context


def _opener(url: str, context: ssl.SSLContext | None) -> urllib.request.OpenerDirector:
    """What asks a server; on this machine it is never behind a proxy, whatever the environment says."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
    if _is_this_machine(urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _ask(url: str, context: ssl.SSLContext | None) -> str:
    try:
        asked = f"{url}/__emulator/ready"
        with _opener(url, context).open(asked, timeout=_ANSWER) as answer:
            return "" if json.load(answer)["ready"] else "handlers are still being imported"
    except urllib.error.HTTPError as error:
        return "handlers are still being imported" if error.code == 503 else f"{url} answered {error.code}"
    except (OSError, ValueError, KeyError) as error:
        return f"{url} does not answer ({getattr(error, 'reason', error)})"
