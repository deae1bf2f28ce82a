"""What an emulator is told: stubs, faults, time, and to forget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from runpod_emulator.cli.client import asked
from runpod_emulator.cli.client.asked import asks_server, endpoints_begun, examples
from runpod_emulator.cli.client.calls import Calls, quoted
from runpod_emulator.cli.client.ends import Refused, WrongUse
from runpod_emulator.cli.client.lines import time_of
from runpod_emulator.cli.client.shown import print_json, print_table, say

_TEXTS = ("endpoint", "id")
"""Members of a fault that are texts, whatever they look like."""


@click.command(epilog=examples("stub stubs.yaml", "stub --clear stubs/", "stub"))
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE...]")
@click.option("--clear", is_flag=True, help="Drop all that there are first.")
@asked.as_json
@asks_server
def stub(calls: Calls, files: tuple[Path, ...], clear: bool, as_json: bool) -> None:
    """Add stubs and faults of files, or list the stubs.

    A FILE is one of 'serve --stubs', or a folder of them. A stub whose id is there replaces that one.
    """
    written = _written(files) if files else ([], [])
    if clear:
        calls.admin("DELETE", "stubs")
        say("dropped every stub")
    if files:
        _add(calls, *written, as_json)
    elif not clear:
        _list_stubs(calls, as_json)


def _written(files: tuple[Path, ...]) -> tuple[list[Any], list[Any]]:
    """The stubs and the faults of files, as they were written; raises ConfigurationError with file and line."""
    from runpod_emulator.mocking.files import read_stub_files
    from runpod_emulator.mocking.start import read_mocking

    read_mocking(files, [])
    found = read_stub_files(files)
    return [one.source for one in found.stubs], [one.content for one in found.faults]


def _add(calls: Calls, stubs: list[Any], faults: list[Any], as_json: bool) -> None:
    before = {str(one["id"]) for one in calls.admin("GET", "endpoints")}
    ids = {
        kind: calls.admin("POST", kind, several)["ids"]
        for kind, several in (("stubs", stubs), ("faults", faults))
        if several
    }
    after = {str(one["id"]) for one in calls.admin("GET", "endpoints")}
    if as_json:
        print_json(ids)
    for kind, added in ids.items():
        say(f"added {len(added)} {kind if len(added) != 1 else kind[:-1]}: {', '.join(map(str, added))}")
    if after - before:
        say(f"served from now on, by stubs alone: {', '.join(sorted(after - before))}")
    _warn_of_unserved(stubs, after)


def _warn_of_unserved(stubs: list[Any], endpoints: set[str]) -> None:
    """Say which stubs have nothing to answer."""
    from runpod_emulator.core.mocks.stubs import fits

    patterns = dict.fromkeys(str(one.get("endpoint", "*")) for one in stubs)
    for pattern in patterns:
        if any(fits(pattern, name) for name in endpoints):
            continue
        if not endpoints:
            say(f"No endpoint is served: a stub for {pattern!r} answers nobody. Name one in it, as in 'endpoint: llm'.")
        else:
            say(f"No endpoint fits {pattern!r}: such a stub answers nobody. Served are {', '.join(sorted(endpoints))}.")


def _list_stubs(calls: Calls, as_json: bool) -> None:
    told = calls.admin("GET", "stubs")
    if as_json:
        print_json(told)
        return
    rows = ([str(one.get(name, "")) for name in ("id", "asked", "matched", "played", "place")] for one in told)
    print_table(("id", "asked", "matched", "played", "written in"), rows)


def _faults_begun(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The kinds of faults, and the profiles, for a shell."""
    from runpod_emulator.core.mocks.fault_kinds import FaultKind
    from runpod_emulator.mocking.profiles import PROFILES

    names = [*(one.value for one in FaultKind), *PROFILES]
    return [CompletionItem(name) for name in names if name.startswith(begun)]


