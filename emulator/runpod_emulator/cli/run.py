"""The command that runs one job and ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

import click

from runpod_emulator.cli.inputs import FORMS, request_of
from runpod_emulator.cli.running import ServerCommand
from runpod_emulator.core.secrets.shown import block

_RAISED = ("error_type", "error_message")
"""Of an error that is JSON text, because the handler has raised it."""


@click.command(cls=ServerCommand)
@click.argument("handlers", metavar="HANDLER", nargs=1, required=False)
@click.argument("words", metavar="[INPUT]...", nargs=-1)
@click.option("--input", "inputs", multiple=True, metavar="INPUT", help=f"The input: {FORMS}. [the handler's example]")
def run(words: tuple[str, ...], inputs: tuple[str, ...], **options: Any) -> None:
    """Run one job on HANDLER as a server would, print its output as JSON, and exit.

    INPUT is JSON, @FILE, - for standard input, or NAME=VALUE...; without one it is the handler's own example:
    test_input.json beside it, the first of .runpod/tests.json, or what its docstring shows.

    The chunks of a stream are printed as they come, one a line. The log is on standard error. Exits with 0 when
    the job is COMPLETED, 1 FAILED, 4 CANCELLED (by Ctrl-C), 5 TIMED_OUT, 2 for what could not be started.

    \b
    runpod-emulator run handler.py
    runpod-emulator run handler.py prompt="a cat" steps=3
    runpod-emulator run handler.py --input @test_input.json | jq .image
    """
    from runpod_emulator.cli.once import own_server
    from runpod_emulator.server.loop import run as run_loop

    given = (*words, *inputs)
    request = request_of(given) if given else None
    handler = options.pop("handlers")
    server = own_server({**options, "handlers": (handler,) if handler else ()})
    sys.exit(run_loop(_run(server, request)))


async def _run(server: Any, request: dict[str, Any] | None) -> int:
    from runpod_emulator.cli.once import EXITS, Refused, only_endpoint, started, written
    from runpod_emulator.config.examples import FALLBACK, example_of
    from runpod_emulator.server.loop import until_signal

    endpoint = only_endpoint(server)
    if request is None:
        plan = next((plan for plan in server.plans if plan.settings.id == endpoint), None)
        example = plan and example_of(plan.service, plan.directory)
        request = {"input": example or FALLBACK}
        print(f"Input: {server.masks.text(written(request['input']))}", file=sys.stderr, flush=True)
    chunks: list[Any] = []

    def show(chunk: Any) -> None:
        chunks.append(None)
        print(written(chunk), flush=True)

    stopped = asyncio.ensure_future(until_signal())
    try:
        async with started(server, stopped) as calls:
            ended = await calls.run(endpoint, request, show)
    except asyncio.CancelledError:
        return EXITS["CANCELLED"]
    except Refused as refused:
        print(f"runpod-emulator: refused: {block(server.masks.text(str(refused)))}", file=sys.stderr)
        return EXITS["FAILED"]
    if "output" in ended and not chunks and ended["status"] == "COMPLETED":
        print(written(ended["output"], 2 if sys.stdout.isatty() else None), flush=True)
    if ended["status"] != "COMPLETED":
        reason = block(server.masks.text(reason_of(ended.get("error"))))
        print(f"runpod-emulator: {ended['status']}{reason and ': '}{reason}", file=sys.stderr)
    return EXITS.get(ended["status"], 1)


def reason_of(error: Any) -> str:
    """An error in a line: of a raised one its kind and text, since its traceback is in the log."""
    if not isinstance(error, str):
        return "" if error is None else json.dumps(error)
    with contextlib.suppress(ValueError, KeyError, TypeError):
        said = json.loads(error)
        return " ".join(str(said[name]) for name in _RAISED)
    return error
