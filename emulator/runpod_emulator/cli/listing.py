"""What the command line prints: the banner and the table of fields."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from runpod_emulator import __version__
from runpod_emulator.config.options import EndpointOptions, all_options, default_text
from runpod_emulator.config.plans import Plan, plan_all
from runpod_emulator.config.settings import DEFAULT, OF_PLATFORM, Settings
from runpod_emulator.core.platform import Platform, source_of
from runpod_emulator.core.secrets.masks import Masks, masked, masked_variable
from runpod_emulator.core.secrets.shown import block, visible
from runpod_emulator.values import as_text
from runpod_emulator.workers.sdk import sdk_rules

if TYPE_CHECKING:
    from rich.table import Table

    from runpod_emulator.server.server import Server


_PIPED_WIDTH = 200
"""Columns of a table that nobody sees in a terminal, so that a row stays on its line."""


def banner(server: Server) -> str:
    """Where the server is and how to call it."""
    ids = list(server.emulator.endpoints.queues)
    balanced = list(server.emulator.endpoints.balancers)
    root = server.base_url.removesuffix("/v2")
    key = _key_header(server.settings, server.key)
    example = "echo" if "echo" in ids else next(iter(ids), "")
    body = """-H 'Content-Type: application/json' -d '{"input": {"message": "hello"}}'"""
    call = f"{server.base_url}/{example}/runsync{key} {body}" if ids else f"{root}/lb/{balanced[0]}/ping{key}"
    return "\n".join(
        visible(line)
        for line in (
            f"runpod-emulator {__version__}, profile {server.settings.profile}, seed {server.seed}",
            f"  base URL   {server.base_url}",
            *_https(server),
            *([f"  config     {server.settings.file.path}"] if server.settings.file else []),
            *([f"  endpoints  {', '.join(ids)}"] if ids else []),
            *_rules(server),
            *(f"  balancer   {root}/lb/{one}/ or host {one}.*" for one in balanced),
            f"  API page   {root}/docs",
            *([f"  API key    {masked(server.key)}, which is $RUNPOD_API_KEY below"] if "$" in key else []),
            "",
            f"  export RUNPOD_ENDPOINT_BASE_URL={server.base_url}",
            f"  curl -s {call}",
            "",
        )
    )


def _key_header(settings: Settings, key: str) -> str:
    """The words of curl for a key; one of the user's own is not printed."""
    if settings.no_auth:
        return ""
    return ' -H "Authorization: Bearer $RUNPOD_API_KEY"' if settings.api_key else f" -H 'Authorization: Bearer {key}'"


def ready_line(server: Server) -> str:
    """That everything is up, or, with --reload, what is broken as it is."""
    broken = server.broken
    broken_ones = "; ".join(f"{visible(service)} is broken: {block(reason)}" for service, reason in broken.items())
    return f"Ready, but {broken_ones}" if broken else "Ready."


def _rules(server: Server) -> list[str]:
    """Whose rules worker processes keep: one line, or one for each endpoint where they differ."""
    rules_of = {plan.settings.id: sdk_rules(plan.python, plan.rules) for plan in server.process_plans}
    if len(set(rules_of.values())) > 1:
        return [f"  SDK rules  {rules} for {endpoint}" for endpoint, rules in rules_of.items()]
    return [f"  SDK rules  {rules}" for rules in set(rules_of.values())]


def _https(server: Server) -> list[str]:
    """The lines of the banner on HTTPS: where it is served, and what it is good for."""
    if server.tls_base_url is None:
        return []
    folder = server.settings.tls_folder
    option = f" --tls-folder {shlex.quote(str(folder))}" if folder else ""
    return [
        f"  HTTPS      {server.tls_base_url}, or https://api.localhost:{server.tls_port}/v2",
        f'             which a shell\'s clients trust after: eval "$(runpod-emulator tls --format shell{option})"',
        "             A 429 of a GET: over HTTPS the official Python client raises it at once, as in production;",
        "             over HTTP it tries again for up to 30 s.",
    ]


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
