"""Which endpoints of a world can't start a worker as their code is now. Only code that is watched is looked at."""

from __future__ import annotations

from collections.abc import Mapping

from runpod_emulator.core.endpoint.balancer import Balancer
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.reasons import gist
from runpod_emulator.workers.reload import Reloader


class Flaws:
    """What is wrong with the code of a world's endpoints."""

    def __init__(self, endpoints: Mapping[str, Endpoint | Balancer], reloader: Reloader) -> None:
        self._endpoints = endpoints
        self._reloader = reloader

    @property
    def broken(self) -> dict[str, str]:
        """Why code that is watched can't be started as it is now, in a line, by endpoint."""
        return {
            endpoint.id: gist(endpoint.workforce.flaw)
            for endpoint in self._endpoints.values()
            if endpoint.workforce.flaw and self._reloader.watches(endpoint.id)
        }

    def hopeless(self, endpoint_id: str) -> str:
        """Why no worker can take a job of the endpoint before its code changes; empty if one may."""
        endpoint = self._endpoints.get(endpoint_id)
        if endpoint is None or endpoint.workforce.has_good_worker or not self._reloader.watches(endpoint_id):
            return ""
        return gist(endpoint.workforce.flaw)
