"""The commands that serve until they are told to stop."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import click

from runpod_emulator.cli.running import (
    ServerCommand,
    check_debugger,
    clear_port_file,
    loans_of_terminal,
    seated,
    settings_of,
    start,
)
from runpod_emulator.server.outlet import outlet_of


@click.command(cls=ServerCommand)
@click.argument("handlers", nargs=-1)
def serve(**options: Any) -> None:
    """Serve HANDLERS: file.py, file.py:function, package.module:function or a directory."""
    _serve(options)


@click.command(cls=ServerCommand)
@click.argument("handlers", nargs=-1)
def dev(**options: Any) -> None:
    """Serve HANDLERS, bring changed code into use at once, and log every request: serve --reload."""
    _serve(options | {"reload": True})


def _serve(options: dict[str, Any]) -> None:
    from runpod_emulator.cli.banner import farewell, ready_line
    from runpod_emulator.cli.keys import HINT
    from runpod_emulator.server.loop import run, until_signal
    from runpod_emulator.server.running_file import RunningFile
    from runpod_emulator.server.server import Server

    clear_port_file(options)
    loans = loans_of_terminal()
    server = Server(settings_of(options), loans)
    check_debugger(server)
    if (outlet := outlet_of(sys.stdout)) is not None:
        outlet.patient = False  # whoever does not read the banner does not stop the server

    async def main() -> None:
        stopped = asyncio.ensure_future(until_signal())
        with seated(loans, server) as has_keys:
            running = RunningFile(server.port, server.base_url)
            running.write()
            try:
                if await start(server, stopped, sys.stdout):
                    print(f"{ready_line(server)} {HINT}" if has_keys else ready_line(server), flush=True)
                    await stopped
                    if loans is not None:
                        loans.end_keys()
                    print(await farewell(server), flush=True)
            finally:
                running.remove()
                await server.stop()

    run(main())
