"""`submit`: one job handed in, and what becomes of it."""

from __future__ import annotations

import json
from typing import Any

import click

from runpod_emulator.cli.client import asked
from runpod_emulator.cli.client.advice import telling_why_it_waits
from runpod_emulator.cli.client.asked import asks_server, endpoints_begun, examples
from runpod_emulator.cli.client.calls import Calls, quoted
from runpod_emulator.cli.client.ends import INTERRUPTED, Late, NoServer, Refused, WrongUse
from runpod_emulator.cli.client.envelope import ENDED, Envelope, read_envelope
from runpod_emulator.cli.client.following import Follower, going_on, telling_of_time
from runpod_emulator.cli.client.inputs import read_body
from runpod_emulator.cli.client.live import LiveLine
from runpod_emulator.cli.client.named import SYNC, Name
from runpod_emulator.cli.client.shown import say, seen_json
from runpod_emulator.cli.client.watching import watch
from runpod_emulator.core.time.clock import ticks

_TIMES = {"execution_timeout": "executionTimeout", "ttl": "ttl"}
"""Options that are times, and how they are sent."""
_SHORTEST_HOLD, _LONGEST_HOLD = 1.0, 300.0
"""Seconds for which /runsync may be asked to hold its answer."""


@click.command(
    epilog=examples(
        "submit echo message=hello",
        'submit echo \'{"message": "hello"}\' --sync | jq .message',
        "submit llm @prompt.json --stream",
        "submit progress steps=3 --follow",
    )
)
@click.argument("endpoint", shell_complete=endpoints_begun)
@click.argument("words", nargs=-1, metavar="[JSON|@FILE|-|NAME=VALUE...]")
@click.option("--sync", "how", flag_value="sync", help="Wait for the output, by /runsync.")
@click.option("--stream", "how", flag_value="stream", help="Print the stream as it comes.")
@click.option("-f", "--follow", "how", flag_value="follow", help="Wait for the output, and show how it goes meanwhile.")
@click.option("--webhook", metavar="URL", help="Is called when the job has ended.")
@click.option("--execution-timeout", metavar="TIME", help="Longest run: 600000 (ms), 600s, 10m.")
@click.option("--ttl", metavar="TIME", help="Life of the job from now, in the same form.")
@click.option("--low-priority", is_flag=True, help="Start no worker for it.")
@asked.timeout
@asked.raw
@asked.as_json
@asks_server
def submit(calls: Calls, endpoint: str, words: tuple[str, ...], how: str | None, **options: Any) -> None:
    """Hand in a job.

    Its name is printed, which the other commands take; with --sync, --stream or --follow the handler's output, and
    nothing else is on standard output.

    The input is JSON, a file of JSON (@FILE), standard input (-), or NAME=VALUE words, whose values are JSON where they
    can be, else texts. A file that holds "input" beside nothing but webhook, policy and s3Config is the whole request.
    Without an input an emulator's handler gets its own example, as from test_input.json beside it.
    """
    body = _with_options(read_body(words) if words else _example(calls, endpoint), options)
    if body["input"] == {}:
        say("The input is empty: RunPod takes such an input away, and no handler ever gets the job.")
    began = ticks()
    try:
        answer = _held(calls, endpoint, body, options["timeout"]) if how == "sync" else _queued(calls, endpoint, body)
    except Refused as error:
        if error.status == 400 and (times := _as_sent(options)):
            raise error.noted(times) from error
        raise
    job = read_envelope(answer, calls.target.root)
    name = Name(endpoint, job.id)
    if how is None:
        _tell_name(calls, job, name, answer, options["as_json"])
        return
    follower = Follower(calls, name, options["timeout"], began)
    watch(calls, name, follower, how == "stream", options["raw"], options["as_json"], (job, answer))


def _queued(calls: Calls, endpoint: str, body: dict[str, Any]) -> bytes:
    return calls.client("POST", f"{quoted(endpoint)}/run", body)


