"""Starting a server from the command line: its options, its log, its banner."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import sys
from pathlib import Path
from typing import Any

import click

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.server.log import begin_log


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


def clear_port_file(options: dict[str, Any]) -> None:
    """Take the port file of an earlier run away, before anything can fail; one of a file's is the server's to find."""
    from runpod_emulator.server.port_file import PortFile

    of_environment = (value for name, value in os.environ.items() if name.upper() == "RUNPOD_EMULATOR_PORT_FILE")
    path = options.get("port_file") or next(of_environment, None)
    if path:
        PortFile(Path(path)).clear()


def settings_of(options: dict[str, Any]) -> Any:
    """The settings of a server, from the command's options; the log is as they say from now on.

    Raises ConfigurationError.
    """
    from runpod_emulator.config.settings import read_settings

    given = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value is not None and value != ()
    }
    settings = read_settings(**given)
    begin_log(settings.log_level, Masks(settings.secrets), form=settings.log_format, file=settings.log_file)
    if settings.log_requests is None:
        settings.log_requests = "all" if settings.reload or sys.stderr.isatty() else "errors"
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


async def start(server: Any, stopped: asyncio.Future[None], banner_to: Any) -> bool:
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
