"""docs/flash.md names options that exist and what the code says; tests/compat/test_flash.py runs it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from runpod_emulator.cli.serve import serve
from runpod_emulator.cli.showing import tls
from runpod_emulator.config.flash import ENVIRONMENT
from runpod_emulator.config.options import all_options, flag
from runpod_emulator.core.platform import preset

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "flash.md").read_text(encoding="utf-8")
OF_OTHERS = {"--no-deps"}


def test_every_option_is_one() -> None:
    known = {flag(name) for name in all_options()} | {option for given in tls.params for option in given.opts}
    assert set(re.findall(r"--[a-z-]+", PAGE)) - OF_OTHERS <= known


def test_the_commands_are_understood() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("runpod-emulator serve")]
    params = [serve.make_context("serve", shlex.split(line)[2:]).params for line in lines]
    assert [(one["flash"], one["python"]) for one in params] == [((".",), ".venv/bin/python")] * 2
    assert [bool(one["tls"]) for one in params] == [False, True]


def test_the_numbers_are_those_of_the_code() -> None:
    assert (preset("observed").worker_lease, "taken for lost after 40 s" in PAGE) == (40_000, True)
    assert ENVIRONMENT == "production"
