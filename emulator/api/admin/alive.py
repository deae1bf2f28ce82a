"""The emulator's own door, under `/__emulator`. No key is asked for here."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse

from emulator import __version__

router = APIRouter(tags=["emulator"])


class Alive(BaseModel):
    """The server runs."""

    status: str = "ok"
    version: str = __version__


class Ready(BaseModel):
    """Whether every handler has been imported."""

    ready: bool


@router.get("/health")
async def health() -> Alive:
    """200 as soon as the port is served."""
    return Alive()


@router.get("/ready", response_model=Ready, responses={503: {"model": Ready}})
async def ready(request: Request) -> JSONResponse:
    """200 once every handler has been imported, 503 before."""
    is_ready: bool = request.app.state.ready
    return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)