@click.command(
    epilog=examples(
        "fault status status=429 operations='[\"run\"]' times=2", "fault flaky-network", "fault", "fault --clear"
    )
)
@click.argument("name", required=False, shell_complete=_faults_begun)
@click.argument("words", nargs=-1, metavar="[FIELD=VALUE...]")
@click.option("--clear", is_flag=True, help="Drop all that there are first.")
@asked.as_json
@asks_server
def fault(calls: Calls, name: str | None, words: tuple[str, ...], clear: bool, as_json: bool) -> None:
    """Add a fault or a profile of them, or list them.

    NAME is a kind of fault, whose fields follow, or a profile.
    """
    if clear:
        calls.admin("DELETE", "faults")
        say("dropped every fault")
    if name is not None:
        ids = _add_fault(calls, name, words)
        if as_json:
            print_json({"ids": ids})
        say(f"added {', '.join(map(str, ids))}")
    elif not clear:
        _list_faults(calls, as_json)


def _add_fault(calls: Calls, name: str, words: tuple[str, ...]) -> list[Any]:
    from runpod_emulator.core.mocks.fault_kinds import FaultKind

    kinds = [one.value for one in FaultKind]
    if name in kinds:
        told = calls.admin("POST", "faults", {"fault": name, **dict(map(_field, words))})
    elif words:
        raise WrongUse(f"there is no kind of fault {name!r}: there are {', '.join(kinds)}")
    else:
        try:
            told = calls.admin("POST", f"faults/profiles/{quoted(name)}", {})
        except Refused as error:
            if error.status != 400:
                raise
            raise WrongUse(f"{error.detail}; and the kinds {', '.join(kinds)}") from error
    return list(told["ids"])


def _field(word: str) -> tuple[str, Any]:
    name, equals, text = word.partition("=")
    if not name or not equals:
        raise WrongUse(f"{word!r}: write FIELD=VALUE")
    if name in _TEXTS:
        return name, text
    try:
        return name, json.loads(text)
    except (ValueError, RecursionError):
        return name, text


def _list_faults(calls: Calls, as_json: bool) -> None:
    told = calls.admin("GET", "faults")
    if as_json:
        print_json(told)
        return
    rows = ([str(one.get(name, "")) for name in ("id", "fault", "asked", "struck")] for one in told)
    print_table(("id", "kind", "asked", "struck"), rows)


@click.command(epilog=examples("advance 10m", "advance --until-idle"))
@click.argument("by", required=False, metavar="[TIME]")
@click.option("--until-idle", is_flag=True, help="Until no job waits or runs, and no webhook is owed.")
@asked.as_json
@asks_server
def advance(calls: Calls, by: str | None, until_idle: bool, as_json: bool) -> None:
    """Move the virtual clock on.

    TIME is 1500 (ms), 2s, 10m or 24h. The server was started with --clock virtual.
    """
    if (by is None) != until_idle:
        raise WrongUse("say how far: a time such as 10m, or --until-idle")
    if by is not None:
        _check_time(by)
    told = (
        calls.admin("POST", "clock/run-until-idle", {})
        if by is None
        else calls.admin("POST", "clock/advance", {"by": by})
    )
    if as_json:
        print_json(told)
    fired = len(told.get("fired", []))
    say(f"it is {time_of(told.get('now'))} now; {fired} {'deadline' if fired == 1 else 'deadlines'} passed")


def _check_time(text: str) -> None:
    from runpod_emulator.values import milliseconds

    try:
        milliseconds(text)
    except ValueError as error:
        raise WrongUse(f"{text!r}: {error}") from error


@click.command(epilog=examples("reset", "reset echo"))
@click.argument("endpoint", required=False, shell_complete=endpoints_begun)
@asks_server
def reset(calls: Calls, endpoint: str | None) -> None:
    """Forget jobs, requests, stubs and faults.

    All is as at the start of the emulator; with ENDPOINT only its jobs and requests are forgotten.
    """
    calls.admin("POST", "reset", {"endpoint": endpoint} if endpoint else {})
    say(f"forgot the jobs and requests of {endpoint}" if endpoint else "forgot everything since the start")
