"""How a job that somebody waits for ends on the command line: its output, what went wrong, and the exit code."""

from __future__ import annotations

import sys
from typing import NoReturn

from runpod_emulator.cli.client.advice import telling_why_it_waits, why_it_failed
from runpod_emulator.cli.client.calls import Calls
from runpod_emulator.cli.client.envelope import Envelope
from runpod_emulator.cli.client.following import Follower, going_on, telling_of_time
from runpod_emulator.cli.client.live import LiveLine
from runpod_emulator.cli.client.named import Name
from runpod_emulator.cli.client.shown import print_chunk, print_output, say, seen_json


def watch(
    calls: Calls,
    name: Name,
    follower: Follower,
    stream: bool,
    raw: bool,
    as_json: bool,
    known: tuple[Envelope, bytes] | None = None,
) -> NoReturn:
    """Wait for a job's end, printing its stream if that is asked for; exits as the job ended.

    `known` is what has been told of the job, and the answer that told it. Raises Late.
    """
    job, answer = known or (None, b"")
    chunks = 0
    if job is None or not job.has_ended or stream:
        told = telling_of_time(calls), telling_why_it_waits(calls, name.endpoint, name.id)
        with going_on(calls, name), told[0], told[1], LiveLine(f"{name.endpoint} {name.short}") as line:
            if job is not None:
                line.tell(job)
            for chunk in follower.chunks(line) if stream else ():
                chunks += 1
                _print_chunk(chunk, raw, as_json)
            if chunks and not as_json and sys.stdout.isatty():
                print(flush=True)
            job, answer = follower.ended(line), follower.body
    assert job is not None
    end(calls, job, name, answer, raw, as_json, chunks > 0)


def end(
    calls: Calls, job: Envelope, name: Name, answer: bytes, raw: bool, as_json: bool, was_streamed: bool = False
) -> NoReturn:
    """Print what became of a job, or how it is now, and exit as that says."""
    if as_json:
        print(seen_json(answer.decode("utf-8", "replace").strip()), flush=True)
    elif job.has_ended and job.output_text and not was_streamed:
        print_output(job.output_text, raw)
    say(job.told(name))
    if job.problem:
        say(job.problem.rstrip())
        for known in why_it_failed(calls, name):
            say(known)
    sys.exit(job.exit_code)


def _print_chunk(chunk: str, raw: bool, as_json: bool) -> None:
    if as_json:
        print(seen_json(f'{{"output":{chunk or "null"}}}'), flush=True)
    elif chunk:
        print_chunk(chunk, raw)
