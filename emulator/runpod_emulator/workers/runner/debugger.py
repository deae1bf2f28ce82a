"""Lets an editor attach to this worker: debugpy of the handler's own interpreter listens on a port of this machine."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

from .loading import HandlerError
from .output import say

_MISSING = "--debug needs debugpy, which {python} does not have. Install it: {python} -m pip install debugpy"
_TAKEN = "Port {port} is taken, perhaps by another 'dev --debug'. --debug PORT begins at another one"
_NOBODY = (
    "The breakpoint at {place} is passed over: no editor is attached. Attach one to 127.0.0.1:{port} "
    "(docs/debugging.md says how), and run the job again."
)


def listen(port: int) -> None:
    """Wait for editors from now on, without holding up anything; raises HandlerError where that can't be."""
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")  # frozen modules: it would warn at each start
    try:
        debugpy = import_module("debugpy")
    except ImportError:
        raise HandlerError(_MISSING.format(python=sys.executable)) from None
    try:
        debugpy.listen(("127.0.0.1", port))
    except Exception as error:
        is_taken = "already in use" in str(error)
        told = _TAKEN.format(port=port) if is_taken else f"The debugger can't listen on 127.0.0.1:{port}: {error}"
        raise HandlerError(told) from None

    def stop(*_: Any, **__: Any) -> None:
        frame: Any = sys._getframe().f_back
        if debugpy.is_client_connected():
            # As debugpy.breakpoint() does, which would stop in this function instead of its caller.
            import_module("pydevd").settrace(
                suspend=True, trace_only_current_thread=True, patch_multiprocessing=False, stop_at_frame=frame
            )
        else:
            say(_NOBODY.format(place=f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}", port=port))

    sys.breakpointhook = stop
    say(f"An editor may attach to 127.0.0.1:{port}.")
