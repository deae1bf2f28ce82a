"""Asking a running server whether it is ready."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from emulator.core.clock import RealClock, pause

_BETWEEN = 0.1
_ANSWER = 2.0


def until_ready(url: str, timeout: float) -> str:
    """Wait up to `timeout` seconds; answers "" once ready, else what the last try met."""
    clock = RealClock()
    until = clock.now() + timeout * 1000
    while True:
        problem = _ask(url.rstrip("/").removesuffix("/v2"))
        if not problem or clock.now() >= until:
            return problem
        pause(_BETWEEN)


def _ask(url: str) -> str:
    try:
        with urllib.request.urlopen(f"{url}/__emulator/ready", timeout=_ANSWER) as answer:
            return "" if json.load(answer)["ready"] else "handlers are still being imported"
    except urllib.error.HTTPError as error:
        return "handlers are still being imported" if error.code == 503 else f"{url} answered {error.code}"
    except (OSError, ValueError, KeyError) as error:
        return f"{url} does not answer ({getattr(error, 'reason', error)})"
