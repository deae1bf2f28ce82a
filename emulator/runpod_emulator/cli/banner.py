"""What `serve` and `dev` print: the banner, that everything is up, and what a stop leaves unfinished."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from runpod_emulator import __version__
from runpod_emulator.config.examples import FALLBACK, example_of
from runpod_emulator.config.plans import Plan
from runpod_emulator.config.settings import Settings
from runpod_emulator.core.jobs.ids import SYNC
from runpod_emulator.core.secrets.masks import masked
from runpod_emulator.core.secrets.shown import block, visible
from runpod_emulator.core.store_errors import Unavailable
from runpod_emulator.workers.sdk import sdk_rules

if TYPE_CHECKING:
    from runpod_emulator.server.server import Server

_ENDPOINTS = 24
"""Endpoints that are listed; the page lists them all."""
_ABANDONED = 5
"""Jobs that a stop names."""
_LOOKED_THROUGH = 10_000
"""Jobs of an endpoint among which a stop looks for unfinished ones."""
_SHORT_ID = 4
"""Characters of a job's id by which a stop names it."""
_COLUMN = 11
_COLUMNS = 80


class _Row(NamedTuple):
    """One endpoint as the banner lists it."""

    id: str
    kind: str
    code: str
    workers: str


def banner(server: Server, colored: bool = False) -> str:
    """Where the server is, what it serves and how to call it; a line has at most 80 columns where names allow it."""
    ids = list(server.emulator.endpoints.queues)
    root = server.base_url.removesuffix("/v2")
    key = _key_header(server.settings, server.key)
    title = f"runpod-emulator {__version__}, profile {server.settings.profile}, seed {server.seed}"
    lines = [
        _line("base URL", server.base_url),
        _line("page", f"{root}/"),
        _line("admin API", f"{root}/__emulator"),
        _line("API docs", f"{root}/docs"),
        *_https(server),
        *_proxy(server),
        *_store(server),
        *([_line("config", str(server.settings.file.path))] if server.settings.file else []),
        *([_line("API key", f"{masked(server.key)}, which is $RUNPOD_API_KEY below")] if "$" in key else []),
        "",
        *_endpoints(server, root),
        *_interpreters(server),
        *_watched(server),
        *_debuggers(server),
        "",
        f"  export RUNPOD_ENDPOINT_BASE_URL={server.base_url}",
        *_call(server, ids, root, key),
        "",
    ]
    shown = [visible(line) for line in lines]
    if not colored:
        return "\n".join((visible(title), *shown))
    return "\n".join((click.style(visible(title), bold=True), *map(_coloured, shown)))


def ready_line(server: Server) -> str:
    """That everything is up, or, with --reload, what is broken as it is."""
    broken = server.broken
    broken_ones = "; ".join(f"{visible(service)} is broken: {block(reason)}" for service, reason in broken.items())
    end = "" if broken_ones.endswith((".", "!", "?")) else "."
    return f"Ready, but {broken_ones}{end}" if broken else "Ready."


async def farewell(server: Server) -> str:
    """That the server stops, and which jobs it leaves unfinished, or keeps: over a shared store those that run here."""
    jobs: list[str] = []
    owner = None if server.shared is None else server.shared.owner
    with suppress(Unavailable):
        for world in server.worlds:
            for endpoint in world.endpoints.queues if world.store.has_work() else ():
                found, _ = await world.store.recent(endpoint, 0, _LOOKED_THROUGH)
                unfinished = (job for job in reversed(found) if not job.status.terminal)
                left = (job for job in unfinished if owner is None or job.owner == owner)
                jobs += [f"{endpoint} {job.id.removeprefix(SYNC)[:_SHORT_ID]}" for job in left]
    if not jobs:
        return "Stopping."
    more = f", and {len(jobs) - _ABANDONED} more" if len(jobs) > _ABANDONED else ""
    what = "1 job" if len(jobs) == 1 else f"{len(jobs)} jobs"
    file = server.settings.state
    end = "given back to the store" if owner else "abandoned" if file is None else f"kept in {file}"
    return visible(f"Stopping: {what} {end} ({', '.join(jobs[:_ABANDONED])}{more})")


def _line(name: str, text: str) -> str:
    return f"  {name.ljust(_COLUMN - 1)} {text}"


def _coloured(line: str) -> str:
    """A line for people: its name dimmed, what is to be opened or pasted stands out."""
    name, rest = line[: _COLUMN + 2], line[_COLUMN + 2 :]
    if not line:
        return line
    if line.startswith(("  export ", "  curl ", "    -")):
        return click.style(line, fg="cyan")
    if name.strip() in ("base URL", "page"):
        rest = click.style(rest, bold=True)
    return click.style(name, dim=True) + rest


def _endpoints(server: Server, root: str) -> Iterator[str]:
    rows = list(_rows(server, root))
    widths = [max((len(row[at]) for row in rows[:_ENDPOINTS]), default=0) for at in range(len(_Row._fields))]
    if _COLUMN + sum(2 + width for width in widths) > _COLUMNS:
        widths[2] = 0
    for at, row in enumerate(rows[:_ENDPOINTS]):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield _line("" if at else "endpoints", "  ".join(cells).rstrip())
    if len(rows) > _ENDPOINTS:
        yield _line("", f"and {len(rows) - _ENDPOINTS} more, which the page lists")


