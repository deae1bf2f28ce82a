"""Whoever follows docs/management.md from the start to Images gets what it says: every snippet of it runs here."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from runpod_emulator.config.options import all_options, flag
from runpod_emulator.core.platform import preset
from runpod_emulator.server.app import MANAGEMENT

from tests.compat.servers import LIMIT, ROOT, Command, commands
from tests.conftest import require

PAGE = (ROOT / "docs" / "management.md").read_text(encoding="utf-8").partition("## Images")[0]


def blocks(language: str) -> list[str]:
    """The code of these sections in this language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


HANDLER, LOOK = blocks("python")
SERVE, SHOW, CHANGE = blocks("sh")
(PRINTED,) = blocks("text")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Command]:
    """What the page starts."""
    (tmp_path / "worker.py").write_text(HANDLER)
    with commands(tmp_path) as start:
        yield start(*shlex.split(SERVE)[1:], "--port", 0).ready()


def there(text: str, server: Command) -> str:
    return text.replace("http://127.0.0.1:8000", server.root_url)


@pytest.mark.compat
def test_the_page_leads_to_a_change_that_acts(server: Command, tmp_path: Path) -> None:
    require("curl")

    def shell(line: str) -> dict[str, object]:
        done = subprocess.run(["sh", "-ec", there(line, server)], capture_output=True, check=True, timeout=LIMIT)
        return dict(json.loads(done.stdout))

    assert shell(SHOW)["workers"] == {"min": 0, "max": 3}
    changed = shell(CHANGE)
    assert (changed["env"], changed["workers"]) == ({"GREETING": "good morning"}, {"min": 0, "max": 5})
    (tmp_path / "look.py").write_text(there(LOOK, server))
    done = subprocess.run([sys.executable, "look.py"], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT)
    assert (done.stdout, done.stderr) == (PRINTED, "")


def test_every_route_is_named() -> None:
    named = {path.replace("…", "/v2/serverless") for path in re.findall(r"\| `[A-Z]+ ([^`]+)`", PAGE)}
    assert named == {path.replace("worker_id", "workerId") for path in MANAGEMENT}


def test_options_and_numbers_are_right() -> None:
    known = {flag(name) for name in all_options()}
    assert set(re.findall(r"`(--[a-z-]+)", PAGE)) <= known
    platform = preset("observed")
    rates = platform.management_minute_rate, platform.management_hour_rate, platform.management_day_rate
    assert "{:,} requests a minute, {:,} an hour, {:,} a day".format(*rates) in PAGE


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
