"""The key of workers, for `worker-env`: the one answer of the admin API that shows a secret."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.requests import Request

from runpod_emulator.core.secrets.tokens import WorkerKey

router = APIRouter(tags=["workers"])


class KeyOfWorkers(BaseModel):
    """What a worker that is started elsewhere shows."""

    key: str
    lasts: bool = Field(description="false for a key that the server has made itself, for this run")


@router.get("/worker-key")
async def worker_key(request: Request) -> KeyOfWorkers:
    """A key that the server accepts of workers; who may start workers by this API may know it."""
    known: WorkerKey = request.app.state.worker_key
    return KeyOfWorkers(key=known.key, lasts=known.lasts)
