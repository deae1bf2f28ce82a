"""Some handlers on one server, each behind our light process (P) and behind the official worker (S)."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.compat.sdks import interpreter
from tests.compat.servers import commands, until
from tests.parity.cases import Handler
from tests.parity.client import Client
from tests.parity.hooks import hooks
from tests.parity.seen import Seen, own_frames

LEASE = 4_000
"""Milliseconds until a job of which nothing is heard counts as lost."""
PING = "1000"
"""Milliseconds between two heartbeats of an official worker."""
LIMIT = 400.0
"""Seconds after which a batch ends, whatever still runs."""
REPLAYS = 2
"""How often what differs is played again."""
STARTS = 120.0
"""Seconds that all workers of a batch may take to start."""


@dataclass
class Played:
    """What the two workers of each handler did: ours first."""

    cases: dict[tuple[str, str], tuple[Seen, Seen]] = field(default_factory=dict)
    health: dict[str, tuple[str, str]] = field(default_factory=dict)
    log: str = ""

    @property
    def differing(self) -> set[str]:
        """The handlers of which a client did not see the same."""
        cases = {name for (name, _), (ours, theirs) in self.cases.items() if ours.differences(theirs)}
        return cases | {name for name, (ours, theirs) in self.health.items() if ours != theirs}


def play(handlers: Sequence[Handler], sdk: str, folder: Path) -> Played:
    """Play every case of some handlers under one SDK."""
    played = Played()
    refused: dict[str, str] = {}
    while not _attempt(handlers, sdk, folder, refused, played):
        pass
    return played


def play_until_sure(handlers: Sequence[Handler], sdk: str, folder: Path) -> Played:
    """Play; what differs is played up to twice more, with nothing beside it, and counts as it was then.

    A difference that comes from crowded cores does not come three times.
    """
    played = play(handlers, sdk, folder)
    for again in range(REPLAYS):
        unsure = [handler for handler in handlers if handler.name in played.differing]
        if not unsure:
            break
        apart = folder / f"apart-{again}"
        apart.mkdir()
        replayed = play(unsure, sdk, apart)
        played.cases.update(replayed.cases)
        played.health.update(replayed.health)
    return played


def _attempt(handlers: Sequence[Handler], sdk: str, folder: Path, refused: dict[str, str], played: Played) -> bool:
    """Play all that is not refused; False when one more endpoint is, for that ends a server."""
    (folder / "runpod-emulator.toml").write_text(settings(handlers, sdk, folder, refused), encoding="utf-8")
    with commands(folder) as start, hooks() as receiver:
        server = start(
            "serve", "--port", 0, "--no-rate-limits", "--workers-max", 1, "--max-processes", 4 * len(handlers),
            "--set", f"worker_lease={LEASE}", "--set", "worker_poll_hold=2000", "--set", "idle_timeout=3600000",
        )  # fmt: skip
        until(lambda: "Ready." in server.out.text or server.process.poll() is not None, STARTS)
        if server.process.poll() is not None:
            refused.update(_refusal(server.err.whole()))
            return False
        client = Client(server.ready(), receiver, folder)
        served = {endpoint for handler in handlers for endpoint in pair(handler)} - refused.keys()
        for handler in handlers:
            for endpoint in pair(handler):
                if endpoint in served:
                    client.submit(endpoint, handler)
        client.follow(LIMIT)
        seen = client.seen()
        both = [pair(handler) for handler in handlers if served.issuperset(pair(handler))]
        health = client.health(both)
        server.stop()
        played.log = server.err.whole()
    for handler in handlers:
        ours, theirs = pair(handler)
        if pair(handler) in both:
            played.health[handler.name] = health[ours], health[theirs]
        for case in handler.cases:
            played.cases[handler.name, case] = (
                seen.get((ours, case)) or _unserved(refused[ours]),
                seen.get((theirs, case)) or _unserved(refused[theirs]),
            )
    return True


def pair(handler: Handler) -> tuple[str, str]:
    """The endpoints of a handler: our process, and the official worker."""
    return f"{handler.name}-p", f"{handler.name}-s"


def _refusal(log: str) -> dict[str, str]:
    """The endpoint for which a server would not start, and why."""
    found = re.search(r"(handler|command) [^\n]*?(\w+)_handler\.py could not be started:\n(.*)", log, re.DOTALL)
    assert found, f"the server ended by itself:\n{log}"
    side = "p" if found[1] == "handler" else "s"
    return {f"{found[2]}-{side}": own_frames(found[3]).strip()}


def _unserved(reason: str) -> Seen:
    return Seen("refused at the start", (reason,), ("",), ())


def settings(handlers: Sequence[Handler], sdk: str, folder: Path, refused: Container[str] = ()) -> str:
    """The configuration file: each handler twice."""
    tables = []
    for handler in handlers:
        file = str(handler.write(folder))
        python = interpreter(sdk)
        command = ["env", f"RUNPOD_PING_INTERVAL={PING}", python, "-u", file]
        variables = ", ".join(f"{name} = {json.dumps(value)}" for name, value in handler.environment.items())
        services = (
            f"handler = {json.dumps(file)}\npython = {json.dumps(python)}\n",
            f"command = {json.dumps(command)}\n",
        )
        tables += [
            f"[endpoints.{endpoint}]\n{service}environment = {{ {variables} }}\n"
            for endpoint, service in zip(pair(handler), services, strict=True)
            if endpoint not in refused
        ]
    return "\n".join(tables)
