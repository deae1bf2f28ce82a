"""Whether the server is up: `/__emulator/health` and `/__emulator/ready`. No key is asked for here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import JSONResponse

from runpod_emulator import __version__
from runpod_emulator.http.routing import ExactRoute
from runpod_emulator.world.world import World

if TYPE_CHECKING:
    from fastapi import FastAPI


async def health(request: Request) -> JSONResponse:
    """200 as soon as the port is served."""
    return JSONResponse({"status": "ok", "version": __version__})


async def ready(request: Request) -> JSONResponse:
    """200 once every handler has been imported, 503 before. With --reload, `broken` names those that can't be."""
    is_ready: bool = request.app.state.ready
    world: World = request.app.state.worlds.first
    broken = (
        {name: world.masks.text(reason) for name, reason in world.endpoints.flaws.broken.items()} if is_ready else {}
    )
    answer = {"ready": is_ready} | ({"broken": broken} if broken else {})
    return JSONResponse(answer, 200 if is_ready else 503)


routes = [ExactRoute("/__emulator/health", health, ["GET"]), ExactRoute("/__emulator/ready", ready, ["GET"])]


def describe(app: FastAPI, prefix: str = "") -> None:
    """Put both on an API page."""
    from runpod_emulator.doors.models import Alive, Ready

    responses: dict[int | str, dict[str, type]] = {503: {"model": Ready}}
    app.add_api_route(f"{prefix}/health", health, tags=["emulator"], response_model=Alive)
    app.add_api_route(f"{prefix}/ready", ready, tags=["emulator"], response_model=Ready, responses=responses)
