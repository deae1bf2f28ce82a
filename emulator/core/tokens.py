"""Tokens of workers: what a handler's own children show when they report on a job of its worker."""

from __future__ import annotations

import hashlib
import hmac
import secrets


class WorkerTokens:
    """Makes one token a worker, from a secret of this run, and knows its own again without keeping any."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def token(self, namespace: str, endpoint: str, worker: str) -> str:
        """The token of a worker of an endpoint in one of the worlds."""
        name = f"{namespace}/{endpoint}/{worker}".encode()
        return "worker-" + hmac.new(self._secret, name, hashlib.sha256).hexdigest()[:40]

    def accepts(self, token: str, namespace: str, endpoint: str, worker: str) -> bool:
        """Whether this is the worker's token."""
        return hmac.compare_digest(token.encode(), self.token(namespace, endpoint, worker).encode())
