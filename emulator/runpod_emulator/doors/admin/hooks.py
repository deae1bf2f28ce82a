"""What the built-in receiver of webhooks has taken, and answers; `doors/receiver.py` takes the calls."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from runpod_emulator.core.records.receiver import Received
from runpod_emulator.doors.admin import listings, shapes
from runpod_emulator.doors.admin.calls import Answers, Expected
from runpod_emulator.doors.admin.state import Chosen, Limit, Offset
from runpod_emulator.doors.admin.verified import Verified

router = APIRouter(prefix="/hooks", tags=["webhooks"])


class ReceivedCall(BaseModel):
    """One call that was received."""

    at: int
    name: str
    headers: dict[str, str]
    body: Any
    status: int = Field(description="what it was answered, 0 where the connection was dropped")


@router.get("", response_model=list[ReceivedCall])
async def received(
    world: Chosen, name: str | None = None, limit: Limit = listings.MOST, offset: Offset = 0
) -> Response:
    """The calls that came to `POST /__emulator/hooks/<namespace>/<name>`, oldest first; `-` is no namespace."""
    drift = world.timeline.drift()
    found = [one for one in world.receiver if name in (None, one.name)]

    def shape(one: Received) -> dict[str, Any]:
        headers = world.masks.headers(one.headers.items())
        head = {"at": one.at + drift, "name": world.masks.text(one.name), "headers": headers}
        return {**head, "body": shapes.shown(one.body, world.masks), "status": one.status}

    return await listings.plain_list(found[offset : offset + limit], shape)


@router.delete("", status_code=204)
async def clear(world: Chosen) -> None:
    """Forget the calls that came, and what was to be answered."""
    world.receiver.clear()


@router.post("/answers", status_code=204)
async def answer(world: Chosen, given: Answers) -> None:
    """Answer the next calls so; all others with 200."""
    given.tell(world, given.times)


@router.post("/verify")
async def verify(world: Chosen, given: Expected) -> Verified:
    """Compare the calls that came with what was expected."""
    return await given.verified(world)
