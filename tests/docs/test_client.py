"""Whoever follows docs/client.md gets what it says: every command of it runs here, and ends with the code it names."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from runpod_emulator.cli.client import ends
from runpod_emulator.cli.main import COMMANDS

from tests.compat.servers import LIMIT, ROOT, SOURCE, Command, commands
from tests.conftest import require

PAGE = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
_BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
RUN = [block for block in _BLOCKS if "serve handlers" not in block and "api.runpod.ai" not in block]


def test_every_command_of_the_client_is_on_the_page() -> None:
    ours = [name for group in COMMANDS.values() for name, place in group.items() if place.module.startswith("client.")]
    assert [name for name in ours if f"runpod-emulator {name} " not in PAGE and f"`{name}" not in PAGE] == []


def test_every_exit_code_is_on_the_page() -> None:
    codes = [value for name, value in vars(ends).items() if name.isupper() and isinstance(value, int)]
    assert len(codes) == 7
    for code in codes:
        assert f"\n| {code} | " in PAGE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page's commands run, with the command's own name on the path."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "handlers").symlink_to(ROOT / "handlers")
    (folder / "bin").mkdir()
    command = folder / "bin" / "runpod-emulator"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m runpod_emulator "$@"\n')
    command.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Command]:
    (folder / "run").mkdir()
    with commands(folder) as start:
        yield start("serve", "handlers", "--port", 0, XDG_RUNTIME_DIR=str(folder / "run")).ready()


def shell(folder: Path, script: str, *shell: str) -> subprocess.CompletedProcess[str]:
    """A script, on a machine where that emulator runs."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
    environment = {
        **clean, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(SOURCE),
        "XDG_RUNTIME_DIR": str(folder / "run"),
    }  # fmt: skip
    return subprocess.run(
        [*(shell or ("bash",)), "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )


@pytest.mark.compat
@pytest.mark.parametrize("block", RUN, ids=range(len(RUN)))
def test_a_block_of_the_page(served: Command, folder: Path, block: str) -> None:
    script = "set -eo pipefail\n"
    for line in block.splitlines():
        code = re.search(r"# exits with (\d)", line)
        script += f"code=0; {line.partition('  #')[0]} || code=$?; test $code = {code[1]}\n" if code else f"{line}\n"
    done = shell(folder, script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "runpod_emulator/cli" not in done.stderr, "no traceback of the command's own"
    if "Hi, Ada" in block:
        assert "Hi, Ada\n" in done.stdout


_COMPLETED = """
source <(_RUNPOD_EMULATOR_COMPLETE=bash_source runpod-emulator)
complete() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    _runpod_emulator_completion runpod-emulator "${COMP_WORDS[$COMP_CWORD]}" ""
    echo "${COMPREPLY[*]}"
}
complete runpod-emulator sub
complete runpod-emulator submit prog
complete runpod-emulator submit --fol
complete runpod-emulator status echo/
"""


@pytest.mark.compat
def test_bash_completes_commands_options_endpoints_and_jobs(served: Command, folder: Path) -> None:
    require("bash")
    name = shell(folder, "runpod-emulator submit echo a=1").stdout.strip()
    done = shell(folder, _COMPLETED)
    submit, endpoint, option, job = done.stdout.splitlines()
    assert (submit, endpoint, option) == ("submit", "progress", "--follow"), done.stderr
    assert name in job.split()


@pytest.mark.compat
def test_zsh_completes(served: Command, folder: Path) -> None:
    require("zsh")
    script = 'autoload -U compinit; compinit -u; eval "$(_RUNPOD_EMULATOR_COMPLETE=zsh_source runpod-emulator)"'
    done = shell(folder, f"{script}; whence -w _runpod_emulator_completion", "zsh", "-f")
    assert "_runpod_emulator_completion: function" in done.stdout, done.stderr
