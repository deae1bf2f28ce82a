"""Some handlers on one server, each behind our light process (P) and behind the official worker (S)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.compat.sdks import interpreter
from tests.compat.servers import commands
from tests.parity.cases import Handler
from tests.parity.client import Client
from tests.parity.hooks import hooks
from tests.parity.seen import Seen

LEASE = 4_000
"""Milliseconds until a job of which nothing is heard counts as lost."""
PING = "1000"
"""Milliseconds between two heartbeats of an official worker."""
LIMIT = 240.0
"""Seconds after which a batch ends, whatever still runs."""


@dataclass
class Played:
    """What the two workers of each handler did: ours first."""

    cases: dict[tuple[str, str], tuple[Seen, Seen]] = field(default_factory=dict)
    health: dict[str, tuple[str, str]] = field(default_factory=dict)
    log: str = ""


def play(handlers: Sequence[Handler], sdk: str, folder: Path) -> Played:
    """Play every case of some handlers under one SDK."""
    (folder / "runpod-emulator.toml").write_text(settings(handlers, sdk, folder), encoding="utf-8")
    pairs = {handler.name: (f"{handler.name}-p", f"{handler.name}-s") for handler in handlers}
    played = Played()
    with commands(folder) as start, hooks() as receiver:
        server = start(
            "serve", "--port", 0, "--no-rate-limits", "--workers-max", 1, "--max-processes", 4 * len(handlers),
            "--set", f"worker_lease={LEASE}", "--set", "worker_poll_hold=2000", "--set", "idle_timeout=3600000",
        )  # fmt: skip
        client = Client(server.ready(), receiver, folder)
        for handler in handlers:
            for endpoint in pairs[handler.name]:
                client.submit(endpoint, handler)
        client.follow(LIMIT)
        seen = client.seen()
        health = client.health(list(pairs.values()))
        server.stop()
        played.log = server.err.whole()
    for handler in handlers:
        ours, theirs = pairs[handler.name]
        played.health[handler.name] = health[ours], health[theirs]
        for case in handler.cases:
            played.cases[handler.name, case] = seen[ours, case], seen[theirs, case]
    return played


def settings(handlers: Sequence[Handler], sdk: str, folder: Path) -> str:
    """The configuration file: each handler twice."""
    tables = []
    for handler in handlers:
        file = str(handler.write(folder))
        python = interpreter(sdk)
        command = ["env", f"RUNPOD_PING_INTERVAL={PING}", python, "-u", file]
        variables = ", ".join(f"{name} = {json.dumps(value)}" for name, value in handler.environment.items())
        tables += [
            f"[endpoints.{handler.name}-p]\nhandler = {json.dumps(file)}\npython = {json.dumps(python)}\n"
            f"environment = {{ {variables} }}\n",
            f"[endpoints.{handler.name}-s]\ncommand = {json.dumps(command)}\nenvironment = {{ {variables} }}\n",
        ]
    return "\n".join(tables)
