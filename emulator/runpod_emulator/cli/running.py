"""Starting a server from the command line: its options, its log, its banner."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.server.log import begin_log, wants_colours
from runpod_emulator.server.outlet import outlet_of

if TYPE_CHECKING:
    from runpod_emulator.server.loans import Loans
    from runpod_emulator.server.server import Server


_HAS_NONE = 77
_HAS_DEBUGGER = f"import importlib.util, sys; sys.exit(0 if importlib.util.find_spec('debugpy') else {_HAS_NONE})"
_ASKED = 30.0
"""Seconds that an interpreter has to say whether it has a debugger."""
DEBUG_PORT = 5678
"""Where editors look for debugpy."""
PROXY_PORT = 8899
"""Where the proxy of `serve` is when nobody says otherwise; that of `exec` takes a free one."""


class ServerCommand(click.Command):
    """A command that takes every option of a server; they follow from the model, which is imported when needed."""

    @functools.cached_property
    def _options(self) -> list[click.Parameter]:
        from runpod_emulator.cli.flags import server_options

        return server_options(but={parameter.name for parameter in self.params})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words; `--debug` and `--proxy` may stand alone, before a handler too."""
        alone = {"--debug": DEBUG_PORT, "--proxy": 0 if self.name == "exec" else PROXY_PORT}
        own = args.index("--") if "--" in args else len(args)
        for at, word in enumerate(args[:own]):
            is_told = at + 1 < own and (args[at + 1].isdecimal() or not args[at + 1])
            if word in alone and not is_told:
                args[at] = f"{word}={alone[word]}"
        return super().parse_args(ctx, args)

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


def check_debugger(server: Server) -> None:
    """Raises ConfigurationError where an interpreter of handlers that are to be debugged has no debugger."""
    import subprocess  # what it starts is the user's own interpreter  # nosec B404

    for python in dict.fromkeys(plan.python for plan in server.plans if plan.debug_port):
        with contextlib.suppress(OSError, subprocess.SubprocessError):  # which the start of a worker tells better
            asked = subprocess.run((python, "-c", _HAS_DEBUGGER), capture_output=True, timeout=_ASKED)  # nosec B603
            if asked.returncode == _HAS_NONE:
                raise ConfigurationError(
                    f"--debug needs debugpy, which {python} does not have. Install it: {python} -m pip install debugpy"
                )


def loans_of_terminal() -> Loans | None:
    """The terminal on standard input, to be lent to workers that stop at a breakpoint; None where there is none."""
    from runpod_emulator.server.loans import Loans
    from runpod_emulator.server.terminal import Terminal

    terminal = Terminal.of_process()
    if terminal is None:
        return None
    outlets = (outlet_of(stream) for stream in (sys.stdout, sys.stderr))
    return Loans(terminal, [outlet for outlet in outlets if outlet is not None and outlet.isatty()])


@contextlib.contextmanager
def seated(loans: Loans | None, server: Server, with_keys: bool = True) -> Iterator[bool]:
    """Have the terminal meanwhile; True where it has keys. It is left as it was found."""
    from runpod_emulator.cli.keys import Keys, are_wanted

    if loans is None:
        yield False
        return
    has_keys = with_keys and are_wanted()
    loans.keys = Keys(server).take if has_keys else None
    loans.begin()
    try:
        yield has_keys
    finally:
        loans.close()


async def start(server: Server, stopped: asyncio.Future[None], banner_to: Any) -> bool:
    """Start the server; False when a signal came first. The banner is for those who are to call it."""
    from runpod_emulator.cli.banner import banner
    from runpod_emulator.server.garbage import Sweeper
    from runpod_emulator.server.orphans import reap_orphans

    starting = asyncio.ensure_future(server.start())
    if banner_to is not None:
        print(banner(server, wants_colours(banner_to)), file=banner_to, flush=True)
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
