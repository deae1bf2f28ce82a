"""What the emulator is measured against: one bare route, and a receiver of webhooks.

`python -m tests.bench.peers NAME PORT` serves one in this process, with uvloop and httptools.
"""

from __future__ import annotations

import sys
import time
import uuid
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


async def nothing(request: Request) -> Response:
    """The server is up."""
    return Response()


def starlette_app() -> Starlette:
    """POST /run parses the body and answers an id."""

    async def run(request: Request) -> JSONResponse:
        await request.json()
        return JSONResponse({"id": str(uuid.uuid4()), "status": "IN_QUEUE"})

    return Starlette(routes=[Route("/run", run, methods=["POST"]), Route("/", nothing)])


def fastapi_app() -> FastAPI:
    """The same, as FastAPI users write it."""
    app = FastAPI()

    @app.post("/run")
    async def run(body: dict[str, Any]) -> dict[str, str]:
        return {"id": str(uuid.uuid4()), "status": "IN_QUEUE"}

    app.add_route("/", nothing)
    return app


def receiver_app() -> Starlette:
    """POST /hook is a webhook call; GET /count tells how many there were, and the times of the first and the last."""
    times: list[float] = []

    async def hook(request: Request) -> Response:
        await request.body()
        times.append(time.monotonic())
        return Response()

    async def count(request: Request) -> JSONResponse:
        return JSONResponse({"count": len(times), "first": times[0] if times else 0, "last": times[-1] if times else 0})

    return Starlette(routes=[Route("/hook", hook, methods=["POST"]), Route("/count", count), Route("/", nothing)])


APPS = {"starlette": starlette_app, "fastapi": fastapi_app, "receiver": receiver_app}

if __name__ == "__main__":
    uvicorn.run(
        APPS[sys.argv[1]](), port=int(sys.argv[2]), loop="uvloop", http="httptools", log_level="error", access_log=False
    )
