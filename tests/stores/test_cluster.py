"""Two emulators over a Redis Cluster of three servers share jobs, whichever server has the keys of an endpoint."""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from runpod_emulator.core.jobs.job import submit
from runpod_emulator.core.jobs.store import Counts
from runpod_emulator.core.store_errors import StoreAway
from runpod_emulator.stores.redis.address import Address, read_address
from runpod_emulator.stores.redis.store import RedisStore
from runpod_emulator.testing import Emulator

from tests.core.jobs.test_job import QUEUED
from tests.plain import PLAIN
from tests.stores.clusters import NODES, StoreCluster, shared_cluster
from tests.waits import until, until_seen

ECHO = Path(__file__).parents[2] / "handlers" / "echo.py"
HELD = """
import pathlib, time, runpod

def handler(job):
    if not job["input"].get("held"):
        return "done"
    pathlib.Path(job["input"]["begun"]).touch()
    while True:
        time.sleep(0.01)

runpod.serverless.start({"handler": handler})
"""
LIMIT = 30.0
"""Seconds until what a test waits for must be so."""


@pytest.fixture(scope="module")
def cluster() -> StoreCluster:
    return shared_cluster()


@pytest.fixture(scope="module")
def address(cluster: StoreCluster) -> Address:
    return read_address(f"{cluster.url}&prefix={secrets.token_hex(4)}")


@pytest.fixture(scope="module")
def names(cluster: StoreCluster, address: Address) -> list[str]:
    """Three endpoints, of which each server of the cluster has one."""
    found: dict[int, str] = {}
    for number in itertools.count():
        name = f"echo-{number}"
        found.setdefault(cluster.owner(address.base("", name)), name)
        if len(found) == NODES:
            return sorted(found.values())
    raise AssertionError


@pytest.fixture(scope="module")
def pair(
    cluster: StoreCluster, address: Address, names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Emulator, Emulator]]:
    """An emulator with workers, and one without."""
    held = tmp_path_factory.mktemp("handlers") / "held.py"
    held.write_text(HELD)
    store = f"{cluster.url}&prefix={address.prefix}"
    served = [f"{name}={ECHO}" for name in names]
    options: dict[str, Any] = {"store": store, "no_auth": True, "no_rate_limits": True}
    with (
        Emulator(endpoint=[*served, f"held={held}"], workers_min=1, workers_max=1, **options) as working,
        Emulator(endpoint=[*names, "held"], **options) as other,
    ):
        yield working, other


def ask(emulator: Emulator, method: str, path: str, body: Any = None) -> Any:
    answer = httpx.request(method, emulator.base_url + path, json=body, headers=emulator.headers, timeout=60, **PLAIN)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_jobs_of_every_server_of_a_cluster_are_shared(
    cluster: StoreCluster, address: Address, names: list[str], pair: tuple[Emulator, Emulator]
):
    working, other = pair
    for name in names:
        answer = ask(other, "POST", f"/{name}/runsync", {"input": {"message": name}})
        assert answer["status"] == "COMPLETED"
        assert ask(working, "GET", f"/{name}/status/{answer['id']}")["output"] == answer["output"]
        assert ask(other, "GET", f"/{name}/health")["jobs"]["completed"] == 1
    assert all(cluster.keys(f"{address.prefix}:*counts"))


def test_a_cancel_at_one_emulator_stops_the_job_at_a_worker_of_another_in_a_cluster(
    pair: tuple[Emulator, Emulator], tmp_path: Path
):
    working, other = pair
    begun = tmp_path / "begun"
    job = ask(other, "POST", "/held/run", {"input": {"held": True, "begun": str(begun)}})["id"]
    until_seen(begun.exists, LIMIT, "no worker has begun the job")
    assert ask(other, "GET", f"/held/status/{job}")["status"] == "IN_PROGRESS"
    assert ask(other, "POST", f"/held/cancel/{job}")["status"] == "CANCELLED"
    assert ask(other, "POST", "/held/runsync", {"input": {"x": 1}})["output"] == "done"
    assert ask(working, "GET", f"/held/status/{job}")["status"] == "CANCELLED"


async def test_a_server_of_a_cluster_that_was_away_is_found_again_by_writers_and_readers():
    cluster = StoreCluster("--appendonly", "yes", "--appendfsync", "always")
    address = cluster.address()
    writes, hears = RedisStore(address), RedisStore(address)
    heard: list[str] = []
    hears.news.transitions.append(lambda transition: heard.append(transition.job.id))
    hears.news.follow("ep")
    node = cluster.nodes[cluster.owner(address.base("", "ep"))]
    try:
        await hears.counts("ep")
        assert (await created(writes, "a")).queued == 1
        node.stop(hard=True)
        with pytest.raises(StoreAway):
            await writes.counts("ep")
        node.start()
        assert (await created(writes, "b")).queued == 2
        await until(lambda: heard == ["a", "b"], LIMIT)
    finally:
        await writes.close()
        await hears.close()
        cluster.close()


async def created(store: RedisStore, job: str) -> Counts:
    """The counts behind a job more, whenever the store is there."""
    end = time.monotonic() + LIMIT
    while True:
        try:
            place = await store.next_place()
            return await store.create(submit(QUEUED._replace(id=job, place=place)))
        except StoreAway:
            assert time.monotonic() < end, "the server is not found again"
            await asyncio.sleep(0.05)