def _rows(server: Server, root: str) -> Iterator[_Row]:
    plans = {plan.settings.id: plan for plan in server.plans}
    endpoints = server.emulator.endpoints
    for one, endpoint in endpoints.items():
        plan, settings = plans.get(one), endpoint.settings
        workers = f"{settings.workers_min}-{settings.workers_max} workers" if settings.starts_workers else ""
        if one in endpoints.balancers:
            yield _Row(one, "load balancer", f"{root}/lb/{one}/ or host {one}.*", workers)
        elif plan is None or plan.service.mock:
            yield _Row(one, "mock", "stubs" if plan is None else str(plan.service), "")
        else:
            kind = "handler" if plan.service.handler else "command" if plan.service.command else "elsewhere"
            yield _Row(one, kind, server.masks.text(_code(plan)), workers)


def _code(plan: Plan) -> str:
    handler = plan.service.handler
    if handler and os.path.isabs(handler) and plan.service.resource is None:
        return _from_here(handler)
    return str(plan.service)


def _from_here(path: str) -> str:
    """A path as people write it: from the working directory where it is below that."""
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative


def _interpreters(server: Server) -> list[str]:
    """Which interpreter runs handlers, and by whose rules: once, or for each endpoint where they differ."""
    found = {
        plan.settings.id: f"{_home(plan.python)}, SDK rules {sdk_rules(plan.python, plan.rules)}"
        for plan in server.process_plans
    }
    if len(set(found.values())) > 1:
        return [_line("python", f"{text} for {endpoint}") for endpoint, text in found.items()]
    return [_line("python", text) for text in set(found.values())]


def _home(path: str) -> str:
    home = str(Path.home())
    return f"~{path.removeprefix(home)}" if home != "/" and path.startswith(f"{home}/") else path


def _store(server: Server) -> list[str]:
    """Where jobs are kept that others may share."""
    if server.shared is None:
        return []
    address = server.shared.address
    return [_line("store", f"{address.shown}, keys begin with {address.prefix}")]


def _watched(server: Server) -> list[str]:
    """What is in use as soon as it is saved."""
    settings = server.settings
    folders: Iterable[str] = ()
    if settings.reload:
        found = (folder for plan in server.plans for folder in _folders(plan))
        folders = dict.fromkeys(f"{_from_here(folder)}/".removeprefix("./") or "./" for folder in found)
    files = [*folders, *(str(path) for path in settings.stubs)]
    return [_line("watched", ", ".join(files))] if files else []


def _folders(plan: Plan) -> list[str]:
    """Where an endpoint's own code is: of a command, the folders of the Python files that it names."""
    if plan.service.handler:
        return [plan.folder]
    scripts = [word for word in plan.service.command if word.endswith(".py")]
    return [os.path.dirname(os.path.abspath(os.path.join(plan.directory or "", script))) for script in scripts]


def _debuggers(server: Server) -> list[str]:
    """Where an editor may attach."""
    debugged = [plan for plan in server.plans if plan.debug_port]
    return [_line("debugger", f"127.0.0.1:{plan.debug_port} for {plan.settings.id}") for plan in debugged]


def _call(server: Server, ids: list[str], root: str, key: str) -> list[str]:
    """A call that can be pasted into a shell."""
    headers = [key] if key else []
    if not ids:
        balanced = next(iter(server.emulator.endpoints.balancers), "")
        return _continued([f"curl -s {root}/lb/{balanced}/ping", *headers]) if balanced else []
    endpoint = "echo" if "echo" in ids else ids[0]
    body = f"-d {shlex.quote(_body(server, endpoint))}"
    return _continued(
        [f"curl -s {server.base_url}/{endpoint}/runsync", *headers, "-H 'Content-Type: application/json'", body]
    )


def _continued(parts: list[str]) -> list[str]:
    """The words of a command, on lines that a shell joins."""
    lines = [f"  {parts[0]}", *(f"    {part}" for part in parts[1:])]
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def _body(server: Server, endpoint: str) -> str:
    """The body of a request with the endpoint's own example, but for one that holds a secret."""
    plan = next((plan for plan in server.plans if plan.settings.id == endpoint), None)
    example = None if plan is None else example_of(plan.service, plan.directory)
    text = json.dumps({"input": example or FALLBACK}, ensure_ascii=False)
    text = text if text.isprintable() else json.dumps({"input": example or FALLBACK})
    return text if server.masks.text(text) == text else json.dumps({"input": FALLBACK})


def _key_header(settings: Settings, key: str) -> str:
    """The words of curl for a key; one of the user's own is not printed."""
    if settings.no_auth:
        return ""
    return '-H "Authorization: Bearer $RUNPOD_API_KEY"' if settings.api_key else f"-H 'Authorization: Bearer {key}'"


def _trusting(server: Server) -> str:
    """What is pasted into a shell whose clients are to trust the server."""
    folder = server.settings.tls_folder
    option = f" --tls-folder {shlex.quote(str(folder))}" if folder else ""
    return f'eval "$(runpod-emulator tls --format shell{option})"'


def _proxy(server: Server) -> list[str]:
    """The lines of the banner on the proxy: whom it takes here, and how a shell's clients go through it."""
    if server.proxy_url is None:
        return []
    return [
        _line("proxy", f"{server.proxy_url}, by which https://api.runpod.ai/v2 leads here after:"),
        _line("", f"export HTTPS_PROXY={server.proxy_url} NODE_USE_ENV_PROXY=1"),
        _line("", _trusting(server)),
    ]


def _https(server: Server) -> list[str]:
    """The lines of the banner on HTTPS: where it is served, and what it is good for."""
    if server.tls_base_url is None:
        return []
    return [
        _line("HTTPS", f"{server.tls_base_url}, or https://api.localhost:{server.tls_port}/v2"),
        _line("", f"which a shell's clients trust after: {_trusting(server)}"),
        _line("", "A 429 of a GET: over HTTPS the official Python client raises it at once, as in production;"),
        _line("", "over HTTP it tries again for up to 30 s."),
    ]
