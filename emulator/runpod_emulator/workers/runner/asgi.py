"""Runs the ASGI application of a load-balancing worker: `python RUNNER_FOLDER --asgi SPEC PORT`.

The interpreter needs uvicorn, as the application's image does.
"""

from __future__ import annotations

import sys

from .loading import HandlerError, load_function, split
from .tracebacks import user_traceback

_NO_UVICORN = "{python} has no uvicorn, which runs the application {spec}: pip install uvicorn, or name a command"
_NO_NAME = "{spec}: write file.py:app or package.module:app"
_LARGEST_MESSAGE = 30 * 1024 * 1024 + 1
"""Bytes of a message on a WebSocket: one more than pass the load balancer, which says so itself."""
_NO_APP = "{spec} is no ASGI application: it can't be called"


def main(arguments: list[str]) -> None:
    """Serve the application until SIGTERM; what cannot be loaded ends the process with its traceback."""
    spec, port = arguments[0], int(arguments[1])
    try:
        import uvicorn
    except ImportError:
        sys.exit(_NO_UVICORN.format(python=sys.executable, spec=spec))
    place, name = split(spec)
    if not name:
        sys.exit(_NO_NAME.format(spec=spec))
    try:
        app = load_function(place, name, [])
    except HandlerError as error:
        sys.exit(str(error))
    except SystemExit:
        raise
    except BaseException as error:
        sys.exit(user_traceback(error))
    if not callable(app):
        sys.exit(_NO_APP.format(spec=spec))
    uvicorn.run(
        app, host="127.0.0.1", port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=1,
        proxy_headers=True, forwarded_allow_ips="127.0.0.1", ws_max_size=_LARGEST_MESSAGE,
    )  # fmt: skip
