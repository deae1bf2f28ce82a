"""Frames from a child are handled in order, and chunks of one job that come in a row are emitted together."""

from __future__ import annotations

import asyncio

from runpod_emulator.workers.incoming import read_frames
from runpod_emulator.workers.runner.frames import Frame, Kind, pieces


async def test_chunks_in_a_row_are_one_report_and_everything_keeps_its_order() -> None:
    seen: list[object] = []

    async def handle(frame: Frame) -> None:
        seen.append((frame.kind, frame.job))

    async def emit(job: str, chunks: list[bytes]) -> None:
        seen.append((job, [bytes(chunk) for chunk in chunks]))

    reader = asyncio.StreamReader()
    for kind, job, body in (
        (Kind.CHUNK, "a", b"1"),
        (Kind.CHUNK, "a", b"2"),
        (Kind.CHUNK, "b", b"3"),
        (Kind.PROGRESS, "b", b"4"),
        (Kind.CHUNK, "b", b"5"),
        (Kind.DONE, "b", b"6"),
    ):
        for piece in pieces(kind, job, body):
            reader.feed_data(bytes(piece))
    reader.feed_eof()
    await read_frames(reader, handle, emit)
    assert seen == [
        ("a", [b"1", b"2"]), ("b", [b"3"]), (Kind.PROGRESS, "b"), ("b", [b"5"]), (Kind.DONE, "b"),
    ]  # fmt: skip
