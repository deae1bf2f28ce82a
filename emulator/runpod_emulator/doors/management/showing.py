"""Endpoints, workers and releases as the management API shows them: what is true of them at this moment."""

from __future__ import annotations

import datetime
from typing import Any

from runpod_emulator.core.endpoint.balancer import Balancer
from runpod_emulator.core.endpoint.endpoint import Endpoint
from runpod_emulator.core.fleet.worker import Worker, WorkerState
from runpod_emulator.core.platform import SECOND
from runpod_emulator.world.deployments import Deployment, Release
from runpod_emulator.world.world import World

_NAMES = {
    "image": "template.imageName", "args": "template.dockerArgs", "env": "template.env", "ports": "template.ports",
    "disk": "template.containerDiskInGb", "registry": "template.containerRegistryAuthId", "gpu": "gpu", "cpu": "cpu",
    "template_id": "templateId", "data_centers": "locations", "network_volumes": "networkVolumeIds",
}  # fmt: skip
"""What fields are called in the differences of a release: two are in the specification, the others by their pattern."""
_VERBS = {
    "run": "run", "runSync": "runsync", "status": "status/{job_id}", "stream": "stream/{job_id}",
    "cancel": "cancel/{job_id}", "retry": "retry/{job_id}", "purgeQueue": "purge-queue", "health": "health",
}  # fmt: skip


def stamp(at: int, finer: int = 0) -> str:
    """A time in ms since the epoch as RFC 3339; `finer` are millionths of a ms, which tell lines of one ms apart."""
    seconds, rest = divmod(at, SECOND)
    whole = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{rest:03d}{f'{finer:06d}' if finer else ''}Z"


