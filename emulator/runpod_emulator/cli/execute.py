"""The command that serves for as long as another command runs."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Any

import click

from runpod_emulator.cli.running import ServerCommand, clear_port_file, settings_of, start
from runpod_emulator.core.errors import ConfigurationError

_COMMAND_GRACE = 3.0
"""Seconds that the command of `exec` has to end when the emulator is told to."""


class NotRun(ConfigurationError):
    """The command cannot be run; the exit code says why, as a shell's does."""

    def __init__(self, command: str, error: OSError) -> None:
        super().__init__(f"cannot run {command}: {error.strerror}")
        self.exit_code = 127 if isinstance(error, FileNotFoundError | NotADirectoryError) else 126


@click.command(name="exec", cls=ServerCommand, context_settings={"ignore_unknown_options": False})
@click.argument("words", metavar="COMMAND...", nargs=-1, type=click.UNPROCESSED, required=True)
@click.option("--port", metavar="INTEGER", help="Port to listen on. [a free one]")
@click.option("--tls-port", metavar="INTEGER", help="Port for HTTPS. [a free one]")
@click.option(
    "--proxy",
    metavar="INTEGER",
    help="Port of a proxy by which https://api.runpod.ai leads here. [alone, a free one]",
)
@click.option("--handler", "handlers", multiple=True, metavar="HANDLER", help="Serve HANDLER under its own name.")
def execute(words: tuple[str, ...], **options: Any) -> None:
    """Start on a free port, run COMMAND against it, stop, and exit with its code.

    127 is the code where there is no COMMAND, 126 where it cannot be run.

    RUNPOD_ENDPOINT_BASE_URL and RUNPOD_API_KEY are set for COMMAND; with --tls the URL is that of HTTPS,
    and SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and NODE_EXTRA_CA_CERTS are set too. With --proxy
    these are, and HTTPS_PROXY, HTTP_PROXY, NO_PROXY and NODE_USE_ENV_PROXY: https://api.runpod.ai leads here.
    """
    from runpod_emulator.server.loop import run, until_signal
    from runpod_emulator.server.server import Server
    from runpod_emulator.workers.environment import POINTED_BY_EXEC, inherited

    options |= {name: 0 for name in ("port", "tls_port") if not options.get(name)}
    clear_port_file(options)
    server = Server(settings_of(options))

    async def main() -> int:
        stopped = asyncio.ensure_future(until_signal())
        try:
            if not await start(server, stopped, sys.stderr):
                return 0
            environment = server.client_environment()
            environment[POINTED_BY_EXEC] = environment["RUNPOD_ENDPOINT_BASE_URL"]
            return await _run_command(words, {**inherited(), **environment}, stopped)
        finally:
            await server.stop()

    sys.exit(run(main()))


async def _run_command(command: tuple[str, ...], environment: dict[str, str], stopped: asyncio.Future[None]) -> int:
    try:
        process = await asyncio.create_subprocess_exec(*command, env=environment)
    except OSError as error:
        raise NotRun(command[0], error) from error
    ended = asyncio.ensure_future(process.wait())
    await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        process.send_signal(signal.SIGTERM)
        await asyncio.wait((ended,), timeout=_COMMAND_GRACE)
        if not ended.done():
            process.kill()
    code = await ended
    return code if code >= 0 else 128 - code
