"""Asking a running server whether it is ready, and for the key of its workers."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.secrets.tokens import WorkerKey
from runpod_emulator.core.time.clock import RealClock, pause
from runpod_emulator.http.names import is_local

if TYPE_CHECKING:
    import ssl

_BETWEEN = 0.1
_ANSWER = 2.0
_LONG_ANSWER = 10.0
"""Seconds; the first answer of an admin API takes its time."""


def until_ready(url: str, timeout: float, ca_file: str | None = None) -> str:
    """Wait up to `timeout` seconds; returns "" once ready, else what the last try met.

    Over HTTPS `ca_file` is trusted, or the local CA, beside what the system trusts.
    """
    context = trusting(ca_file) if url.startswith("https:") else None
    clock = RealClock()
    until = clock.now() + timeout * 1000
    while True:
        problem = _ask(url.rstrip("/").removesuffix("/v2"), context)
        if not problem or clock.now() >= until:
            return problem
        pause(_BETWEEN)


class KeyUnknown(Exception):
    """The server did not say it; the text is why."""


def key_of_workers(url: str, admin_key: str | None = None) -> WorkerKey:
    """What the server at `url`, which has no path, asks workers for; raises KeyUnknown.

    From where workers reach it this machine may look like a stranger, so it is asked on loopback too.
    """
    context = trusting(None) if url.startswith("https:") else None
    try:
        return _worker_key(url, context, admin_key)
    except urllib.error.HTTPError as error:
        port = urlsplit(url).port
        if error.code == 403 and port is not None and context is None:
            with contextlib.suppress(OSError, ValueError, KeyError):
                return _worker_key(f"http://127.0.0.1:{port}", None, admin_key)
        problem = "tells it only with an --admin-key" if error.code in (401, 403) else f"answered {error.code}"
        raise KeyUnknown(f"{url} {problem}") from error
    except (OSError, ValueError, KeyError) as error:
        raise KeyUnknown(f"{url} does not answer ({getattr(error, 'reason', error)})") from error


def _worker_key(url: str, context: ssl.SSLContext | None, admin_key: str | None) -> WorkerKey:
    headers = {"Authorization": f"Bearer {admin_key}"} if admin_key else {}
    asked = urllib.request.Request(f"{url}/__emulator/worker-key", headers=headers)
    with opener(url, context).open(asked, timeout=_LONG_ANSWER) as answer:
        answered = json.load(answer)
        return WorkerKey(answered["key"], answered["lasts"])


def trusting(ca_file: str | None) -> ssl.SSLContext:
    """What an HTTPS server must show: a certificate of the system's, of the local CA, or of `ca_file`."""
    import ssl

    from runpod_emulator.server.tls import default_folder

    context = ssl.create_default_context()
    path = Path(ca_file) if ca_file else default_folder() / "ca.pem"
    if ca_file or path.exists():
        try:
            context.load_verify_locations(path)
        except OSError as error:
            raise ConfigurationError(f"--ca-file {path}: {error.strerror or error}") from error
    return context


def opener(
    url: str, context: ssl.SSLContext | None, *more: urllib.request.BaseHandler
) -> urllib.request.OpenerDirector:
    """What asks a server; on this machine it is never behind a proxy, whatever the environment says."""
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context), *more]
    if is_local("/".join(url.split("/")[:3])):
        handlers.append(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener(*handlers)


def _ask(url: str, context: ssl.SSLContext | None) -> str:
    try:
        asked = f"{url}/__emulator/ready"
        with opener(url, context).open(asked, timeout=_ANSWER) as answer:
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
