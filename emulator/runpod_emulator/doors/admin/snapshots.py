"""A world as one JSON document: to keep, to share in a report of a bug, and to bring back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from runpod_emulator.core.errors import InvalidBody
from runpod_emulator.doors.admin.listings import slowly
from runpod_emulator.doors.admin.state import Chosen
from runpod_emulator.doors.snapshots import replace_by
from runpod_emulator.world.covers import Masked
from runpod_emulator.world.saving import taken
from runpod_emulator.world.snapshot_json import NoSnapshot, pieces_of
from runpod_emulator.world.worlds import Worlds

router = APIRouter(tags=["what happened"])

_PIECE = 262_144
"""Bytes that are joined to be sent at once."""
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "description": "what GET /state has answered"}}},
    }
}


class BroughtBack(BaseModel):
    """What has come of a snapshot."""

    jobs: int = Field(description="jobs that are there now")
    lost: int = Field(description="those of them that ran: their workers are lost, and they are tried again, or fail")
    unserved: dict[str, int] = Field(
        description="endpoints that nobody serves here, and how many jobs of each are kept for the next snapshot"
    )


@router.get("/state", responses={200: {"content": {"application/json": {}}}}, response_class=Response)
async def state(world: Chosen) -> Response:
    """The world: jobs, queues, stream chunks, owed webhooks, stubs, faults, histories; without secrets."""
    copied = taken(world)
    snapshot = await asyncio.to_thread(copied.snapshot)
    pieces = pieces_of([snapshot], Masked(world.masks))
    return StreamingResponse(
        _joined(pieces),
        media_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="runpod-emulator-state.json"'},
    )


async def _joined(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    parts, length = list[bytes](), 0
    async for piece in slowly(pieces):
        parts.append(piece)
        length += len(piece)
        if length > _PIECE:
            yield b"".join(parts)
            parts, length = [], 0
    yield b"".join(parts)


async def _whole(request: Request) -> bytes:
    return await request.body()


@router.post("/state", openapi_extra=_BODY)
async def bring_back(request: Request, world: Chosen, body: Annotated[bytes, Depends(_whole)]) -> BroughtBack:
    """Forget everything, as a reset does, and go on from a snapshot: each job is as old as it was then."""
    worlds: Worlds = request.app.state.worlds
    try:
        loaded = await replace_by(world, body, worlds.name_of(world))
    except NoSnapshot as error:
        raise InvalidBody(str(error)) from error
    return BroughtBack(jobs=loaded.jobs, lost=loaded.lost, unserved=loaded.unserved)
