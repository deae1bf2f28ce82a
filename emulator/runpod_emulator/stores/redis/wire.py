"""Batches of commands on a connection of the library, with less ado than its own pipelines need for each command."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

import hiredis
import redis.asyncio as client
from redis import exceptions


class Packed(client.Connection):
    """A connection that packs what it sends in C; given are strings, bytes and numbers."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """A command as it is sent; its name may be several words."""
        name, *rest = args
        try:
            return [hiredis.pack_command((*name.encode().split(), *rest))]
        except UnicodeEncodeError:  # half a surrogate pair
            return super().pack_command(*args)

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        """Several as they are sent together."""
        return [b"".join(self.pack_command(*command)[0] for command in commands)]


async def ask(library: client.Redis, commands: Sequence[Sequence[Any]], timeout: float) -> list[Any]:
    """The answers, errors of single commands among them; raises what the library does if the connection breaks.

    All together may take `timeout` seconds each time that they are tried. The client is one of a single connection,
    and nobody else uses it meanwhile.
    """
    if library.connection is None:
        await library.initialize()
    connection = library.connection
    assert connection is not None

    async def once() -> list[Any]:
        try:
            return await asyncio.wait_for(_asked(library, connection, commands), timeout)
        except asyncio.TimeoutError:
            raise exceptions.TimeoutError("no answer in time") from None

    async def failed(error: Exception) -> None:
        await connection.disconnect()

    answers: list[Any] = await connection.retry.call_with_retry(once, failed)
    return answers


async def _asked(library: client.Redis, connection: client.Connection, commands: Sequence[Sequence[Any]]) -> list[Any]:
    await connection.send_packed_command(connection.pack_commands(commands))
    callbacks = library.response_callbacks
    answers: list[Any] = []
    for command in commands:
        try:
            answer = await connection.read_response()
        except exceptions.ResponseError as error:
            answers.append(error)
            continue
        callback = callbacks.get(command[0])
        answers.append(answer if callback is None else callback(answer))
    return answers
