"""The command line."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import os
import resource
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import click

from runpod_emulator import __version__
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.core.secrets.shown import block
from runpod_emulator.server.log import begin_log
from runpod_emulator.server.outlet import OutputLost, outlet_of, take_streams

_FILES, _FILES_OF_MANY = 64, 256
"""Files that a server has open with one worker, and a few clients."""
_COMMAND_GRACE = 3.0
"""Seconds that the command of `exec` has to end when the emulator is told to."""


class ServerCommand(click.Command):
    """A command that takes every option of a server; they follow from the model, which is imported when needed."""

    @functools.cached_property
    def _options(self) -> list[click.Parameter]:
        from runpod_emulator.cli.flags import server_options

        return server_options(but={parameter.name for parameter in self.params})

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters, and the server's options."""
        own = super().get_params(ctx)
        return [*own[:-1], *self._options, own[-1]]


class Commands(click.Group):
    """The commands; what they say of a wrong one shows no secret."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run one."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise click.UsageError(Masks().text(error.format_message()), error.ctx) from error


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="runpod-emulator")
def cli() -> None:
    """RunPod Serverless on your machine."""


@cli.command(cls=ServerCommand)
@click.argument("handlers", nargs=-1)
def serve(**options: Any) -> None:
    """Serve HANDLERS: file.py, file.py:function, package.module:function or a directory."""
    _serve(options)


@cli.command(cls=ServerCommand)
@click.argument("handlers", nargs=-1)
def dev(**options: Any) -> None:
    """Serve HANDLERS, bring changed code into use at once, and colour the log: serve --reload --log-color."""
    _serve(options | {"reload": True, "log_color": True})


def _serve(options: dict[str, Any]) -> None:
    from runpod_emulator.cli.listing import ready_line
    from runpod_emulator.server.server import Server, run, until_signal

    _clear_port_file(options)
    server = Server(_settings(options))
    if (outlet := outlet_of(sys.stdout)) is not None:
        outlet.patient = False  # whoever does not read the banner does not stop the server

    async def main() -> None:
        stopped = asyncio.ensure_future(until_signal())
        try:
            if await _start(server, stopped, sys.stdout):
                print(ready_line(server), flush=True)
                await stopped
        finally:
            await server.stop()

    run(main())


@cli.command(name="exec", cls=ServerCommand, context_settings={"ignore_unknown_options": False})
@click.argument("words", metavar="COMMAND...", nargs=-1, type=click.UNPROCESSED, required=True)
@click.option("--port", metavar="INTEGER", help="Port to listen on. [a free one]")
@click.option("--tls-port", metavar="INTEGER", help="Port for HTTPS. [a free one]")
@click.option("--handler", "handlers", multiple=True, metavar="HANDLER", help="Serve HANDLER under its own name.")
def execute(words: tuple[str, ...], **options: Any) -> None:
    """Start on a free port, run COMMAND against it, stop, and exit with its code.

    RUNPOD_ENDPOINT_BASE_URL and RUNPOD_API_KEY are set for COMMAND; with --tls the URL is that of HTTPS,
    and SSL_CERT_FILE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE and NODE_EXTRA_CA_CERTS are set too.
    """
    from runpod_emulator.server.server import Server, run, until_signal
    from runpod_emulator.workers.environment import POINTED_BY_EXEC, inherited

    options |= {name: 0 for name in ("port", "tls_port") if not options.get(name)}
    _clear_port_file(options)
    server = Server(_settings(options))

    async def main() -> int:
        stopped = asyncio.ensure_future(until_signal())
        try:
            if not await _start(server, stopped, sys.stderr):
                return 0
            environment = server.client_environment()
            environment[POINTED_BY_EXEC] = environment["RUNPOD_ENDPOINT_BASE_URL"]
            return await _run_command(words, {**inherited(), **environment}, stopped)
        finally:
            await server.stop()

    sys.exit(run(main()))


@cli.command()
@click.option("-t", "--timeout", type=float, default=30.0, show_default=True, help="Seconds to wait.")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="The server to wait for.")
@click.option(
    "--ca-file", metavar="FILE", help="What an https:// server is trusted by. [that of 'runpod-emulator tls']"
)
def wait(timeout: float, url: str, ca_file: str | None) -> None:
    """Wait until a server is ready; exit 1 when it is not in time."""
    from runpod_emulator.cli.probe import until_ready

    problem = until_ready(url, timeout, ca_file)
    if problem:
        raise click.ClickException(f"not ready after {timeout:g} s: {problem}")


@cli.command(name="worker-env")
@click.argument("endpoint")
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="Where the worker reaches the server.")
@click.option("--worker", metavar="ID", help="The worker's id. [a new one]")
@click.option("--worker-key", metavar="KEY", help="A key of the server's --worker-key. [what the server says]")
@click.option("--admin-key", metavar="KEY", help="Of the server, which tells others than its own machine nothing.")
@click.option(
    "--api-key", default="runpod-emulator", show_default=True, metavar="KEY", help="For calls of the handler."
)
@click.option("--format", "form", type=click.Choice(["shell", "dotenv"]), default="shell", show_default=True)
def worker_env(
    endpoint: str, url: str, worker: str | None, worker_key: str | None, admin_key: str | None, api_key: str, form: str
) -> None:
    """Print the environment in which any runpod worker serves ENDPOINT, on this machine or another.

    The running server is asked for the key of workers: with --api-key and without --worker-key it makes one of its
    own, which changes with each run.
    """
    from runpod_emulator.core.jobs.ids import Ids
    from runpod_emulator.workers.environment import worker_environment

    url = url.rstrip("/").removesuffix("/v2")
    worker_key = worker_key or _worker_key(url, admin_key)
    for name, value in worker_environment(url, endpoint, worker or Ids().worker(), worker_key, api_key).items():
        print(f"export {name}={shlex.quote(value)}" if form == "shell" else f"{name}='{value}'")


def _worker_key(url: str, admin_key: str | None) -> str:
    """The key that the server asks workers for; on standard error what is to be known of it."""
    from runpod_emulator.cli.probe import KeyUnknown, key_of_workers

    try:
        key = key_of_workers(url, admin_key)
    except KeyUnknown as problem:
        print(f"# the worker key is a guess: {problem}; or say it with --worker-key KEY", file=sys.stderr)
        return "runpod-emulator"
    if not key.lasts:
        print("# the worker key changes with each run of the server, unless its --worker-key sets it", file=sys.stderr)
    return key.key


@cli.command()
@click.option("--tls-folder", metavar="FOLDER", help="Where the local CA is kept. [as of serve]")
@click.option("--tls-port", type=int, help="Port for HTTPS of the URLs. [as of serve]")
@click.option("--format", "form", type=click.Choice(["text", "shell"]), default="text", show_default=True)
def tls(form: str, **options: Any) -> None:
    """Make the local CA of serve --tls if there is none, and print how clients trust it and reach the server."""
    from runpod_emulator.cli.listing import exports, tls_page
    from runpod_emulator.config.settings import read_settings
    from runpod_emulator.server.tls import Authority, default_folder, trust

    settings = read_settings(**{name: value for name, value in options.items() if value is not None})
    ca_file = Authority(settings.tls_folder or default_folder()).ca_file
    print("\n".join(exports(trust(ca_file))) if form == "shell" else tls_page(ca_file, settings.tls_port))


@cli.command()
@click.option("--profile", type=click.Choice(["observed", "documented"]), default="observed", show_default=True)
@click.option("--set", "set_", multiple=True, metavar="FIELD=VALUE", help="Show it with this change.")
def fields(profile: str, set_: tuple[str, ...]) -> None:
    """Print every number and disputed behaviour, its evidence and what the presets make of it."""
    from runpod_emulator.cli.listing import print_fields
    from runpod_emulator.config.settings import read_settings

    print_fields(read_settings(profile=profile, set=list(set_)).platform())


@cli.command(cls=ServerCommand)
@click.argument("handlers", nargs=-1)
def config(**options: Any) -> None:
    """Print what the options of serve come to, and where each value comes from; exit 2 if they could not be served."""
    from runpod_emulator.cli.listing import print_config

    print_config(_settings(options))


def main() -> None:
    """Run the command line; a wrong setting exits with 2, a taken port with 3, lost output with 1."""
    gc.disable()  # until a server has started: all that the start makes is there to stay
    take_streams()
    try:
        _check_machine()
        cli(prog_name="runpod-emulator")
    except ConfigurationError as error:
        print(f"runpod-emulator: {block(Masks().text(str(error)))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OutputLost as error:
        print(f"runpod-emulator: standard output cannot be written to: {error.strerror}", file=sys.stderr)
        sys.exit(1)


def _check_machine() -> None:
    """Say what would else end in the middle of something; raises ConfigurationError."""
    try:
        os.getcwd()
    except OSError as error:
        raise ConfigurationError("the working directory is gone: go to one that is there") from error
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= limit < _FILES:
        raise ConfigurationError(f"only {limit} files may be open at once (ulimit -n), at least {_FILES} are needed")
    if 0 <= limit < _FILES_OF_MANY:
        print(
            f"runpod-emulator: only {limit} files may be open at once (ulimit -n): connections above that are reset "
            "without a word",
            file=sys.stderr,
        )


def _clear_port_file(options: dict[str, Any]) -> None:
    """Take the port file of an earlier run away, before anything can fail; one of a file's is the server's to find."""
    from runpod_emulator.server.port_file import PortFile

    of_environment = (value for name, value in os.environ.items() if name.upper() == "RUNPOD_EMULATOR_PORT_FILE")
    path = options.get("port_file") or next(of_environment, None)
    if path:
        PortFile(Path(path)).clear()


def _settings(options: dict[str, Any]) -> Any:
    from runpod_emulator.config.settings import read_settings

    given = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value is not None and value != ()
    }
    settings = read_settings(**given)
    begin_log(settings.log_level, settings.log_color, Masks(settings.secrets))
    _warn(settings)
    return settings


def _warn(settings: Any) -> None:
    """Say what may be a mistake and is no error."""
    from runpod_emulator.config.services import hidden_modules
    from runpod_emulator.config.settings import unknown_variables

    log = logging.getLogger("runpod_emulator")
    for name in unknown_variables():
        log.warning("%s is in the environment and no option: 'runpod-emulator serve --help' lists them", name)
    for service in settings.services().values():
        for file in hidden_modules(service.handler or ""):
            log.warning(
                "%s hides the module %s of the standard library from its neighbours: rename it", file, file.stem
            )


async def _start(server: Any, stopped: asyncio.Future[None], banner_to: Any) -> bool:
    """Start the server; False when a signal came first."""
    from runpod_emulator.cli.listing import banner
    from runpod_emulator.server.garbage import Sweeper
    from runpod_emulator.server.orphans import reap_orphans

    starting = asyncio.ensure_future(server.start())
    print(banner(server), file=banner_to, flush=True)
    await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        try:
            await starting
        except ConfigurationError as error:  # it may repeat what a program has printed
            raise type(error)(server.masks.text(str(error))) from error
        Sweeper(lambda: int(server.app.state.worlds.dropped)).begin()
        reap_orphans()
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
