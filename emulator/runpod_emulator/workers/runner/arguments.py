"""The arguments of a handler's program that are the SDK's: taken out of `sys.argv`, and put into the config."""

from __future__ import annotations

import sys
from typing import Any

from . import sdk_log
from .loading import HandlerError

_DEFAULTS: dict[str, Any] = {
    "rp_log_level": None,
    "rp_debugger": None,
    "rp_serve_api": None,
    "rp_api_port": 8000,
    "rp_api_concurrency": 1,
    "rp_api_host": "localhost",
    "test_input": None,
}
_NO_WORKER = "{flag} makes no worker of the handler: start it without, or run `python {file}` by itself."


def take_arguments(config: dict[str, Any]) -> None:
    """Set `config["rp_args"]`; raises HandlerError for a flag with which the handler serves no jobs."""
    given = dict(_DEFAULTS)
    if any(word.startswith(("--r", "--t")) for word in sys.argv[1:]):
        given.update(_parse())
    config["rp_args"] = given
    for name in ("test_input", "rp_serve_api"):
        if given[name]:
            raise HandlerError(_NO_WORKER.format(flag=f"--{name}", file=sys.argv[0]))
    if given["rp_log_level"]:
        sdk_log.set_level(given["rp_log_level"])


def _parse() -> dict[str, Any]:
    import argparse  # costs more than all the rest of this folder

    parser = argparse.ArgumentParser(prog="runpod")
    for name, default in _DEFAULTS.items():
        if name in ("rp_debugger", "rp_serve_api"):
            parser.add_argument(f"--{name}", action="store_true", default=None)
        else:
            parser.add_argument(f"--{name}", type=int if isinstance(default, int) else str, default=default)
    known, others = parser.parse_known_args()
    sys.argv = [sys.argv[0], *others]
    return vars(known)
