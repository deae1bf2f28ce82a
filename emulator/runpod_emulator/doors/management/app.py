"""The management API as an application of its own. Built when it is first called: FastAPI takes long to load."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from runpod_emulator import __version__
from runpod_emulator.core.errors import EmulatorError
from runpod_emulator.doors.admin.bodies import JsonBodies
from runpod_emulator.doors.management import answers, problems, serverless
from runpod_emulator.doors.management.guard import Guard, Quotas

_ABOUT = "The serverless part of RunPod's REST v2, as this server answers it for its own endpoints."
_REFUSALS = {
    400: "The request contradicts itself, or is no JSON.",
    401: "No key, or a wrong one.",
    403: "The key is not a client's.",
    404: "There is no such endpoint, or no such worker.",
    422: "Fields that cannot be.",
    429: "The quota is spent.",
}


def management_app(state: Any) -> FastAPI:
    """The application; `state` is that of the whole server."""
    app = FastAPI(
        title="runpod-emulator management", version=__version__, description=_ABOUT, responses=_refusals(),
        openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False,
    )  # fmt: skip
    app.state = state
    app.include_router(serverless.router)
    app.add_exception_handler(EmulatorError, problems.known)
    app.add_exception_handler(RequestValidationError, problems.invalid)
    app.add_exception_handler(HTTPException, problems.of_framework)
    app.add_middleware(JsonBodies, answer=lambda error: problems.problem(state.worlds.first, error))
    app.add_middleware(Guard, quotas=Quotas())
    return app


def _refusals() -> dict[int | str, dict[str, Any]]:
    content = {problems.TYPE: {"schema": answers.Problem.model_json_schema()}}
    return {status: {"description": text, "content": content} for status, text in _REFUSALS.items()}
