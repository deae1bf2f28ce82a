"""The commands that ask a running server about itself."""

from __future__ import annotations

import shlex
import sys

import click


@click.command()
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


@click.command(name="worker-env")
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
