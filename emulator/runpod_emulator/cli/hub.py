"""The command that plays a file of tests on a handler."""

from __future__ import annotations

import asyncio
import fnmatch
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from runpod_emulator.cli.running import ServerCommand
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.secrets.shown import visible

if TYPE_CHECKING:
    from runpod_emulator.cli.once import Calls
    from runpod_emulator.config.hub_tests import HubTest, HubTests

Judge = Literal["strict", "harness", "documented"]

CONVENTIONS = (
    "handler.py", "src/handler.py", "rp_handler.py", "src/rp_handler.py", "app/handler.py", "worker/handler.py",
    "main.py", "src/main.py", "app.py", "src/app.py",
)  # fmt: skip
"""Where the handler of a repository is, in this order, unless its Dockerfile says so."""
_SCRIPT = re.compile(r"[\w./-]+\.py\b")
_SHOWN = 300
"""Characters of a problem in the table; the JUnit file has more."""


class Verdict(NamedTuple):
    """How one test went; `problem` is empty for one that has passed."""

    name: str
    problem: str
    milliseconds: int


@click.command(cls=ServerCommand)
@click.argument("file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@click.option("--handler", metavar="HANDLER", help="The handler. [found by convention: see below]")
@click.option("-k", "pattern", metavar="PATTERN", default="", help="Only tests whose name holds this; * and ? fit any.")
@click.option("--junit", metavar="FILE", type=click.Path(path_type=Path), help="Write a report in JUnit's XML too.")
@click.option(
    "--judge", type=click.Choice(["strict", "harness", "documented"]), default="strict", show_default=True,
    help="What passes: strict is a job that is COMPLETED in time with the expected output; harness all but FAILED, as "
    "RunPod's Hub does it; documented whatever is answered with 200, as RunPod's documentation says.",
)  # fmt: skip
def test(
    file: Path | None, handler: str | None, pattern: str, junit: Path | None, judge: Judge, **options: Any
) -> None:
    """Play the tests of FILE on the handler: a .runpod/tests.json of RunPod's Hub, or a test_input.json.

    Without FILE it is .runpod/tests.json, test_input.json or src/test_input.json. The handler is the file that the
    Dockerfile starts, or handler.py, src/handler.py, rp_handler.py, main.py and the like. Exits with 1 when a test
    fails, 2 when they can't be played.

    \b
    runpod-emulator test
    runpod-emulator test .runpod/tests.json --handler src/handler.py --junit report.xml
    runpod-emulator test -k "small*" --judge harness
    """
    from runpod_emulator.cli.once import own_server
    from runpod_emulator.config.hub_tests import find_tests, read_tests
    from runpod_emulator.server.loop import run as run_loop

    found = read_tests(file or find_tests(Path()))
    chosen = [one for one in found.tests if _fits(one.name, pattern)]
    if not chosen:
        names = ", ".join(one.name for one in found.tests)
        raise ConfigurationError(f"{found.path}: no test is called like {pattern!r}: {names}")
    endpoints, served = _served(found, chosen, handler, options)
    server = own_server(served)
    verdicts = run_loop(_play(server, [(one, endpoints[one.arguments]) for one in chosen], judge))
    _print(found.path, [one._replace(problem=server.masks.text(one.problem)) for one in verdicts])
    if junit is not None:
        from runpod_emulator.cli.junit import write_report

        write_report(junit, str(found.path), verdicts, server.masks.text)
    sys.exit(1 if len(verdicts) < len(chosen) or any(one.problem for one in verdicts) else 0)


def _fits(name: str, pattern: str) -> bool:
    if set(pattern) & set("*?["):
        return fnmatch.fnmatchcase(name.lower(), pattern.lower())
    return pattern.lower() in name.lower()


def _served(
    found: HubTests, chosen: Sequence[HubTest], handler: str | None, options: dict[str, Any]
) -> tuple[dict[tuple[str, ...], str], dict[str, Any]]:
    """The endpoint for each list of arguments, and the options that serve them."""
    file = handler or _handler_of(_root(found.path))
    environment = [f"{name}={value}" for name, value in found.environment.items()]
    served = {**options, "environment": (*environment, *(options.get("environment") or ()))}
    every = dict.fromkeys(one.arguments for one in chosen)
    endpoints = {arguments: "handler" if at == 0 else f"handler-{at + 1}" for at, arguments in enumerate(every)}
    python = str(options.get("python") or sys.executable)
    commands = [
        f"{endpoint}={shlex.join([python, '-u', file, *arguments])}"
        for arguments, endpoint in endpoints.items()
        if arguments
    ]
    plain = [f"{endpoint}={file}" for arguments, endpoint in endpoints.items() if not arguments]
    return endpoints, {**served, "endpoint": tuple(plain), "command": tuple(commands)}


def _root(path: Path) -> Path:
    """The folder of the repository that a file of tests belongs to."""
    return path.parent.parent if path.parent.name in (".runpod", ".github") else path.parent


def _handler_of(root: Path) -> str:
    """The handler's file, by the Dockerfile or else by its name; raises ConfigurationError."""
    named: list[str] = []
    for dockerfile in (root / "Dockerfile", root / ".runpod" / "Dockerfile"):
        if dockerfile.is_file():
            lines = dockerfile.read_text("utf-8", "replace").splitlines()
            starts = [line for line in lines if line.strip().upper().startswith(("CMD", "ENTRYPOINT"))]
            named += [script for line in starts for script in _SCRIPT.findall(line)]
    places = [place for name in named for place in (name.lstrip("/"), Path(name).name, f"src/{Path(name).name}")]
    for place in (*places, *CONVENTIONS):
        if (root / place).is_file():
            return str(root / place)
    raise ConfigurationError(f"there is no handler in {root}, such as {CONVENTIONS[0]}: name it with --handler")


async def _play(server: Any, tests: Sequence[tuple[HubTest, str]], judge: Judge) -> list[Verdict]:
    """One after the other, as RunPod plays them; fewer than there are where the user had enough."""
    from runpod_emulator.cli.once import started
    from runpod_emulator.server.loop import until_signal

    stopped = asyncio.ensure_future(until_signal())
    verdicts: list[Verdict] = []
    try:
        async with started(server, stopped) as calls:
            for one, endpoint in tests:
                verdicts.append(await _try(calls, one, endpoint, judge))
                if stopped.done():
                    break
    except asyncio.CancelledError:
        print("Stopped.", file=sys.stderr)
    return verdicts


async def _try(calls: Calls, test: HubTest, endpoint: str, judge: Judge) -> Verdict:
    from runpod_emulator.cli.once import Refused

    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        if judge == "strict":
            ended = await calls.run(endpoint, test.request, lambda chunk: None, test.timeout / 1000)
            problem = _strict_problem(test, ended)
        else:
            answer = await asyncio.wait_for(calls.post(endpoint, "runsync", test.request), _patience(test, judge))
            problem = _error_of(answer) if judge == "harness" and answer.get("status") == "FAILED" else ""
    except asyncio.TimeoutError:
        problem = f"there was no answer in {_patience(test, judge):g} s"
    except Refused as refused:
        problem = f"it was refused with {refused}"
    return Verdict(test.name, problem, round((loop.time() - began) * 1000))


def _patience(test: HubTest, judge: Judge) -> float:
    """Seconds; the harness takes the milliseconds of the file for these."""
    return float(test.timeout) if judge == "harness" else test.timeout / 1000


def _strict_problem(test: HubTest, ended: dict[str, Any]) -> str:
    from runpod_emulator.cli.once import written
    from runpod_emulator.config.hub_tests import NOTHING

    if ended["status"] != test.status:
        if ended["status"] == "CANCELLED":
            return f"it had not ended in {test.timeout / 1000:g} s"
        return f"it is {ended['status']}, not {test.status}: {_error_of(ended)}"
    if test.expected is not NOTHING and ended.get("output") != test.expected:
        return f"its output is {written(ended.get('output'))}, not {written(test.expected)}"
    return ""


def _error_of(answer: dict[str, Any]) -> str:
    from runpod_emulator.cli.run import reason_of

    return reason_of(answer.get("error")) or "no error was told"


def _print(path: Path, verdicts: Sequence[Verdict]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(visible(str(path))), title_justify="left")
    for heading, justify in (("test", "left"), ("result", "left"), ("ms", "right"), ("problem", "left")):
        table.add_column(heading, overflow="fold", justify=justify)  # type: ignore[arg-type]
    for one in verdicts:
        result = "[red]FAILED[/red]" if one.problem else "[green]passed[/green]"
        cells = escape(visible(one.name)), result, str(one.milliseconds), escape(visible(one.problem[:_SHOWN]))
        table.add_row(*cells)
    failed = sum(bool(one.problem) for one in verdicts)
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    console.print(f"{len(verdicts) - failed} passed, {failed} failed", highlight=False)
