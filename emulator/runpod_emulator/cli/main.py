"""The command line: which commands there are, and how each ends."""

from __future__ import annotations

import gc
import importlib
import os
import resource
import sys
from typing import Any, NamedTuple

import click

from runpod_emulator import __version__
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.core.secrets.shown import block
from runpod_emulator.server.outlet import OutputLost, take_streams

_FILES, _FILES_OF_MANY = 64, 256
"""Files that a server has open with one worker, and a few clients."""


class Place(NamedTuple):
    """Where a command is: loaded when it is asked for, since most of them need much that the others do not."""

    module: str
    name: str


COMMANDS = {
    "Serve": {
        "serve": Place("serve", "serve"),
        "dev": Place("serve", "dev"),
        "exec": Place("execute", "execute"),
    },
    "Try a handler": {
        "init": Place("starter", "init"),
        "run": Place("run", "run"),
        "test": Place("hub", "test"),
    },
    "Jobs, of an emulator or of RunPod": {
        "submit": Place("client.submitting", "submit"),
        "status": Place("client.verbs", "status"),
        "stream": Place("client.verbs", "stream"),
        "cancel": Place("client.verbs", "cancel"),
        "retry": Place("client.verbs", "retry"),
        "purge": Place("client.verbs", "purge"),
        "health": Place("client.verbs", "health"),
    },
    "What an emulator has seen": {
        "jobs": Place("client.looking", "jobs"),
        "logs": Place("client.looking", "logs"),
        "requests": Place("client.looking", "requests"),
    },
    "Tell an emulator": {
        "stub": Place("client.telling", "stub"),
        "fault": Place("client.telling", "fault"),
        "advance": Place("client.telling", "advance"),
        "reset": Place("client.telling", "reset"),
    },
    "Around a server": {
        "wait": Place("asking", "wait"),
        "worker-env": Place("asking", "worker_env"),
        "tls": Place("showing", "tls"),
    },
    "Look up": {
        "fields": Place("showing", "fields"),
        "config": Place("showing", "config"),
    },
}
"""The commands by the headings of the help, in its order."""


class Commands(click.Group):
    """The commands; what they say of a wrong one shows no secret."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order of the help."""
        return [name for group in COMMANDS.values() for name in group]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """One of them; None where there is none of that name."""
        for group in COMMANDS.values():
            if (place := group.get(cmd_name)) is not None:
                command = getattr(importlib.import_module(f"runpod_emulator.cli.{place.module}"), place.name)
                assert isinstance(command, click.Command)
                return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write them under their headings."""
        width = max(len(name) for name in self.list_commands(ctx))
        for heading, group in COMMANDS.items():
            with formatter.section(heading):
                rows = [(name.ljust(width), self._summary(ctx, name)) for name in group]
                formatter.write_dl(rows)

    def invoke(self, ctx: click.Context) -> Any:
        """Run one."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise click.UsageError(Masks().text(error.format_message()), error.ctx) from error

    def _summary(self, ctx: click.Context, name: str) -> str:
        command = self.get_command(ctx, name)
        assert command is not None
        return (command.help or "").partition("\n\n")[0].replace("\n", " ")


_EXAMPLES = """\b
Examples:
  runpod-emulator dev handler.py
  runpod-emulator submit handler prompt=hello --follow
  runpod-emulator logs -f
"""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EXAMPLES)
@click.version_option(__version__, prog_name="runpod-emulator")
def cli() -> None:
    """RunPod Serverless on your machine."""


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
