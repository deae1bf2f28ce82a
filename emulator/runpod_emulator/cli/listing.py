"""What the command line prints on demand: how clients trust the CA, the tables of fields and of options."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runpod_emulator.config.options import EndpointOptions, all_options, default_text
from runpod_emulator.config.plans import Plan, plan_all
from runpod_emulator.config.settings import DEFAULT, OF_PLATFORM, Settings
from runpod_emulator.core.platform import Platform, source_of
from runpod_emulator.core.secrets.masks import Masks, masked, masked_variable
from runpod_emulator.core.secrets.shown import visible
from runpod_emulator.values import as_text

if TYPE_CHECKING:
    from rich.table import Table


_PIPED_WIDTH = 200
"""Columns of a table that nobody sees in a terminal, so that a row stays on its line."""


def tls_page(ca_file: Path, port: int) -> str:
    """Where the local CA is, how clients trust it, and which names reach the server."""
    from runpod_emulator.server.tls import ADDING, REPLACING, trust

    number = port or "PORT"
    lines = [
        f"CA file    {ca_file}",
        "",
        "Clients trust it by these variables, in the shell that they start from:",
        *(f"  {line}" for line in exports(trust(ca_file))),
        f"{', '.join(REPLACING)} replace the trust of the system: while they are set,",
        f"those programs trust no other HTTPS server. {', '.join(ADDING)} adds to it.",
        "",
        "Base URL while `runpod-emulator serve --tls` runs:",
        f"  https://127.0.0.1:{number}/v2",
        f"  https://api.localhost:{number}/v2   for clients that make https://ENDPOINT.api.localhost:{number} of it",
        "",
        "Where the system does not find *.localhost (glibc without nss-myhostname), write into /etc/hosts:",
        "  127.0.0.1 api.localhost ENDPOINT.api.localhost",
    ]
    return "\n".join(lines)


def exports(variables: dict[str, str]) -> list[str]:
    """Lines that a shell evaluates."""
    return [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]


def print_fields(platform: Platform) -> None:
    """Every field: its value, unit and evidence, and the other preset's value where that differs."""
    from rich.table import Table

    table = Table(title="runpod-emulator fields")
    table.add_column("field", no_wrap=True, min_width=max(len(field.name) for field in dataclasses.fields(platform)))
    for heading in ("value", "evidence", "documented preset", "why"):
        table.add_column(heading, overflow="fold")
    for field in dataclasses.fields(platform):
        source = source_of(field.name)
        value = visible(f"{as_text(getattr(platform, field.name))} {source.unit}".strip())
        other = "" if source.documented is None else as_text(source.documented) or '""'
        table.add_row(field.name, value, platform.evidence_of(field.name).label, other, source.text)
    _print(table)


def print_config(settings: Settings) -> None:
    """What every option comes to, for the server and then for each endpoint where it differs; and who says so.

    Raises ConfigurationError when they could not be served.
    """
    from rich.table import Table

    plans = plan_all(settings)
    title = str(settings.file.path) if settings.file else "no configuration file"
    table = Table(title=_cell(title))
    for heading in ("option", "value", "from"):
        table.add_column(heading, overflow="fold")
    for name in all_options():
        table.add_row(name, *map(_cell, _value_and_origin(settings, name)))
    for plan in plans:
        table.add_section()
        service = Masks(settings.secrets).text(str(plan.service))
        table.add_row(_cell(f"endpoint {plan.settings.id}"), _cell(service), "")
        for name in EndpointOptions.model_fields:
            own = _value_in_endpoint(settings, name, plan)
            if own != _value_and_origin(settings, name):
                table.add_row(f"  {name}", *map(_cell, own))
    _print(table)


def _cell(text: str) -> str:
    """Text of the user's for a table."""
    from rich.markup import escape

    return escape(visible(text))


def _value_and_origin(settings: Settings, name: str, endpoint: str | None = None) -> tuple[str, str]:
    """The value of an option as text, and where it comes from."""
    if name == "environment":
        variables = settings.variables_of(endpoint)
        origins = dict.fromkeys(variable.origin for variable in variables.values()) or {DEFAULT: None}
        masks = Masks(settings.secrets)
        shown = {name: masked_variable(name, masks.text(variable.value)) for name, variable in variables.items()}
        return as_text(shown), ", ".join(origins)
    value, origin = settings.effective(name, endpoint)
    if value is None and name in OF_PLATFORM:
        value = getattr(settings.platform(), name)
    if value and name in ("api_key", "worker_key", "admin_key"):
        return as_text([masked(key) for key in value]), origin
    text = default_text(all_options()[name]) if value is None else as_text(value)
    return Masks(settings.secrets).text(text), origin


def _value_in_endpoint(settings: Settings, name: str, plan: Plan) -> tuple[str, str]:
    """The value of an option for one endpoint, whose variables may say it too, and where it comes from."""
    variables = settings.variables_of(plan.settings.id)
    if name == "init_timeout" and "RUNPOD_INIT_TIMEOUT" in variables:
        return as_text(plan.settings.init_timeout), variables["RUNPOD_INIT_TIMEOUT"].origin
    return _value_and_origin(settings, name, plan.settings.id)


def _print(table: Table) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH).print(table)
