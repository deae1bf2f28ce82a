"""Where webhook calls to the built-in receiver arrive: `/__emulator/hooks/<namespace>/<name>`, `-` for no namespace."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emulator.core.errors import RequestError
from emulator.emulator import NEWS, Emulator


async def receive(request: Request) -> Response:
    """Take one call; no key is asked for, as of any receiver."""
    worlds, told = request.app.state.worlds, request.path_params
    try:
        world: Emulator = worlds.first if told["namespace"] == "-" else worlds.named(told["namespace"])
    except RequestError as error:
        return Response(error.detail, error.status)
    status = world.receiver.take(world.timeline.now(), told["name"], dict(request.headers), await request.body())
    world.room.call(NEWS)
    return Response(status_code=status)


route = Route("/__emulator/hooks/{namespace}/{name}", receive, methods=["POST"], include_in_schema=False)
