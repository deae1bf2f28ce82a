"""What all commands of the client have in common: the options that name a server, and what a shell completes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

from runpod_emulator.cli.client.calls import Calls
from runpod_emulator.cli.client.target import Options, find

_OPTIONS = (
    click.option("--port", type=click.IntRange(1, 65535), help="The emulator on this port of this machine."),
    click.option(
        "--url", metavar="URL", help="The server. [RUNPOD_ENDPOINT_BASE_URL, else the emulator that runs here]"
    ),
    click.option("--namespace", metavar="NAME", help="The emulator's namespace."),
    click.option("--api-key", metavar="KEY", help="The key of clients. [RUNPOD_API_KEY]"),
    click.option("--admin-key", metavar="KEY", help="Of an emulator that asks for one. [RUNPOD_EMULATOR_ADMIN_KEY]"),
    click.option(
        "--ca-file", metavar="FILE", help="What an https:// server is trusted by. [that of 'runpod-emulator tls']"
    ),
)
_OF_SERVER = Options._fields


def asks_server(function: Callable[..., None]) -> Callable[..., None]:
    """A command that is given the server's `Calls` first."""

    @functools.wraps(function)
    def asking(**given: Any) -> None:
        options = Options(**{name: given.pop(name) for name in _OF_SERVER})
        function(Calls(find(options)), **given)

    for option in reversed(_OPTIONS):
        asking = option(asking)
    return asking


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  runpod-emulator {line}" for line in lines)


as_json = click.option("--json", "as_json", is_flag=True, help="Print the server's answer as JSON.")
raw = click.option("-r", "--raw", is_flag=True, help="Print a text as what it says, not as JSON.")
timeout = click.option(
    "-t", "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Wait no longer; the job goes on."
)


def endpoints_begun(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The endpoints of a running emulator, for a shell."""
    return _completed(context, begun, lambda calls: [one["id"] for one in calls.admin("GET", "endpoints")])


def jobs_begun(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The newest jobs of a running emulator, for a shell."""

    def newest(calls: Calls) -> list[str]:
        told = calls.admin("GET", "jobs", query={"limit": 50})
        return [f"{job['endpoint']}/{job['id']}" for job in told["jobs"]]

    return _completed(context, begun, newest)


def _completed(context: click.Context, begun: str, names: Callable[[Calls], list[str]]) -> list[CompletionItem]:
    try:
        options = Options(**{name: context.params.get(name) for name in _OF_SERVER})
        return [CompletionItem(name) for name in names(Calls(find(options))) if name.startswith(begun)]
    except Exception:  # a shell that completes shows no errors
        return []
