"""What an emulator has seen: `jobs`, `logs`, `requests`, and what comes from now on."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import click

from runpod_emulator.cli.client import asked
from runpod_emulator.cli.client.asked import asks_server, endpoints_begun, examples, jobs_begun
from runpod_emulator.cli.client.calls import Calls, Event, quoted
from runpod_emulator.cli.client.ends import NO_SERVER
from runpod_emulator.cli.client.envelope import duration, problem_of
from runpod_emulator.cli.client.lines import PROGRESSED, log_line, print_line, request_line, time_of, transition_line
from runpod_emulator.cli.client.live import progress_text
from runpod_emulator.cli.client.named import Name, find_job, short
from runpod_emulator.cli.client.shown import print_json, print_table, say

_HEADINGS = ("submitted", "job", "status", "waited", "ran", "worker", "retries", "error")
_SPARE = ("worker", "retries", "ran", "waited", "submitted")
_STATES = ("IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT")
_of_endpoint = click.option(
    "-e",
    "--endpoint",
    metavar="PATTERN",
    shell_complete=endpoints_begun,
    help="Of this endpoint, or of those such as 'llm-*'.",
)
_many = click.option(
    "-n", "--limit", type=click.IntRange(min=0), default=50, show_default=True, help="The last so many."
)
_LINES, _FOLLOWED = 50, 20
_tail = click.option(
    "-n",
    "--tail",
    "--limit",
    "tail",
    type=click.IntRange(min=0),
    metavar="N",
    help=f"The last so many lines first.  [default: {_LINES}, or {_FOLLOWED} with --follow]",
)


@click.command(epilog=examples("jobs", "jobs --endpoint echo --status FAILED", "jobs --follow"))
@_of_endpoint
@click.option("-s", "--status", type=click.Choice(_STATES, case_sensitive=False), help="Only those that are so now.")
@click.option("-f", "--follow", is_flag=True, help="Then print each change of a job as it comes.")
@_many
@asked.as_json
@asks_server
def jobs(calls: Calls, endpoint: str | None, status: str | None, follow: bool, limit: int, as_json: bool) -> None:
    """List jobs, the newest last."""
    events = calls.events({"kinds": "transition", "endpoint": endpoint}) if follow else None
    told = calls.admin("GET", "jobs", query={"endpoint": endpoint, "status": status, "limit": limit})
    found = list(reversed(told.get("jobs", [])))
    if as_json:
        _print_all(found, told, follow)
    elif found or not follow:
        print_table(_HEADINGS, map(_job_row, found), _SPARE)
    if events is not None:
        _follow(events, "transition", lambda change: transition_line(change, _what(calls, change)), as_json)


@click.command(epilog=examples("logs", "logs -f echo", "logs -f --tail 0", "logs 8881"))
@click.argument("what", required=False, metavar="[ENDPOINT|JOB]", shell_complete=jobs_begun)
@click.option("-f", "--follow", is_flag=True, help="Then print each line as it comes.")
@_tail
@asked.as_json
@asks_server
def logs(calls: Calls, what: str | None, follow: bool, tail: int | None, as_json: bool) -> None:
    """Print what workers have printed.

    They are all workers of the emulator, or those of ENDPOINT, or those that had JOB.
    """
    endpoint, job = _meant(calls, what)
    events = calls.events({"kinds": "log", "endpoint": endpoint}) if follow else None
    limit = tail if tail is not None else _FOLLOWED if follow else _LINES
    told = calls.admin("GET", "logs", query={"endpoint": endpoint, "job": job, "limit": limit})
    found = told.get("lines", [])
    if as_json:
        _print_all(found, told, follow)
    else:
        for one in found:
            print_line(log_line(one))
    if events is not None:
        _follow(_of_job(_new(events, found), job), "log", log_line, as_json)


@click.command(epilog=examples("requests", "requests --endpoint echo", "requests --follow"))
@_of_endpoint
@click.option("-f", "--follow", is_flag=True, help="Then print each request as it comes.")
@_many
@asked.as_json
@asks_server
def requests(calls: Calls, endpoint: str | None, follow: bool, limit: int, as_json: bool) -> None:
    """List the last requests of clients.

    A line says what a request was answered, how long that took, and why it was refused.
    """
    events = calls.events({"kinds": "request", "endpoint": endpoint}) if follow else None
    told = calls.admin("GET", "requests", query={"endpoint": endpoint, "limit": limit})
    found = told.get("requests", [])
    if as_json:
        _print_all(found, told, follow)
    else:
        for one in found:
            print_line(request_line(one))
    if events is not None:
        _follow(_new(events, found), "request", request_line, as_json)


def _what(calls: Calls, change: dict[str, Any]) -> str:
    """The progress that a job has told, or the error that it ended with, which the news of it do not hold."""
    has_failed = change.get("status") in ("FAILED", "TIMED_OUT")
    if not has_failed and change.get("event") != PROGRESSED:
        return ""
    try:
        told = calls.admin("GET", f"timeline/{quoted(str(change.get('id')))}")
    except click.ClickException:
        return ""
    if has_failed:
        return problem_of(str(told.get("error") or "")).partition("\n")[0]
    output = told.get("output")
    return "" if output is None or told.get("status") != change.get("status") else progress_text(json.dumps(output))


def _meant(calls: Calls, what: str | None) -> tuple[str | None, str | None]:
    """The endpoint, and the job, whose lines are meant."""
    if what is None:
        return None, None
    if "/" not in what and any(one["id"] == what for one in calls.admin("GET", "endpoints")):
        return what, None
    name: Name = find_job(calls, what)
    return name.endpoint, name.id


def _print_all(found: Sequence[Any], told: Any, follow: bool) -> None:
    """An answer as JSON: whole, or item by item where more come."""
    for one in found if follow else [told]:
        print_json(one)


def _new(events: Iterable[Event], known: Sequence[dict[str, Any]]) -> Iterator[Event]:
    """The events that are not among what the list has told already, which was made while they were listened to."""
    told = Counter(map(_mark, known))
    for event in events:
        mark = _mark(event.data) if isinstance(event.data, dict) else None
        if told and mark is not None and told[mark] > 0:
            told[mark] -= 1
            continue
        yield event


def _mark(item: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(item.get(name)) for name in ("number", "at", "endpoint", "worker", "job", "text"))


def _of_job(events: Iterable[Event], job: str | None) -> Iterator[Event]:
    return (event for event in events if job is None or event.kind != "log" or event.data.get("job") == job)


def _follow(events: Iterable[Event], kind: str, line: Callable[[dict[str, Any]], Any], as_json: bool) -> None:
    """Print what comes until Ctrl-C, or until the server stops, which has an exit code of its own."""
    try:
        for event in events:
            if event.kind == "left-out":
                say(f"{event.data.get('count')} or more left out: they came faster than they were read")
            elif event.kind == kind and as_json:
                print_json(event.data)
            elif event.kind == kind:
                print_line(line(event.data))
    except KeyboardInterrupt:
        return
    say("The server has stopped.")
    sys.exit(NO_SERVER)


def _job_row(job: dict[str, Any]) -> list[str]:
    submitted, taken, ended = (job.get(name) for name in ("submittedAt", "takenAt", "endedAt"))
    waited = duration(taken - submitted) if taken and submitted else ""
    ran = duration(ended - taken) if ended and taken else ""
    error = problem_of(str(job.get("error") or "")).partition("\n")[0]
    return [
        time_of(submitted), f"{job.get('endpoint')}/{short(str(job.get('id')))}", str(job.get("status")), waited, ran,
        str(job.get("worker") or ""), str(job.get("retries") or ""), error,
    ]  # fmt: skip
