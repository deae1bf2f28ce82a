"""A Redis Cluster of three servers for tests, which share the slots among them and have no replicas."""

from __future__ import annotations

import atexit
import functools
import secrets
from typing import Any

import redis
from runpod_emulator.stores.redis.address import Address, read_address

from tests.stores.servers import StoreServer, free_port
from tests.waits import until_seen

NODES = 3
SLOTS = 16_384
LIMIT = 30.0
"""Seconds that the servers may take until they agree."""


class StoreCluster:
    """Three servers, up and agreed, with these options."""

    def __init__(self, *options: str) -> None:
        buses = [free_port() for _ in range(NODES)]
        clustered = "--cluster-enabled", "yes", "--cluster-node-timeout", "5000", *options
        self.nodes = [StoreServer(*clustered, "--cluster-port", str(bus)) for bus in buses]
        self._clients: list[Any] = [redis.Redis(port=node.port, protocol=2) for node in self.nodes]
        for number, client in enumerate(self._clients):
            last = SLOTS * (number + 1) // NODES - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", SLOTS * number // NODES, last)
        for node, bus in zip(self.nodes[1:], buses[1:], strict=True):
            self._clients[0].execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
        until_seen(self._is_agreed, LIMIT, "the servers of the cluster do not agree")

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.nodes[0].port}/0?cluster=1"

    def address(self) -> Address:
        """Of a world that nobody else knows."""
        return read_address(f"{self.url}&prefix={secrets.token_hex(4)}")

    def owner(self, key: str) -> int:
        """Which of the servers has this key."""
        slot = self._clients[0].execute_command("CLUSTER", "KEYSLOT", key)
        return int(slot) * NODES // SLOTS

    def keys(self, pattern: str) -> list[list[str]]:
        """The keys of each server."""
        return [sorted(key.decode() for key in client.scan_iter(pattern)) for client in self._clients]

    def close(self) -> None:
        for client in self._clients:
            client.close()
        for node in self.nodes:
            node.close()

    def _is_agreed(self) -> bool:
        """Whether each server knows of all slots, and of the servers that have them."""
        for client in self._clients:
            told = client.execute_command("CLUSTER", "INFO")
            info = told if isinstance(told, dict) else dict(line.split(":") for line in told.decode().split())
            if info["cluster_state"] != "ok" or int(info["cluster_size"]) != NODES:
                return False
        return True


@functools.cache
def shared_cluster() -> StoreCluster:
    """One for all tests of this process, each of which has a prefix of its own."""
    cluster = StoreCluster()
    atexit.register(cluster.close)
    return cluster