def _held(calls: Calls, endpoint: str, body: dict[str, Any], seconds: float | None) -> bytes:
    """The answer of /runsync, which comes when the job has ended, or when the server holds it no longer."""
    path, hold = f"{quoted(endpoint)}/runsync", _LONGEST_HOLD
    if seconds is not None:
        hold = max(_SHORTEST_HOLD, min(seconds, _LONGEST_HOLD))
        path += f"?wait={round(hold * 1_000)}"
    try:
        with LiveLine(endpoint), telling_of_time(calls), telling_why_it_waits(calls, endpoint):
            return calls.client("POST", path, body, held=hold)
    except NoServer as error:
        if not error.silent:
            raise
        raise Late(f"{endpoint} has not answered after {hold:g} s. {_to_find_it(calls)}") from None
    except KeyboardInterrupt:
        name = _held_job(calls, endpoint, body)
        if name is None:
            say(f"\n{_to_find_it(calls)}")
            raise SystemExit(INTERRUPTED) from None
        with going_on(calls, name):
            raise


def _to_find_it(calls: Calls) -> str:
    return f"The job goes on. To find it:  runpod-emulator jobs{calls.target.words}"


def _held_job(calls: Calls, endpoint: str, body: dict[str, Any]) -> Name | None:
    """The job that /runsync did not live to name, where an emulator has just one such that has not ended."""
    try:
        told = (
            calls.admin("GET", "jobs", query={"endpoint": endpoint, "limit": 100})["jobs"] if calls.is_emulator else []
        )
    except (click.ClickException, KeyboardInterrupt):
        return None
    alike = [
        Name(endpoint, str(job["id"]))
        for job in told
        if str(job["id"]).startswith(SYNC) and job["status"] not in ENDED and job.get("input") == body["input"]
    ]
    return alike[0] if len(alike) == 1 else None


def _example(calls: Calls, endpoint: str) -> dict[str, Any]:
    """The example input of a handler, which an emulator finds beside it; raises WrongUse where there is none."""
    served = calls.admin("GET", "overview")["endpoints"] if calls.is_emulator else []
    example = next((one.get("example") for one in served if one.get("id") == endpoint), None)
    if not isinstance(example, dict):
        raise WrongUse("say what the input is, as in message=hello: name=value, JSON, @file or - for standard input")
    say(f"The handler's own example is the input: {json.dumps(example, ensure_ascii=False)}")
    return {"input": example}


def _tell_name(calls: Calls, job: Envelope, name: Name, answer: bytes, as_json: bool) -> None:
    print(seen_json(answer.decode("utf-8", "replace")) if as_json else name, flush=True)
    say(f"{job.status}. To wait for it:  runpod-emulator status {name} --follow{calls.target.words}")


def _with_options(body: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """The body with what the options say of the job."""
    policy: dict[str, Any] = {}
    for option, member in _TIMES.items():
        if options[option] is not None:
            policy[member] = _milliseconds(option, options[option])
    if options["low_priority"]:
        policy["lowPriority"] = True
    if options["webhook"] is not None:
        body = {**body, "webhook": options["webhook"]}
    if not policy:
        return body
    written = body.get("policy")
    return {**body, "policy": {**(written if isinstance(written, dict) else {}), **policy}}


def _as_sent(options: dict[str, Any]) -> str:
    """What was made of the times that were written, as a note to a refusal that says them in ms."""
    given = {option: options[option] for option in _TIMES if options[option] is not None}
    told = [f"{_flag(option)} {text} is {_milliseconds(option, text)} ms" for option, text in given.items()]
    return f" ({', '.join(told)})" if told else ""


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _milliseconds(option: str, text: str) -> int:
    from runpod_emulator.values import milliseconds

    try:
        return int(milliseconds(text))
    except ValueError as error:
        raise WrongUse(f"{_flag(option)}: {error}") from error
