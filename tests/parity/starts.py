"""How `serve` takes a handler file: with our light process, and with the official worker."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.compat.sdks import interpreter, sdk_command
from tests.compat.servers import commands, until
from tests.parity.cases import Startup
from tests.parity.catalogue.startups import STARTUPS

LONGEST = "6s"
"""How long a worker may take to be ready; the official one needs 2 s on two busy cores."""
LIMIT = 40.0
AT_ONCE = 2


class Start(NamedTuple):
    """What came of a start: ready, or an exit code and what `serve` said."""

    outcome: str
    said: str = ""


def try_all(sdk: str, folder: Path) -> dict[str, tuple[Start, Start]]:
    """Both starts of each file, ours first."""
    wanted = [startup for startup in STARTUPS if sdk in startup.sdks]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        pairs = list(pool.map(lambda startup: _both(startup, sdk, folder), wanted))
    return {startup.name: pair for startup, pair in zip(wanted, pairs, strict=True)}


def _both(startup: Startup, sdk: str, folder: Path) -> tuple[Start, Start]:
    file = startup.write(folder)
    ours = _start(folder, "--endpoint", f"it={file}", "--python", interpreter(sdk))
    theirs = _start(folder, "--command", f"it={sdk_command(sdk, file)}")
    return ours, theirs


def _start(folder: Path, *service: str) -> Start:
    with commands(folder) as start:
        server = start("serve", *service, "--port", 0, "--init-timeout", LONGEST, "--set", "worker_poll_hold=2000")
        until(lambda: "Ready." in server.out.text or server.process.poll() is not None, LIMIT)
        if server.process.poll() is None:
            server.stop()
            return Start("ready")
        said = server.err.whole()
        return Start(
            f"exit code {server.process.returncode}",
            re.sub(r"^.*could not be started:", "", said, count=1, flags=re.DOTALL),
        )