class Shown:
    """One endpoint of a world, as clients that reached the server as `origin` see it."""

    def __init__(self, world: World, endpoint_id: str, origin: str) -> None:
        """Raises EndpointNotFound."""
        self._world = world
        self._endpoint: Endpoint | Balancer = world.endpoints.any(endpoint_id)
        self._deployment: Deployment = world.endpoints.deployments.of(endpoint_id)
        self._origin = origin
        self._id = endpoint_id
        self._drift = world.timeline.drift()

    def endpoint(self) -> dict[str, Any]:
        """The endpoint as it is now."""
        one, settings = self._deployment, self._endpoint.settings
        return {
            "id": self._id,
            "name": one.name,
            "type": one.type,
            "requestUrls": self._urls(),
            **({"image": one.image} if one.image else {}),
            "args": one.args,
            "disk": one.disk,
            "ports": list(one.ports),
            "env": self._env(),
            "registry": one.registry,
            **self._compute(),
            "workers": self._workers_wanted(),
            "scaling": self._scaling(),
            "dataCenterIds": list(one.data_centers),
            "networkVolumes": list(one.network_volumes),
            "timeout": settings.execution_timeout,
            "flashboot": one.flashboot,
            "createdAt": stamp(one.created_at + self._drift),
        }

    def _env(self) -> dict[str, str]:
        """The variables; those of the configuration without secrets, for any key opens this API where none is set."""
        env = dict(self._deployment.env)
        shown: dict[str, str] = self._world.masks.value(env) if self._deployment.is_ours else env
        return shown

    def _urls(self) -> dict[str, str]:
        if self._deployment.type == "LOAD_BALANCER":
            base = f"{self._origin}/lb/{self._id}"
            path = self._deployment.env.get("HEALTH_CHECK_PATH") or "/ping"
            return {"base": base, "health": base + (path if path.startswith("/") else f"/{path}")}
        return {name: f"{self._origin}/v2/{self._id}/{verb}" for name, verb in _VERBS.items()}

    def _compute(self) -> dict[str, Any]:
        if self._deployment.cpu:
            return {"cpu": [dict(one) for one in self._deployment.cpu]}
        return {"gpu": self._deployment.gpu}

    def _workers_wanted(self) -> dict[str, int]:
        settings = self._endpoint.settings
        wanted = {"min": settings.workers_min, "max": settings.workers_max}
        if self._deployment.type == "LOAD_BALANCER" or settings.scaler == "QUEUE_DELAY":
            wanted["idleTimeout"] = min(3_600, max(1, settings.idle_timeout // SECOND))
        return wanted

    def _scaling(self) -> dict[str, Any]:
        settings = self._endpoint.settings
        if settings.scaler == "QUEUE_DELAY":
            return {"type": "QUEUE_DELAY", "queueDelay": max(0.5, settings.scaler_delay / SECOND)}
        return {"type": "REQUEST_COUNT", "requestCount": settings.scaler_requests}

    def workers(self) -> dict[str, Any]:
        """The workers there are, and how many in each state."""
        crew = self._endpoint.workforce.crew
        shown = [self._worker(worker) for worker in self._endpoint.fleet.workers.values()]
        shown += [] if crew is None else [self._elsewhere(one.id, one.state) for one in crew.elsewhere.workers()]
        tally = {state.value: sum(one["status"] == state.name for one in shown) for state in WorkerState}
        return {
            "workers": shown,
            "summary": {**tally, "total": len(shown)},
            "endpointVersion": self._deployment.version,
        }

    def _worker(self, worker: Worker) -> dict[str, Any]:
        arrival = self._endpoint.fleet.arrivals.of(worker.id)
        started = None if arrival is None else arrival.program_at
        now = self._world.timeline.now()
        return {
            **self._elsewhere(worker.id, worker.state),
            "isStale": self._is_stale(worker),
            "version": self._version(worker),
            "uptimeSeconds": None if started is None else max(0, now - started) // SECOND,
            "startedAt": None if started is None else stamp(started + self._drift),
        }

    def _elsewhere(self, worker_id: str, state: WorkerState) -> dict[str, Any]:
        """What is known of a worker of another server over the store, too."""
        return {
            "id": self._world.masks.text(worker_id),
            "status": state.name,
            "isStale": False,
            "version": None,
            "gpuCount": (self._deployment.gpu or {}).get("count", 0),
            "image": self._deployment.image or None,
            "uptimeSeconds": None,
            "gpuTypeId": None,
            "dataCenterId": None,
            "startedAt": None,
        }

    def _version(self, worker: Worker) -> int | None:
        """The release that a worker of ours runs."""
        return self._deployment.version_of(worker.version) if worker.ours else None

    def _is_stale(self, worker: Worker) -> bool:
        return worker.ours and self._version(worker) != self._deployment.version

    def releases(self) -> dict[str, Any]:
        """The releases, newest first, and how many workers run the last one."""
        workers = list(self._endpoint.fleet.workers.values())
        latest = sum(not self._is_stale(worker) for worker in workers)
        return {
            "endpointVersion": self._deployment.version,
            "rollout": {
                "inProgress": latest < len(workers),
                "workersOnLatest": latest,
                "workersTotal": len(workers),
                "percentOnLatest": round(100 * latest / len(workers)) if workers else 0,
            },
            "releases": [self._release(one, workers) for one in reversed(self._deployment.releases)],
        }

    def _release(self, release: Release, workers: list[Worker]) -> dict[str, Any]:
        return {
            "id": f"rel_{self._id}_{release.version}",
            "version": release.version,
            "source": "MANUAL",
            "buildId": None,
            "createdByUserId": None,
            "workerCount": sum(self._version(worker) == release.version for worker in workers),
            "createdAt": stamp(release.at + self._drift),
            "diff": [
                {"field": _NAMES[one.field], "old": self._value(one.old), "new": self._value(one.new)}
                for one in release.changes
            ],
        }

    def _value(self, value: Any) -> Any:
        value = list(value) if isinstance(value, tuple) else value
        return self._world.masks.value(dict(value)) if isinstance(value, dict) else value
