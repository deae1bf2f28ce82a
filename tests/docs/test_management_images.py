"""Whoever follows docs/management.md from images to GraphQL gets what it says: every snippet of it runs here."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from runpod_emulator.config.file import CodeTable
from runpod_emulator.config.settings import read_settings

from tests.compat.servers import LIMIT, ROOT, SOURCE, commands
from tests.conftest import require

PAGE = "## Images" + (ROOT / "docs" / "management.md").read_text(encoding="utf-8").partition("## Images")[2]


def blocks(language: str) -> list[str]:
    """The code of these sections in this language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


(IMAGES,) = blocks("toml")
HANDLER, DEPLOY = blocks("python")
EXEC, CURL = blocks("sh")
(PRINTED,) = blocks("text")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the page says is there."""
    (tmp_path / "runpod-emulator.toml").write_text(IMAGES)
    (tmp_path / "handler.py").write_text(HANDLER)
    (tmp_path / "deploy.py").write_text(DEPLOY)
    return tmp_path


def test_the_patterns_fit_what_the_page_says(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    plan_for = read_settings(config=folder / "runpod-emulator.toml").images.plan_for
    assert plan_for("you/greeter:1", "", "", {}, "QUEUE").handler == "handler.py"
    assert plan_for("you/legacy-7", "", "", {}, "QUEUE").command == ["python", "-u", "legacy.py"]
    made = plan_for("x", "", "python3 -u /handler.py --generator", {}, "QUEUE").command
    assert shlex.join(made or ()) == "python -u worker.py --generator"
    assert f"runs `{shlex.join(made or ())}` here" in PAGE
    assert plan_for("you/model", "", "", {}, "QUEUE").mock


def test_the_options_that_it_names_are_some() -> None:
    assert {"environment", "python", "concurrency", "cold_start", "handler", "command", "mock"} <= set(
        CodeTable.model_fields
    )


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target


@pytest.mark.compat
def test_the_page_leads_to_an_answer(folder: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
    words = [sys.executable if word == "python" else word for word in shlex.split(EXEC)[1:]]
    done = subprocess.run(
        [sys.executable, "-m", "runpod_emulator", *words],
        cwd=folder, env={**clean, "PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, timeout=LIMIT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == PRINTED


@pytest.mark.compat
def test_any_client_of_graphql_will_do(folder: Path) -> None:
    require("curl")
    with commands(folder) as start:
        server = start("serve", "--mock", "llm", "--port", 0).ready()
        line = CURL.replace("http://127.0.0.1:8000", server.root_url)
        told = subprocess.run(["sh", "-ec", line], capture_output=True, text=True, check=True, timeout=LIMIT).stdout
    assert json.loads(told) == {"data": {"myself": {"endpoints": [{"name": "llm", "type": "QB", "workersMax": 3}]}}}
