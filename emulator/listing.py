"""What the command line prints: the banner and the table of fields."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from typing import TYPE_CHECKING

from emulator import __version__
from emulator.config.fields import changed_fields
from emulator.config.options import EndpointOptions, all_options
from emulator.config.plans import plan_all
from emulator.config.settings import Settings
from emulator.values import as_text
from emulator.core.platform import Platform, source_of

if TYPE_CHECKING:
    from rich.table import Table

    from emulator.server import Server


_PIPED_WIDTH = 200
"""Columns of a table that nobody sees in a terminal, so that a row stays on its line."""


def banner(server: Server) -> str:
    """Where the server is and how to call it."""
    ids = list(server.emulator.endpoints)
    key = "" if server.settings.no_auth else f" -H {shlex.quote('Authorization: Bearer ' + server.key)}"
    example = "echo" if "echo" in ids else ids[0]
    return "\n".join(
        (
            f"runpod-emulator {__version__}, profile {server.settings.profile}, seed {server.seed}",
            f"  base URL   {server.base_url}",
            f"  endpoints  {', '.join(ids)}",
            f"  API page   {server.base_url.removesuffix('/v2')}/docs",
            "",
            f"  export RUNPOD_ENDPOINT_BASE_URL={server.base_url}",
            f"  curl -s {server.base_url}/{example}/runsync{key} -H 'Content-Type: application/json'"
            """ -d '{"input": {"message": "hello"}}'""",
            "",
        )
    )


def print_fields(platform: Platform) -> None:
    """Every field: its value, unit and evidence, and the other preset's value where that differs."""
    from rich.table import Table

    table = Table(title="runpod-emulator fields")
    table.add_column("field", no_wrap=True, min_width=max(len(field.name) for field in dataclasses.fields(platform)))
    for heading in ("value", "evidence", "documented preset", "why"):
        table.add_column(heading, overflow="fold")
    for field in dataclasses.fields(platform):
        source = source_of(field.name)
        value = f"{as_text(getattr(platform, field.name))} {source.unit}".strip()
        other = "" if source.documented is None else as_text(source.documented) or '""'
        table.add_row(field.name, value, platform.evidence_of(field.name).label, other, source.text)
    _print(table)


def print_config(settings: Settings) -> None:
    """What every option comes to, for the server and then for each endpoint where it differs; and who says so.

    Raises ConfigurationError when they could not be served.
    """
    from rich.table import Table

    plans = plan_all(settings)
    table = Table(title=str(settings.file.path) if settings.file else "no configuration file")
    for heading in ("option", "value", "from"):
        table.add_column(heading, overflow="fold")
    for name in all_options():
        table.add_row(name, *_told(settings, name))
    for plan in plans:
        endpoint = plan.settings.id
        table.add_section()
        table.add_row(f"endpoint {endpoint}", str(plan.service), "")
        for name in EndpointOptions.model_fields:
            told = _told(settings, name, endpoint)
            if told != _told(settings, name):
                table.add_row(f"  {name}", *told)
    _print(table)


def _told(settings: Settings, name: str, endpoint: str = "") -> tuple[str, str]:
    """The value of an option as text, and where it comes from."""
    value, origin = settings.effective(name, endpoint)
    if name == "environment":
        value = settings.environment_of(endpoint)
    if value is None and name in changed_fields(settings.platform()):
        value = getattr(settings.platform(), name)
    return "" if value is None else as_text(value), origin


def _print(table: Table) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH).print(table)
