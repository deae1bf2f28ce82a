"""The commands that print what a server would go by: certificates, fields of the platform, options."""

from __future__ import annotations

from typing import Any

import click

from runpod_emulator.cli.running import ServerCommand, settings_of


@click.command()
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


@click.command()
@click.option("--profile", type=click.Choice(["observed", "documented"]), default="observed", show_default=True)
@click.option("--set", "set_", multiple=True, metavar="FIELD=VALUE", help="Show it with this change.")
def fields(profile: str, set_: tuple[str, ...]) -> None:
    """Print every number and disputed behaviour, its evidence and what the presets make of it."""
    from runpod_emulator.cli.listing import print_fields
    from runpod_emulator.config.settings import read_settings

    print_fields(read_settings(profile=profile, set=list(set_)).platform())


@click.command(cls=ServerCommand)
@click.argument("handlers", nargs=-1)
def config(**options: Any) -> None:
    """Print what the options of serve come to, and where each value comes from; exit 2 if they could not be served."""
    from runpod_emulator.cli.listing import print_config

    print_config(settings_of(options))
