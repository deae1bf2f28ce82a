"""docs/workers.md and its compose file say what the code does."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from runpod_emulator.cli.main import cli
from runpod_emulator.cli.serve import serve
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.endpoint.polling import OBEY
from runpod_emulator.core.fleet.backoff import FIRST_BACKOFF, LONGEST_BACKOFF
from runpod_emulator.core.platform import preset
from runpod_emulator.server.server import DEFAULT_KEY
from runpod_emulator.workers.child import CLOSING_GRACE, STOP_GRACE, TERMINATE_GRACE
from runpod_emulator.workers.environment import worker_environment
from runpod_emulator.workers.runner.isolation import GATE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "workers.md").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker" / "workers.yml").read_text(encoding="utf-8"))


def blocks(language: str) -> list[str]:
    """The page's code in this language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("runpod-emulator ")]


# The compose file


def test_the_compose_file_gives_the_environment_of_a_worker() -> None:
    environment = COMPOSE["services"]["worker"]["environment"]
    assert all(isinstance(value, str) for value in environment.values())
    assert not any(re.search(r"(?<!\$)\$(\$\$)*(?!\$)", value) for value in environment.values())
    given = {name: value.replace("$$", "$") for name, value in environment.items()}
    worker = environment["RUNPOD_POD_ID"]
    assert given == worker_environment("http://emulator:8000", "my-image", worker, DEFAULT_KEY, DEFAULT_KEY)


def test_the_compose_file_serves_what_its_worker_joins() -> None:
    emulator, worker = COMPOSE["services"]["emulator"], COMPOSE["services"]["worker"]
    context = serve.make_context("serve", list(emulator["command"]))
    assert context.params["endpoint"] == (worker["environment"]["RUNPOD_ENDPOINT_ID"],)
    assert worker["depends_on"] == {"emulator": {"condition": "service_healthy"}}
    assert "HEALTHCHECK" in (ROOT / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (\S+)", worker["build"]["dockerfile_inline"], re.MULTILINE):
        assert (ROOT / source).is_file()


def test_the_compose_file_says_what_worker_env_prints() -> None:
    text = (ROOT / "docker" / "workers.yml").read_text()
    found = re.search(r"`runpod-emulator (worker-env [^`]+)`", text)
    assert found is not None
    printed = CliRunner().invoke(cli, [*shlex.split(found[1]), "--format", "dotenv"]).stdout
    environment = COMPOSE["services"]["worker"]["environment"]
    assert printed == "".join(f"{name}='{value}'\n".replace("$$", "$") for name, value in environment.items())


# The page


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handler.py").touch()
    name, *arguments = shlex.split(line.removeprefix("runpod-emulator ").partition(">")[0])
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    params = command.make_context(name, arguments).params
    if name == "serve":
        chosen = {key: list(params[key]) for key in ("handlers", "endpoint", "command") if params[key]}
        assert len(read_settings(**chosen).services()) == 1


def test_the_handler_is_a_handler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = blocks("python")
    configs: list[dict[str, Any]] = []
    fake = ModuleType("runpod")
    fake.serverless = ModuleType("runpod.serverless")  # type: ignore[attr-defined]
    fake.serverless.start = configs.append
    monkeypatch.setitem(sys.modules, "runpod", fake)
    (tmp_path / "handler.py").write_text(source)
    runpy.run_path(str(tmp_path / "handler.py"), run_name="__main__")
    assert configs[0]["handler"]({"id": "j", "input": {"name": "you"}}) == {"hello": "you"}


def test_the_page_shows_what_worker_env_prints() -> None:
    (line,) = [line for line in COMMANDS if "worker-env" in line]
    arguments = shlex.split(line.removeprefix("runpod-emulator ").partition(">")[0])
    printed = CliRunner().invoke(cli, [*arguments, "--worker", "w1"]).output
    assert printed in blocks("sh")


def test_an_image_gets_every_variable_and_no_other() -> None:
    shell = shutil.which("sh")
    assert shell is not None
    (block,) = [block for block in blocks("sh") if "docker run" in block]
    line = block.splitlines()[1].replace("docker run", f"{shlex.quote(sys.executable)} -c {shlex.quote(SHOW)}")
    exports = next(block for block in blocks("sh") if block.startswith("export "))
    answer = subprocess.run(
        [shell, "-c", f"{exports}\n{line}"],
        env={"PATH": "/usr/bin:/bin", "OTHER": "x"}, capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    first, *flags, image = json.loads(answer.stdout)
    assert (first, image) == ("--rm", "you/your-worker")
    names = worker_environment("http://h:1", "ep", "w", "k", "k")
    assert sorted(zip(flags[::2], flags[1::2], strict=True)) == sorted(("-e", name) for name in names)


SHOW = "import json, sys; print(json.dumps(sys.argv[1:]))"


def test_the_numbers_are_those_of_the_code() -> None:
    platform = preset("observed")
    text = " ".join(PAGE.split())
    assert (OBEY, "goes on for 10 s" in text) == (10_000, True)
    assert (platform.worker_poll_hold, "within 10 s more" in text) == (10_000, True)
    assert (platform.worker_lease, "for 40 s (`worker_lease`)" in text) == (40_000, True)
    assert (platform.run_result_limit, "above 20 MiB" in text) == (20 * 1024 * 1024, True)
    assert (FIRST_BACKOFF, LONGEST_BACKOFF, "after 1 s, 2 s, 4 s … 30 s" in text) == (1_000, 30_000, True)
    assert (TERMINATE_GRACE, "nobody wants has 1 s" in text) == (1.0, True)
    assert (CLOSING_GRACE, "SIGKILL after 2 s" in text) == (2.0, True)
    assert f"http://127.0.0.1:{GATE}" in text
    assert (STOP_GRACE, "has 10 s (`--stop-grace`)" in text) == (10.0, True)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
