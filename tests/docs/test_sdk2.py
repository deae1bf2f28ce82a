"""docs/sdk-2.md names options that exist; tests/compat/test_sdk2_client.py runs it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from emulator.cli import serve, tls
from emulator.config.options import all_options, flag

PAGE = (Path(__file__).parents[2] / "docs" / "sdk-2.md").read_text(encoding="utf-8")


def test_every_option_is_one() -> None:
    known = {flag(name) for name in all_options()} | {option for given in tls.params for option in given.opts}
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) <= known


def test_the_command_is_understood() -> None:
    (line,) = [line for line in PAGE.splitlines() if line.startswith("runpod-emulator serve")]
    params = serve.make_context("serve", shlex.split(line)[2:]).params
    assert (params["handlers"], params["load_balancer"], params["tls"]) == (
        ("handlers/echo.py", "handlers/tokens.py"), ("web=app.py:app",), True,
    )  # fmt: skip
