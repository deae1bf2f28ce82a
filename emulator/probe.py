"""Asking a running server whether it is ready."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

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


def _ask(url: str, context: ssl.SSLContext | None) -> str:
    try:
        asked = f"{url}/__emulator/ready"
        with urllib.request.urlopen(asked, timeout=_ANSWER, context=context) as answer:  # the user's own  # nosec B310
            return "" if json.load(answer)["ready"] else "handlers are still being imported"
    except urllib.error.HTTPError as error:
        return "handlers are still being imported" if error.code == 503 else f"{url} answered {error.code}{_why(error)}"
    except (OSError, ValueError, KeyError) as error:
        return f"{url} does not answer ({getattr(error, 'reason', error)})"


def _why(error: urllib.error.HTTPError) -> str:
    try:
        return f": {json.load(error)['detail']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
