"""Whether a server can be a store: asked once, as the emulator starts."""

from __future__ import annotations

import logging
from typing import Any

from redis import exceptions

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.store_errors import Unavailable
from runpod_emulator.stores.records import FORMAT
from runpod_emulator.stores.redis.address import check_files
from runpod_emulator.stores.redis.connection import Connection
from runpod_emulator.stores.redis.transitions import KEPT

log = logging.getLogger("runpod_emulator")

OLDEST = 7
"""The first version of Redis that will do; every Valkey will."""


async def check_server(connection: Connection) -> None:
    """Log what may surprise; raises ConfigurationError for a server that does not answer, or won't do."""
    shown, prefix = connection.address.shown, connection.address.prefix
    check_files(connection.address)
    try:
        await connection.do("PING")
        await _check_version(connection)
        await connection.do("SET", f"{prefix}:format", FORMAT, "NX", "PX", KEPT)
        found = await connection.do("GET", f"{prefix}:format")
    except Unavailable:
        why = connection.why_away
        raise ConfigurationError(
            f"--store: {shown} does not answer: is the server up, and the password right? It said: {why}"
        ) from None
    except exceptions.RedisError as error:
        raise ConfigurationError(f"--store: {shown} refuses: {error}") from None
    if found != str(FORMAT).encode():
        raise ConfigurationError(
            f"--store: {shown} has keys of format {found.decode(errors='replace')} under {prefix}, this version of the "
            f"emulator writes format {FORMAT}: use the version that wrote them, or another ?prefix="
        )
    await _warn(connection)


async def _check_version(connection: Connection) -> None:
    told = await connection.do("INFO", "server")
    info = told if isinstance(told, dict) else {}
    version = str(info.get("redis_version", ""))
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST:
        raise ConfigurationError(f"--store: the server is Redis {version}: {OLDEST} or newer, or Valkey, is needed")


async def _warn(connection: Connection) -> None:
    """Some servers show none of their settings: then there is nothing to warn of."""
    shown = connection.address.shown
    policy = await _setting(connection, "maxmemory-policy")
    limit = await _setting(connection, "maxmemory")
    if policy not in ("", "noeviction") and limit not in ("", "0"):
        log.warning(
            "%s may throw away jobs when it is full: set maxmemory-policy to noeviction (now %s)", shown, policy
        )
    if await _setting(connection, "appendonly") == "no" and await _setting(connection, "save") == "":
        log.warning("%s keeps nothing over a restart of its own: set appendonly to yes if jobs must survive it", shown)


async def _setting(connection: Connection, name: str) -> str:
    try:
        found: Any = await connection.do("CONFIG GET", name)
    except exceptions.RedisError:
        return ""
    pairs = found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))
    value = next(iter(pairs.values()), b"")
    return value.decode() if isinstance(value, bytes) else str(value)
