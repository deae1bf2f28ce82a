"""Small steps that many tests take."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from runpod_emulator.core.errors import JobNotFound
from runpod_emulator.core.jobs.job import Job
from runpod_emulator.core.platform import Platform
from runpod_emulator.core.settings import default_settings
from runpod_emulator.http import wire

from tests import worlds
from tests.stores.counted import CountedStore, rest
from tests.worlds import RecordingLauncher, TestWorld, make_world

Value = TypeVar("Value")


def finish(coroutine: Coroutine[Any, Any, Value]) -> Value:
    """The result of a coroutine that must not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("it suspended")


async def turns(count: int = 10) -> None:
    """Let everything run that is ready; where each call of the store takes some turns, many more."""
    if worlds.STORE is CountedStore:
        await rest()
    for _ in range(20 * count if worlds.STORE else count):
        await asyncio.sleep(0)


async def started(coroutine: Coroutine[Any, Any, Value]) -> asyncio.Task[Value]:
    """A task that has run up to its first wait."""
    task = asyncio.ensure_future(coroutine)
    await turns(1)
    return task


async def answer(task: asyncio.Task[Value]) -> Value:
    """What the task answers; it must have nothing more to wait for."""
    await turns()
    assert task.done(), "it still waits"
    return await task


async def take_now(world: TestWorld, worker: str, most: int = 1, lease: int | None = None) -> list[Job]:
    """What the worker gets at this very moment, also when that is nothing."""
    task = await started(world.take(worker, most, lease))
    if not task.done():
        await world.endpoint.health()
    return await task


def world_with(limit: int | None = None, **changes: Any) -> TestWorld:
    """A world whose endpoint has these settings, and room for `limit` processes."""
    world = make_world(settings=lambda settings: dataclasses.replace(settings, **changes))
    world.endpoint.shared.capacity.limit = limit
    return world


def beside(world: TestWorld, endpoint: str = "other", **changes: Any) -> TestWorld:
    """One endpoint more in the same emulator."""
    launcher = RecordingLauncher()
    settings = default_settings(endpoint, world.emulator.platform, **changes)
    return dataclasses.replace(
        world, endpoint=world.emulator.endpoints.add(settings, launcher.launch), launcher=launcher
    )


async def is_gone(world: TestWorld, job_id: str) -> bool:
    """Whether clients get a 404 for the job."""
    try:
        await world.endpoint.status(job_id)
    except JobNotFound:
        return True
    return False


def envelope(job: Job, at: int, platform: Platform) -> dict[str, Any]:
    """What a client sees of the job."""
    body: dict[str, Any] = json.loads(wire.envelope(job, at, platform))
    return body


async def seen(world: TestWorld, job_id: str) -> dict[str, Any]:
    """What /status says now."""
    job = await world.endpoint.status(job_id)
    return envelope(job, world.emulator.timeline.now(), world.endpoint.platform)


both_profiles = pytest.mark.parametrize("profile", ["observed", "documented"])
