"""docs/docker.md and the Dockerfile's comments name variables, keys and headers that do what they say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from runpod_emulator.config.settings import read_settings
from runpod_emulator.doors.admin.app import RemoteAdmin

ROOT = Path(__file__).parents[2]
TEXTS = [(ROOT / "docs" / "docker.md").read_text(), (ROOT / "Dockerfile").read_text()]
each_text = pytest.mark.parametrize("text", TEXTS, ids=["page", "Dockerfile"])


def variables(text: str) -> dict[str, str]:
    """What the text sets in a container, by name."""
    found = (shlex.split(word)[0].partition("=") for word in re.findall(r"-e (\w+=(?:'[^']*'|\w+))", text))
    return {name: value for name, _, value in found}


@each_text
def test_the_variables_are_options(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = variables(text)
    assert {"RUNPOD_EMULATOR_API_KEY", "RUNPOD_EMULATOR_ADMIN_KEY"} <= set(told)
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    settings = read_settings()
    assert (len(settings.api_key), len(settings.admin_key)) == (1, 1)


@each_text
def test_the_header_is_the_one_that_the_refusal_names(text: str) -> None:
    assert "Authorization: Bearer KEY" in RemoteAdmin.detail
    assert re.search("Authorization: Bearer (KEY|another-key)", text)


def test_the_page_shows_the_key_that_it_sets() -> None:
    (shown,) = re.findall(r"curl -H 'Authorization: Bearer (\S+)'", TEXTS[0])
    assert variables(TEXTS[0])["RUNPOD_EMULATOR_ADMIN_KEY"] == f'["{shown}"]'


def test_the_readme_says_it_too() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "--admin-key KEY" in readme and "Authorization: Bearer KEY" in readme and "docs/docker.md" in readme
