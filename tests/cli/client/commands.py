"""The client's commands as they are typed, within this process."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from click.testing import CliRunner
from runpod_emulator.cli.main import cli
from runpod_emulator.core.errors import ConfigurationError


class Ran(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What is on standard output, as JSON."""
        return json.loads(self.out)


def run(*words: object, stdin: str | None = None) -> Ran:
    """Run one command."""
    result = CliRunner().invoke(cli, list(map(str, words)), prog_name="runpod-emulator", input=stdin)
    error = result.exception
    if isinstance(error, ConfigurationError):
        return Ran(error.exit_code, result.stdout, str(error))
    if error is not None and not isinstance(error, SystemExit):
        raise error
    return Ran(result.exit_code, result.stdout, result.stderr)
