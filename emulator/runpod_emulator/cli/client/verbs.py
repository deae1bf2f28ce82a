"""The verbs of jobs and their endpoints: `status`, `stream`, `cancel`, `retry`, `purge`, `health`."""

from __future__ import annotations

import json
from typing import Any

import click

from runpod_emulator.cli.client import asked
from runpod_emulator.cli.client.asked import asks_server, endpoints_begun, examples, jobs_begun
from runpod_emulator.cli.client.calls import Calls, quoted
from runpod_emulator.cli.client.ends import Ended, NoServer, WrongUse
from runpod_emulator.cli.client.envelope import read_envelope
from runpod_emulator.cli.client.following import Follower
from runpod_emulator.cli.client.named import find_job
from runpod_emulator.cli.client.shown import print_table, say, seen_json
from runpod_emulator.cli.client.watching import end, watch


@click.command(
    epilog=examples("status echo/8881c1a2-…-u1", "status 8881 --follow", "status 8881 --json | jq .delayTime")
)
@click.argument("job", shell_complete=jobs_begun)
@click.option("-f", "--follow", is_flag=True, help="Wait until it has ended.")
@asked.timeout
@asked.raw
@asked.as_json
@asks_server
def status(calls: Calls, job: str, follow: bool, timeout: float | None, raw: bool, as_json: bool) -> None:
    """Tell how JOB is, and print its output.

    The output alone is on standard output, and the exit code says how the job ended.

    JOB is ENDPOINT/ID. An emulator also knows an id alone, and its first characters where no other job begins so.
    """
    name = find_job(calls, job)
    follower = Follower(calls, name, timeout)
    if follow:
        watch(calls, name, follower, False, raw, as_json)
    end(calls, follower.status(), name, follower.body, raw, as_json)


@click.command(epilog=examples("stream llm/8881c1a2-…-u1", "stream 8881 --raw > answer.txt"))
@click.argument("job", shell_complete=jobs_begun)
@asked.timeout
@asked.raw
@asked.as_json
@asks_server
def stream(calls: Calls, job: str, timeout: float | None, raw: bool, as_json: bool) -> None:
    """Print what JOB streams, as it comes.

    It ends with the job.

    On a terminal texts are written one after the other; elsewhere each chunk is a line of JSON. A chunk is given once:
    what another reader has taken does not come again.
    """
    name = find_job(calls, job)
    watch(calls, name, Follower(calls, name, timeout), True, raw, as_json)


@click.command(epilog=examples("cancel echo/8881c1a2-…-u1", "cancel 8881"))
@click.argument("job", shell_complete=jobs_begun)
@asked.as_json
@asks_server
def cancel(calls: Calls, job: str, as_json: bool) -> None:
    """Cancel JOB.

    One that waits leaves the queue, one that runs is stopped.
    """
    name = find_job(calls, job)
    answer = calls.client("POST", name.path("cancel"))
    told = read_envelope(answer, calls.target.root)
    _print_answer(answer, as_json)
    if told.status != "CANCELLED":
        raise Ended(f"job {name} was not cancelled: it is {told.status}")
    say(told.told(name))


@click.command(epilog=examples("retry echo/8881c1a2-…-u1", "retry 8881 --follow"))
@click.argument("job", shell_complete=jobs_begun)
@click.option("-f", "--follow", is_flag=True, help="Wait until it has ended.")
@asked.timeout
@asked.raw
@asked.as_json
@asks_server
def retry(calls: Calls, job: str, follow: bool, timeout: float | None, raw: bool, as_json: bool) -> None:
    """Queue JOB again, which has failed or timed out.

    It keeps its id and its input.
    """
    name = find_job(calls, job)
    answer = calls.client("POST", name.path("retry"))
    told = read_envelope(answer, calls.target.root)
    if follow:
        watch(calls, name, Follower(calls, name, timeout), False, raw, as_json, (told, answer))
    _print_answer(answer, as_json)
    say(told.told(name))


@click.command(epilog=examples("purge echo"))
@click.argument("endpoint", shell_complete=endpoints_begun)
@asked.as_json
@asks_server
def purge(calls: Calls, endpoint: str, as_json: bool) -> None:
    """Empty the queue of ENDPOINT; jobs that run go on."""
    answer = calls.client("POST", f"{quoted(endpoint)}/purge-queue")
    removed = _object(answer, calls).get("removed", 0)
    _print_answer(answer, as_json)
    say(f"{removed} waiting {'job' if removed == 1 else 'jobs'} removed from {endpoint}")


_JOBS = ("inQueue", "inProgress", "completed", "failed", "retried")
_WORKERS = ("initializing", "ready", "idle", "running", "throttled", "unhealthy")
_HEADINGS = (
    "endpoint", "queued", "running", "completed", "failed", "retried",
    "workers: starting", "ready", "idle", "busy", "throttled", "unhealthy",
)  # fmt: skip


@click.command(epilog=examples("health", "health echo", "health echo --json | jq .jobs"))
@click.argument("endpoint", required=False, shell_complete=endpoints_begun)
@asked.as_json
@asks_server
def health(calls: Calls, endpoint: str | None, as_json: bool) -> None:
    """Count jobs and workers.

    They are those of ENDPOINT, or of each endpoint of an emulator.
    """
    if endpoint is None and calls.target.is_runpod:
        raise WrongUse("write the id of the endpoint: RunPod does not say here which there are")
    names = [endpoint] if endpoint is not None else [str(one["id"]) for one in calls.admin("GET", "endpoints")]
    answers = {name: calls.client("GET", f"{quoted(name)}/health") for name in names}
    if as_json:
        whole = {name: _object(answer, calls) for name, answer in answers.items()}
        print(seen_json(json.dumps(whole if endpoint is None else whole[endpoint], ensure_ascii=False)))
        return
    print_table(_HEADINGS, (_counted(name, _object(answer, calls)) for name, answer in answers.items()))


def _counted(name: str, told: dict[str, Any]) -> list[str]:
    jobs, workers = told.get("jobs") or {}, told.get("workers") or {}
    return [name, *(str(jobs.get(key, "")) for key in _JOBS), *(str(workers.get(key, "")) for key in _WORKERS)]


def _object(answer: bytes, calls: Calls) -> dict[str, Any]:
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise NoServer(f"{calls.target.root} does not answer as RunPod does")
    return told


def _print_answer(answer: bytes, as_json: bool) -> None:
    if as_json:
        print(seen_json(answer.decode("utf-8", "replace").strip()), flush=True)
