"""The command line."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from emulator import __version__
from emulator.core.errors import ConfigurationError

Command = TypeVar("Command", bound=Callable[..., Any])

_COMMAND_GRACE = 3.0
"""Seconds that the command of `exec` has to end when the emulator is told to."""

_SERVER_OPTIONS = (
    click.option("--endpoint", multiple=True, metavar="ID=HANDLER", help="Serve HANDLER as endpoint ID; ID alone waits for workers started elsewhere (repeatable)."),
    click.option("--command", multiple=True, metavar="ID=COMMAND", help="Serve endpoint ID by a program that speaks the worker protocol, as in ID='python -u handler.py' (repeatable)."),
    click.option("--worker-key", multiple=True, metavar="KEY", help="Accept only workers with this key (repeatable). [any]"),
    click.option("--host", help="Address to listen on. [127.0.0.1]"),
    click.option("--port", type=int, help="Port to listen on; 0 takes a free one. [8000]"),
    click.option("--port-file", metavar="FILE", help="Write the port there once everything is ready."),
    click.option("--profile", type=click.Choice(["observed", "documented"]), help="Which reading of the service. [observed]"),
    click.option("--set", "set_", multiple=True, metavar="FIELD=VALUE", help="Change one field of 'runpod-emulator fields'."),
    click.option("--workers-min", type=int, help="Workers of each endpoint that are always on. [0]"),
    click.option("--workers-max", type=int, help="Workers that each endpoint may have. [3]"),
    click.option("--execution-timeout", metavar="TIME", help="Longest run of a job: 600000 (ms), 600s, 10m; 0 is none. [600s]"),
    click.option("--job-ttl", metavar="TIME", help="Life of a job from its submission. [24h]"),
    click.option("--api-key", multiple=True, metavar="KEY", help="Accept only this key (repeatable). [any key]"),
    click.option("--no-auth", is_flag=True, default=None, help="Ask for no key."),
    click.option("--no-rate-limits", is_flag=True, default=None, help="Never answer 429."),
    click.option("--python", metavar="PATH", help="Interpreter that runs the handlers. [this one]"),
    click.option("--seed", type=int, help="Seed of ids."),
    click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="[info]"),
)  # fmt: skip


def _server_options(command: Command) -> Command:
    for option in reversed(_SERVER_OPTIONS):
        command = option(command)
    return command


@click.group()
@click.version_option(__version__, prog_name="runpod-emulator")
def cli() -> None:
    """RunPod Serverless on your machine."""


@cli.command()
@click.argument("handlers", nargs=-1)
@_server_options
def serve(handlers: tuple[str, ...], **options: Any) -> None:
    """Serve HANDLERS: file.py, file.py:function, package.module:function or a directory."""
    from emulator.server import Server, run, until_signal

    server = Server(_settings(handlers, options))

    async def main() -> None:
        stopped = asyncio.ensure_future(until_signal())
        try:
            if await _start(server, stopped, sys.stdout):
                print("Ready.", flush=True)
                await stopped
        finally:
            await server.stop()

    run(main())


@cli.command(name="exec", context_settings={"ignore_unknown_options": False})
@click.argument("words", metavar="COMMAND...", nargs=-1, type=click.UNPROCESSED, required=True)
@click.option(
    "--handler", "handlers", multiple=True, metavar="HANDLER", help="Serve HANDLER under its own name (repeatable)."
)
@_server_options
def execute(words: tuple[str, ...], handlers: tuple[str, ...], **options: Any) -> None:
    """Start on a free port, run COMMAND against it, stop, and exit with its code.

    RUNPOD_ENDPOINT_BASE_URL and RUNPOD_API_KEY are set for COMMAND.
    """
    from emulator.server import Server, run, until_signal

    if options.get("port") is None:
        options["port"] = 0
    server = Server(_settings(handlers, options))

    async def main() -> int:
        stopped = asyncio.ensure_future(until_signal())
        try:
            if not await _start(server, stopped, sys.stderr):
                return 0
            return await _run_command(words, {**os.environ, **server.client_environment()}, stopped)
        finally:
            await server.stop()

    sys.exit(run(main()))


@cli.command()
@click.option("-t", "--timeout", type=float, default=30.0, show_default=True, help="Seconds to wait.")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The server to wait for.")
def wait(timeout: float, url: str) -> None:
    """Wait until a server is ready; exit 1 when it is not in time."""
    from emulator.probe import until_ready

    problem = until_ready(url, timeout)
    if problem:
        raise click.ClickException(f"not ready after {timeout:g} s: {problem}")


@cli.command(name="worker-env")
@click.argument("endpoint")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="Where the worker reaches the server.")
@click.option("--worker", metavar="ID", help="The worker's id. [a new one]")
@click.option(
    "--worker-key", default="runpod-emulator", show_default=True, metavar="KEY", help="A key of --worker-key."
)
@click.option(
    "--api-key", default="runpod-emulator", show_default=True, metavar="KEY", help="For calls of the handler."
)
@click.option("--format", "form", type=click.Choice(["shell", "dotenv"]), default="shell", show_default=True)
def worker_env(endpoint: str, url: str, worker: str | None, worker_key: str, api_key: str, form: str) -> None:
    """Print the environment in which any runpod worker serves ENDPOINT, on this machine or another."""
    from emulator.core.ids import Ids
    from emulator.workers.environment import worker_environment

    url = url.rstrip("/").removesuffix("/v2")
    for name, value in worker_environment(url, endpoint, worker or Ids().worker(), worker_key, api_key).items():
        print(f"export {name}={shlex.quote(value)}" if form == "shell" else f"{name}='{value}'")


@cli.command()
@click.option("--profile", type=click.Choice(["observed", "documented"]), default="observed", show_default=True)
@click.option("--set", "set_", multiple=True, metavar="FIELD=VALUE", help="Show it with this change.")
def fields(profile: str, set_: tuple[str, ...]) -> None:
    """Print every number and disputed behaviour, its evidence and what the presets make of it."""
    from emulator.config import read_settings
    from emulator.listing import print_fields

    print_fields(read_settings(profile=profile, set=list(set_)).platform())


def main() -> None:
    """Run the command line; a wrong setting exits with 2, a taken port with 3."""
    try:
        cli(prog_name="runpod-emulator")
    except ConfigurationError as error:
        print(f"runpod-emulator: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def _settings(handlers: tuple[str, ...], options: dict[str, Any]) -> Any:
    from emulator.config import hidden_modules, read_settings

    given: dict[str, Any] = {"set" if name == "set_" else name: value for name, value in options.items()}
    given["handlers"] = handlers
    given = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value is not None and value != ()
    }
    settings = read_settings(**given)
    logging.basicConfig(
        level=settings.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)-7s %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    for service in settings.services().values():
        for file in hidden_modules(service.handler or ""):
            logging.getLogger("emulator").warning(
                "%s hides the module %s of the standard library from its neighbours: rename it", file, file.stem
            )
    return settings


async def _start(server: Any, stopped: asyncio.Future[None], banner_to: Any) -> bool:
    """Start the server; False when a signal came first."""
    from emulator.listing import banner

    starting = asyncio.ensure_future(server.start())
    print(banner(server), file=banner_to, flush=True)
    await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        await starting
        return True
    starting.cancel()
    return False


async def _run_command(command: tuple[str, ...], environment: dict[str, str], stopped: asyncio.Future[None]) -> int:
    try:
        process = await asyncio.create_subprocess_exec(*command, env=environment)
    except OSError as error:
        raise ConfigurationError(f"cannot run {command[0]}: {error.strerror}") from error
    ended = asyncio.ensure_future(process.wait())
    await asyncio.wait((ended, stopped), return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        process.send_signal(signal.SIGTERM)
        await asyncio.wait((ended,), timeout=_COMMAND_GRACE)
        if not ended.done():
            process.kill()
    code = await ended
    return code if code >= 0 else 128 - code
