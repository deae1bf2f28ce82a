"""The files in docker/ that several emulators over one store are started from, and what they must have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from runpod_emulator.config.settings import Settings, read_settings
from runpod_emulator.stores.redis.address import read_address
from runpod_emulator.workers.environment import worker_environment

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docker"
IMAGE = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)?(:[a-z0-9.-]+)?")
"""Of an image without the name of a registry's host, which has a dot or a port."""


def documents(name: str) -> list[dict[str, Any]]:
    """Every document of a file in docker/."""
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def settings_of(words: list[str], variables: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the image makes of words of `serve` and variables; raises where one is none of its options."""
    own = {name: value for name, value in variables.items() if name.startswith("RUNPOD_EMULATOR_")}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    handlers = [word for word in words if word.startswith("/")]
    flags = [word for word in words if word not in handlers]
    names = [flag.removeprefix("--").replace("-", "_") for flag in flags[::2]]
    settings = read_settings(
        handlers=handlers, **{name: [value] for name, value in zip(names, flags[1::2], strict=True)}
    )
    assert {name.removeprefix("RUNPOD_EMULATOR_").lower() for name in own} <= set(Settings.model_fields)
    return settings


def check_store_url(url: str, service: str) -> None:
    """The URL of `--store` leads to a service of this name."""
    address = read_address(url)
    assert address.shown == f"redis://{service}:6379/0"


def check_store_command(words: list[str]) -> None:
    """The store's server keeps every job: over a restart, and when it is full."""
    assert words[0] == "valkey-server"
    given = dict(zip(words[1::2], words[2::2], strict=True))
    assert {name: given[name] for name in ("--appendonly", "--appendfsync", "--maxmemory-policy")} == {
        "--appendonly": "yes", "--appendfsync": "everysec", "--maxmemory-policy": "noeviction"
    }  # fmt: skip
    assert re.fullmatch(r"\d+gb", given["--maxmemory"])


def check_worker(variables: Mapping[str, str], base: str, endpoint: str, key: str) -> None:
    """A worker has what `worker-env` prints for this base, but for what is each worker's own."""
    own = {"RUNPOD_POD_ID", "RUNPOD_POD_HOSTNAME", "RUNPOD_API_KEY"}
    printed = worker_environment(base, endpoint, "w", key, "runpod-emulator", "", 4_000)
    expected = {name: value for name, value in printed.items() if name not in own}
    assert {name: value for name, value in variables.items() if name not in own} == expected
