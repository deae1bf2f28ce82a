"""What workers show: the key of all that come over HTTP, and the token of each worker process.

A handler's own children show the token when they report on a job of its worker.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import NamedTuple

_PREFIX = "worker-"


class WorkerKey(NamedTuple):
    """The key that a new worker is to be given; whether it `lasts`, or is made anew with each run of the server."""

    key: str
    lasts: bool


def new_worker_key() -> str:
    """A key that nobody can guess."""
    return "run-" + secrets.token_hex(20)


class WorkerTokens:
    """Makes one token a worker, from a secret of this run, and knows its own again without keeping any."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def token(self, namespace: str, endpoint: str, worker: str) -> str:
        """The token of a worker of an endpoint in one of the worlds."""
        name = f"{namespace}/{endpoint}/{worker}".encode()
        return _PREFIX + hmac.new(self._secret, name, hashlib.sha256).hexdigest()[:40]

    def accepts(self, token: str, namespace: str, endpoint: str, worker: str) -> bool:
        """Whether this is the worker's token."""
        if not token.startswith(_PREFIX):  # most keys are no tokens at all
            return False
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token(namespace, endpoint, worker).encode())
