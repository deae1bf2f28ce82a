"""Workers that are started elsewhere, and the options that declare endpoints for workers."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from dotenv import dotenv_values
from runpod_emulator.cli.main import cli
from runpod_emulator.config.services import Service
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.workers.environment import host_name, inherited, past_proxies, worker_environment

from tests.compat.servers import LIMIT, until
from tests.workers import programs
from tests.workers.programs import Host, client, program

host = programs.host

# Workers from elsewhere


def worker_env(*arguments: str) -> str:
    """What `worker-env` prints."""
    done = CliRunner().invoke(cli, ["worker-env", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    ("told", "given"),
    [
        ("", "127.0.0.1,localhost,::1"),
        ("intranet, 10.0.0.0/8", "intranet,10.0.0.0/8,127.0.0.1,localhost,::1"),
        ("*", None),
        ("intranet,*", None),
    ],
)
def test_loopback_is_past_proxies_and_no_proxy_at_all_stays_none(
    told: str, given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:1")
    monkeypatch.setenv("NO_PROXY", told)
    assert past_proxies() == ({} if given is None else {"NO_PROXY": given, "no_proxy": given})


@pytest.mark.parametrize("write", [str.upper, str.lower, str.title])
@pytest.mark.parametrize("key", ["api_key", "worker_key", "admin_key"])
def test_no_key_of_the_server_is_passed_on(
    key: str, write: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write(f"runpod_emulator_{key}")
    monkeypatch.setenv(name, '["the-key-of-the-server"]')
    monkeypatch.setenv("HF_TOKEN", "mine")
    assert getattr(read_settings(), key) == ["the-key-of-the-server"], "it is read"
    assert name not in inherited() and inherited()["HF_TOKEN"] == "mine"


@pytest.mark.parametrize("write", [str.upper, str.lower])
def test_the_password_of_the_store_is_not_passed_on(
    write: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write("runpod_emulator_store")
    monkeypatch.setenv(name, "redis://:word-of-the-store@127.0.0.1/0")
    assert read_settings().store == "redis://:word-of-the-store@127.0.0.1/0", "it is read"
    assert name not in inherited() and "word-of-the-store" in read_settings().secrets


AWKWARD = ("--worker", "w1", "--worker-key", 'a $b "c" `d` \\ #e', "--api-key", "k=1 $ID")
EXPECTED = worker_environment("http://10.0.0.7:8000", "ep", "w1", 'a $b "c" `d` \\ #e', "k=1 $ID")


@pytest.mark.parametrize("url", ["http://10.0.0.7:8000", "http://10.0.0.7:8000/", "http://10.0.0.7:8000/v2"])
def test_the_printed_environment_is_exactly_what_a_shell_exports(url: str) -> None:
    shell = shutil.which("sh")
    assert shell is not None
    printed = worker_env("ep", "--url", url, *AWKWARD)
    show = f"{printed}\n{shlex.quote(sys.executable)} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    answer = subprocess.run([shell, "-c", show], env={}, capture_output=True, text=True, check=True, timeout=LIMIT)
    exported = {name: value for name, value in json.loads(answer.stdout).items() if name.startswith("RUNPOD_")}
    assert exported == EXPECTED


def test_the_printed_environment_is_exactly_what_a_dotenv_file_gives(tmp_path: Path) -> None:
    file = tmp_path / "worker.env"
    file.write_text(worker_env("ep", "--url", "http://10.0.0.7:8000", "--format", "dotenv", *AWKWARD))
    assert dotenv_values(file) == EXPECTED


def test_every_printed_worker_has_an_id_of_its_own() -> None:
    ids = [re.search(r"RUNPOD_POD_ID=(\w+)", worker_env("ep")) for _ in range(2)]
    first, second = (found[1] for found in ids if found)
    assert first != second
    assert re.fullmatch(r"[a-z0-9]{14}", first)


def test_the_environment_of_a_worker() -> None:
    given = worker_environment("http://h:1", "ep", "w1", "wk", "ck")
    assert given == {
        "RUNPOD_WEBHOOK_GET_JOB": "http://h:1/v2/ep/job-take/$ID?gpu=CPU",
        "RUNPOD_WEBHOOK_POST_OUTPUT": "http://h:1/v2/ep/job-done/$RUNPOD_POD_ID/$ID?gpu=CPU",
        "RUNPOD_WEBHOOK_POST_STREAM": "http://h:1/v2/ep/job-stream/$RUNPOD_POD_ID/$ID?gpu=CPU",
        "RUNPOD_WEBHOOK_PING": "http://h:1/v2/ep/ping/$RUNPOD_POD_ID?gpu=CPU",
        "RUNPOD_AI_API_KEY": "wk",
        "RUNPOD_POD_ID": "w1",
        "RUNPOD_ENDPOINT_ID": "ep",
        "RUNPOD_POD_HOSTNAME": "w1-64410d87",
        "RUNPOD_PING_INTERVAL": "4000",
        "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
        "RUNPOD_SKIP_GPU_CHECK": "true",
        "RUNPOD_ENDPOINT_BASE_URL": "http://h:1/v2",
        "RUNPOD_API_BASE_URL": "http://h:1",
        "RUNPOD_API_KEY": "ck",
    }
    assert host_name("w1") == "w1-64410d87"


def test_an_endpoint_alone_waits_for_workers_from_elsewhere(host: Host, tmp_path: Path) -> None:
    server = host(None, endpoint=["ep"], workers_min=2).ready()
    here = client(server)
    job = here.submit("ME")
    assert here.workers() == {} and server.processes() == set()
    printed = worker_env("ep", "--url", server.root_url, "--worker", "mine")
    line = f"{printed}\nexec {program(tmp_path)}"
    with subprocess.Popen(["sh", "-c", line], env={"PATH": os.defpath}, cwd=tmp_path) as worker:
        try:
            ended = here.ended(job)
            assert ended["output"] == ended["workerId"] == "mine"
            until(lambda: here.workers() == {"idle": 1})
        finally:
            worker.kill()


# Saying it wrong


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"command": ["ep"]}, "--command ep: write ID=COMMAND, as in ID='python -u handler.py'"),
        ({"command": ["ep="]}, "--command ep=: write ID=COMMAND"),
        ({"command": ["ep=  "]}, "write ID=COMMAND"),
        ({"command": ["ep=python 'x"]}, "--command ep=python 'x: No closing quotation"),
        ({"command": ["a b=python x"]}, "'a b' can't be an endpoint id"),
        ({"command": ["=python x"]}, "'' can't be an endpoint id"),
        ({"command": ["ep=x", "ep=y"]}, "two handlers for endpoint ep: x and y"),
        ({"command": ["ep=x"], "endpoint": ["ep"]}, "two handlers for endpoint ep: workers started elsewhere and x"),
        ({"endpoint": ["ep="]}, "--endpoint ep=: write ID=HANDLER, or ID alone for workers started elsewhere"),
        ({"endpoint": ["a/b"]}, "'a/b' can't be an endpoint id"),
        ({}, "nothing to serve"),
    ],
)
def test_a_wrong_option_says_what_to_write(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(text)) as error:
        read_settings(**settings).services()
    assert error.value.exit_code == 2


def test_a_command_is_split_as_a_shell_does() -> None:
    services = read_settings(command=["ep=python -u 'my handler.py' --x=\"1 2\""], endpoint=["far"]).services()
    assert services == {
        "ep": Service(command=("python", "-u", "my handler.py", "--x=1 2")),
        "far": Service(),
    }
    assert str(services["far"]) == "workers started elsewhere"
