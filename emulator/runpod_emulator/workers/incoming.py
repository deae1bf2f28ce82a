"""What comes from a child through its channel: frames in their order, with the chunks of a stream put together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from runpod_emulator.workers.runner.frames import Decoder, Frame, Kind

READ = 256 * 1024
"""Bytes that are read at once."""

Handle = Callable[[Frame], Awaitable[None]]
Emit = Callable[[str, list[bytes]], Awaitable[None]]
"""Takes the chunks of one job that came in a row."""


async def read_frames(reader: asyncio.StreamReader, handle: Handle, emit: Emit) -> None:
    """Give on all that comes until the channel closes; raises what a spoilt frame, `handle` or `emit` raises."""
    decoder = Decoder()
    while data := await reader.read(READ):
        await _take_in(decoder.feed(data), handle, emit)


async def _take_in(frames: Iterable[Frame], handle: Handle, emit: Emit) -> None:
    """Chunks of one job that come in a row are emitted together. It keeps no frame, for they may be large."""
    chunks: list[bytes] = []
    emitting = ""
    for frame in frames:
        if frame.kind is Kind.CHUNK and frame.job == (emitting or frame.job):
            emitting = frame.job
            chunks.append(frame.body)
            continue
        if chunks:
            await emit(emitting, chunks)
            chunks, emitting = [], ""
        if frame.kind is Kind.CHUNK:
            chunks, emitting = [frame.body], frame.job
        else:
            await handle(frame)
    if chunks:
        await emit(emitting, chunks)
