"""What an emulator knows beyond the service's answer: why a job waits, and why it has failed."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from typing import Any

import click

from runpod_emulator.cli.client.calls import Calls, quoted
from runpod_emulator.cli.client.named import Name
from runpod_emulator.cli.client.shown import say
from runpod_emulator.core.missing import how_to_install, missing_module
from runpod_emulator.core.reasons import gist

_SOON, _LONG = 1.0, 5.0
"""Seconds after which somebody who waits is told that no worker can start, and what else there is to wait for."""
_LOST = re.compile(r"job timed out after \d+ retries")


def why_it_failed(calls: Calls, name: Name) -> list[str]:
    """What the page says of a job's failure beside its error; empty for nothing, or where no emulator is asked."""
    try:
        told = calls.admin("GET", f"timeline/{quoted(name.id)}") if calls.is_emulator else {}
    except click.ClickException:
        return []
    found = [_ends(told)] if _LOST.fullmatch(str(told.get("error") or "")) else []
    missing = str(told.get("missing") or "")
    return [one for one in [*found, f"{missing[:1].upper()}{missing[1:]}." if missing else ""] if one]


def _ends(told: dict[str, Any]) -> str:
    """How the workers ended that were lost with a job, oldest first."""
    workers, ends = told.get("workers") or {}, []
    holder = None
    for one in told.get("transitions", []):
        if one["event"] == "Taken":
            holder = one["worker"]
        elif holder is not None and (one["event"] == "Requeued" or one["status"] == "FAILED"):
            about = workers.get(holder) or {}
            how = str(about.get("gone") or "was lost").removeprefix("it ")
            ends.append(f"worker #{about.get('number') or holder} had it and {how}")
            holder = None
    text = ", then ".join(ends)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


@contextlib.contextmanager
def telling_why_it_waits(calls: Calls, endpoint: str, job: str | None = None) -> Iterator[None]:
    """Within, who waits for a job that nobody takes is told why, once."""
    over = threading.Event()

    def tell() -> None:
        with contextlib.suppress(click.ClickException, KeyError, TypeError):
            if over.wait(_SOON) or not calls.is_emulator or _tell(_why_none_can(calls, endpoint)) or job is None:
                return
            if not over.wait(_LONG - _SOON):
                _tell(_why_it_waits(calls, endpoint, job))

    if not calls.target.is_runpod:
        threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _tell(text: str) -> bool:
    if text:
        say(text)
    return bool(text)


def _why_none_can(calls: Calls, endpoint: str) -> str:
    """Why no worker of the endpoint can start; "" where one can, or is there."""
    served = _served(calls, endpoint)
    flaw = str(served.get("flaw") or "")
    if not flaw or any(one["state"] in ("idle", "running") for one in served["workers"]):
        return ""
    module = missing_module(flaw)
    known = next((line for line in flaw.splitlines() if line.startswith("the workers' interpreter")), "")
    more = f"\n{known or how_to_install(module, '')}" if module else ""
    return f"No worker of {endpoint} can start: {gist(flaw)}{more}\nMend the file: under dev the job then goes on."


def _why_it_waits(calls: Calls, endpoint: str, job: str) -> str:
    """What a job in the queue waits for; "" for one that does not wait."""
    told = calls.admin("GET", f"timeline/{quoted(job)}")
    if told.get("status") != "IN_QUEUE":
        return ""
    served = _served(calls, endpoint)
    held = ["a stub or a fault holds it back"] if told.get("held") else []
    workers = [
        f"worker #{one['number']} is {one['state']}" + (f": {gist(str(one['reason']))}" if one.get("reason") else "")
        for one in served["workers"]
    ]
    return "It waits: " + "; ".join([*held, *workers, f"autoscaler: {served['scaler']['words']}"])


def _served(calls: Calls, endpoint: str) -> dict[str, Any]:
    overview = calls.admin("GET", "overview")["endpoints"]
    return next((one for one in overview if one.get("id") == endpoint), {})
