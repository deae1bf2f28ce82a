"""Serves one resource of an app: as a file it is the handler of a queue, and its `app` is the server of an API.

It does what RunPod's own images do with a deployed function, by their public contract (the package
`runpod-sdk-runtime`, which is no part of the SDK): the members of the input are the function's arguments, a generator
streams and gives its whole output too, `@init` runs before the first job; a route gets the body of the request, or
nothing where there is none, and `/ping` answers health checks.

Environment: FLASH_RESOURCE_NAME names the resource, RUNPOD_APP_DIR its source, RUNPOD_MOUNTS its volumes, and one
more variable its module.
"""

import asyncio
import contextlib
import importlib
import inspect
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

MODULE = "_RUNPOD_EMULATOR_APP_MODULE"
_WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")
_HEALTHY = {"status": "healthy"}
_HERE = os.path.dirname(os.path.abspath(__file__))


def _mount() -> None:
    """Tell the SDK where a volume is, for its `path`: the emulator's volume, where the platform's place is not here."""
    mounts = json.loads(os.environ.get("RUNPOD_MOUNTS", "[]"))
    for mount in mounts:
        if not os.path.isdir(mount["path"]):
            mount["path"] = os.environ.get("RUNPOD_VOLUME_PATH", mount["path"])
    if mounts:
        importlib.import_module("runpod.apps.volume")._configure_mounts(mounts)


def _handle(kind: str) -> Any:
    """The resource as its module declares it: a handle of this class."""
    _mount()
    sys.path[:] = [os.environ["RUNPOD_APP_DIR"], *(entry for entry in sys.path if os.path.abspath(entry) != _HERE)]
    name, place = os.environ["FLASH_RESOURCE_NAME"], os.environ[MODULE]
    module = importlib.import_module(place)
    kinds = getattr(importlib.import_module("runpod.apps.handles"), kind)
    for found in list(vars(module).values()):
        if isinstance(found, kinds) and found.spec.name == name:
            return found
    raise RuntimeError(f"module {place} has no resource {name!r} in a variable of its own, where RunPod looks for it")


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


# A queue


def _arguments(job: dict[str, Any]) -> dict[str, Any]:
    arguments = dict(job.get("input") or {})
    arguments.pop("__empty", None)
    return arguments


def handler_of(function: Callable[..., Any]) -> Callable[[dict[str, Any]], Any]:
    """A handler that calls a function of an app: a generator for a generator."""
    if inspect.isasyncgenfunction(function):

        async def chunks(job: dict[str, Any]) -> AsyncIterator[Any]:
            async for chunk in function(**_arguments(job)):
                yield chunk

        return chunks
    if inspect.isgeneratorfunction(function):

        def parts(job: dict[str, Any]) -> Iterator[Any]:
            yield from function(**_arguments(job))

        return parts

    async def handler(job: dict[str, Any]) -> Any:
        return await _awaited(function(**_arguments(job)))

    return handler


def serve_function() -> None:
    """Prepare the function, and take jobs for it."""
    runpod = importlib.import_module("runpod")
    handle = _handle("FunctionHandle")
    if handle._init_fn is not None:
        asyncio.run(_called(handle._init_fn))
    handler = handler_of(handle._fn)
    streams = inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler)
    runpod.serverless.start({"handler": handler, "return_aggregate_stream": streams})


async def _called(function: Callable[[], Any]) -> Any:
    return await _awaited(function())


# An API


def api() -> Any:
    """The server of an API: that of its class, or what its function returns."""
    handle = _handle("ApiHandle")
    return _of_class(handle) if handle._cls is not None else _of_function(handle._asgi_factory())


def _of_class(handle: Any) -> Any:
    from fastapi import FastAPI

    instance = handle._cls()

    @contextlib.asynccontextmanager
    async def life(_app: Any) -> AsyncIterator[None]:
        if handle._init_name:
            await _called(getattr(instance, handle._init_name))
        yield

    app = FastAPI(title=handle.spec.name, lifespan=life)
    app.get("/ping")(lambda: _HEALTHY)
    for route in handle.spec.routes:
        endpoint = _endpoint(getattr(instance, route.handler_name))
        app.add_api_route(route.path, endpoint, methods=[route.method], name=route.handler_name)
    return app


def _endpoint(method: Callable[..., Any]) -> Callable[..., Any]:
    from fastapi import Request

    async def endpoint(request: Request) -> Any:
        body = None
        if request.method in _WITH_BODY:
            with contextlib.suppress(ValueError):
                body = await request.json()
        return await _awaited(method() if body is None else method(body))

    return endpoint


def _of_function(app: Any) -> Any:
    """The function's own application, which answers health checks whether it has thought of them or not."""
    routes = getattr(app, "routes", None)
    if routes is not None and hasattr(app, "get"):
        if not any(getattr(route, "path", None) == "/ping" for route in routes):
            app.get("/ping")(lambda: _HEALTHY)
        return app
    from starlette.responses import JSONResponse

    async def with_ping(scope: Any, receive: Any, send: Any) -> None:
        is_ping = scope["type"] == "http" and scope["path"] == "/ping"
        await (JSONResponse(_HEALTHY) if is_ping else app)(scope, receive, send)

    return with_ping


def __getattr__(name: str) -> Any:
    """The server of an API is made when it is asked for: the handler of a queue has none."""
    if name == "app":
        return api()
    raise AttributeError(name)


if __name__ == "__main__":
    serve_function()
