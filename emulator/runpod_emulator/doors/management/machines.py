"""Machines and places as GraphQL writes them: texts with commas, where a deployment has lists."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runpod_emulator.core.graphql_errors import GraphQLInvalid
from runpod_emulator.doors.management.inputs import EndpointInput
from runpod_emulator.world.deployments import Deployment


def machines_of(given: EndpointInput) -> dict[str, Any]:
    """The fields of a deployment that an input speaks of; nothing is checked against a catalogue."""
    found: dict[str, Any] = {}
    if (gpu := _gpu(given)) is not None:
        found["gpu"] = gpu
    if given.instanceIds:
        found |= {"cpu": tuple(map(_cpu, given.instanceIds)), "gpu": None}
    if given.locations is not None:
        found["data_centers"] = _parts(given.locations)
    if given.flashBootType is not None:
        found["flashboot"] = given.flashBootType
    volumes = [one.networkVolumeId for one in given.networkVolumeIds or ()] or [given.networkVolumeId or ""]
    if given.networkVolumeId is not None or given.networkVolumeIds is not None:
        found["network_volumes"] = tuple(filter(None, volumes))
    return found


def _gpu(given: EndpointInput) -> dict[str, Any] | None:
    if given.gpuIds is None:
        return None
    ids = _parts(given.gpuIds)
    return {
        "pools": [one for one in ids if not one.startswith("-")],
        "excludedTypes": [one[1:].strip() for one in ids if one.startswith("-")],
        "count": given.gpuCount or 1,
        "allowedCudaVersions": list(_parts(given.allowedCudaVersions or "")),
        "minCudaVersion": given.minCudaVersion or None,
    }


def _cpu(instance: str) -> dict[str, Any]:
    """The parts of an instance such as `cpu3c-2-4`: its flavor, vCPUs and GB of memory; raises GraphQLInvalid."""
    flavor, _, numbers = instance.partition("-")
    vcpus, _, memory = numbers.partition("-")
    if not (flavor and _is_number(vcpus) and _is_number(memory)):
        raise GraphQLInvalid(f"input.instanceIds: write FLAVOR-VCPUS-MEMORY such as cpu3c-2-4, got {instance[:100]!r}")
    return {"id": flavor, "vcpuCount": int(vcpus), "memory": int(memory)}


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 6


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def machines_shown(deployment: Deployment) -> dict[str, Any]:
    """What a deployment says of machines and places, as GraphQL shows it; None where it says nothing."""
    gpu, volumes = deployment.gpu or {}, deployment.network_volumes
    excluded = [f"-{one}" for one in gpu.get("excludedTypes", ())]
    instances = [f"{one['id']}-{one['vcpuCount']}-{one['memory']}" for one in deployment.cpu]
    return {
        "gpuIds": _text((*gpu.get("pools", ()), *excluded)),
        "gpuCount": gpu.get("count", 1),
        "allowedCudaVersions": _text(gpu.get("allowedCudaVersions", ())),
        "minCudaVersion": gpu.get("minCudaVersion"),
        "computeType": "CPU" if instances else "GPU",
        "instanceIds": instances or None,
        "locations": _text(deployment.data_centers),
        "flashBootType": None if deployment.flashboot == "OFF" else deployment.flashboot,
        "networkVolumeId": volumes[0] if volumes else None,
        "networkVolumeIds": [{"networkVolumeId": one} for one in volumes] or None,
        "networkVolume": {"id": volumes[0]} if volumes else None,
    }


def _text(parts: Iterable[str]) -> str | None:
    return ",".join(parts) or None
