"""A built Flash app behind `serve --flash`, called by the official client, `runpod-flash`, unmodified.

Load-balanced functions have hosts of their own. The page says which line /etc/hosts needs for them where `*.localhost`
is not found; a test does not touch that file, so a `sitecustomize.py` on the client's PYTHONPATH stands in for it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.compat.sdks import interpreter
from tests.compat.servers import ROOT, SOURCE, Command, commands
from tests.conftest import require

pytestmark = pytest.mark.compat

VERSION = "1.21.0"
APP = Path(__file__).parent / "flash_app"
CALLS = Path(__file__).parent / "flash_calls.py"
PAGE = (ROOT / "docs" / "flash.md").read_text()
LIMIT = 120
(HOSTS,) = re.findall(r"```\n(127.*?)\n```", PAGE)
LOOKUP = f"""
import socket

ADDRESS, *NAMES = {HOSTS.split()}
lookup = socket.getaddrinfo


def getaddrinfo(host, *rest, **options):
    name = host.decode() if isinstance(host, bytes) else host
    return lookup(ADDRESS if name in NAMES else host, *rest, **options)


socket.getaddrinfo = getaddrinfo
"""
STUBS = """
stubs:
  - {endpoint: forecast, match: {input: {city: Oslo}}, respond: {output: {city: Oslo, weather: rain}}}
  - {endpoint: forecast, match: {input: {city: Atlantis}}, respond: {error: no such city}}
  - {endpoint: slow, respond: {delay: 10m, output: late}}
"""


def begin(*words: object, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """A command, running."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RUNPOD_", "FLASH_"))}
    environment = {"RUNPOD_URL_MIXED_OK": "1", "RUNPOD_FLASH_SILENCE_DEPRECATION": "1", **environment}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*map(str, words)], cwd=cwd, env=clean | environment, text=True, **pipes)


def run(*words: object, cwd: Path, **environment: str) -> str:
    """What a command prints; it must end well."""
    return printed(begin(*words, cwd=cwd, **environment))


def printed(process: subprocess.Popen[str]) -> str:
    """What a process printed by its end, which must be a good one."""
    try:
        told, complaints = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    assert process.returncode == 0, told + complaints
    return told


def name_hosts(folder: Path) -> Path:
    """A folder that, on the PYTHONPATH of a program, does what the page's line does in /etc/hosts."""
    (folder / "sitecustomize.py").write_text(LOOKUP)
    return folder


def urls(server: Command) -> tuple[str, str]:
    """The base URL over HTTP, and over HTTPS by a name that others can stand in front of."""
    return server.base_url, server.out.line(" HTTPS ").split()[-1]


@pytest.fixture(scope="session")
def flash_bin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with runpod-flash; what the tests' own has, such as runpod, serves it too."""
    folder = tmp_path_factory.mktemp("flash") / "venv"
    run(sys.executable, "-m", "venv", folder, cwd=ROOT)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "parent.pth").write_text(sysconfig.get_path("purelib"))
    words = ("install", "--quiet", "--disable-pip-version-check", f"runpod-flash=={VERSION}")
    run(folder / "bin" / "python", "-m", "pip", *words, cwd=ROOT)
    return folder / "bin"


@pytest.fixture(scope="module")
def app(flash_bin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app, built."""
    folder = tmp_path_factory.mktemp("apps") / "shop"
    shutil.copytree(APP, folder, ignore=shutil.ignore_patterns(".flash", "__pycache__"))
    run(flash_bin / "flash", "build", "--no-deps", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def server(app: Path, flash_bin: Path) -> Iterator[Command]:
    """The app's functions, and two endpoints of stubs."""
    (app.parent / "stubs.yaml").write_text(STUBS)
    with commands(app.parent) as start:
        serving = ("serve", "--flash", "shop", "--python", flash_bin / "python", "--stubs", "stubs.yaml", "--port", 0)
        yield start(*serving, "--tls", "--tls-port", 0, "--tls-folder", "tls").ready()


Said = dict[str, Any]


@pytest.fixture(scope="module")
def called(server: Command, app: Path, flash_bin: Path) -> Callable[[str], subprocess.Popen[str]]:
    """Begins the calls of a group over plain HTTP."""
    variables = {"RUNPOD_ENDPOINT_BASE_URL": urls(server)[0], "RUNPOD_API_KEY": "rpa_test", "PYTHONPATH": str(app)}
    return lambda group: begin(flash_bin / "python", CALLS, group, cwd=app, **variables)


@pytest.fixture(scope="module")
def pausing(called: Callable[[str], subprocess.Popen[str]]) -> Iterator[subprocess.Popen[str]]:
    """A client that pauses between its calls, beside all the others."""
    process = called("paused")
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def said(called: Callable[[str], subprocess.Popen[str]], pausing: object) -> Said:
    """What the calls of queue functions came to."""
    told: Said = json.loads(printed(called("queue")))
    return told


@pytest.fixture(scope="module")
def said_tls(said: Said, server: Command, app: Path, flash_bin: Path, tmp_path_factory: pytest.TempPathFactory) -> Said:
    """What the calls of load-balanced functions came to, and some others over HTTPS, after all of `said`."""
    variables = {
        "RUNPOD_ENDPOINT_BASE_URL": urls(server)[1],
        "RUNPOD_API_KEY": "rpa_test",
        "SSL_CERT_FILE": str(app.parent / "tls" / "ca.pem"),
        "PYTHONPATH": f"{app}{os.pathsep}{name_hosts(tmp_path_factory.mktemp('names'))}",
    }
    told: Said = json.loads(run(flash_bin / "python", CALLS, "balanced", cwd=app, **variables))
    return told


@pytest.mark.parametrize(("name", "total"), [("positional", 6), ("default", 3), ("keywords", 7)])
def test_a_function_runs_in_a_worker_with_its_own_variables(said: Said, name: str, total: int) -> None:
    assert (said[name]["sum"], said[name]["model"]) == (total, "tiny")
    assert said[name]["worker"] == said["default"]["worker"]


def test_a_function_calls_another_one(said: Said) -> None:
    assert said["to another"] == 8


def test_a_function_without_arguments_and_what_it_knows_of_itself(said: Said) -> None:
    names = {"FLASH_APP": "shop", "FLASH_ENV": "production"}
    assert said["no arguments"] == names | {"FLASH_RESOURCE_NAME": "where", "RUNPOD_ENDPOINT_ID": "where"}


def test_an_exception_comes_back(said: Said) -> None:
    assert said["raised"] == "RuntimeError: remote execution failed: nobody to greet"


def test_an_object_keeps_its_state(said: Said) -> None:
    assert said["class"] == [11, 16, 16]


def test_a_worker_runs_as_many_at_once_as_the_app_says(said: Said) -> None:
    assert said["together"] == [3, 3, 3]


def test_a_function_that_blocks_its_worker_keeps_its_result(said: Said) -> None:
    assert said["blocking"] == [6]


def test_stubs_answer_a_flash_client(said: Said) -> None:
    assert said["stub"] == {"city": "Oslo", "weather": "rain"}
    assert said["stub that fails"] == "RuntimeError: remote execution failed: no such city"


def test_what_is_not_served_is_told_by_client_and_log(said: Said, server: Command) -> None:
    assert said["not served"] == (
        "RuntimeError: endpoint 'nowhere' not found in app 'shop' environment 'production'. "
        "deploy it first with 'flash deploy'."
    )
    served = "adder, caller, counter, failing, napper, party, where, forecast, slow, web"
    server.err.line(f"'nowhere' of app 'shop', environment 'production' not found: the endpoints here are {served}")


def test_an_endpoint_by_its_id(said: Said) -> None:
    assert said["by id"] == {"run": 2, "runsync": 4, "status": "COMPLETED", "cancelled": "CANCELLED"}


def test_the_workers_come_from_the_manifest(said: Said, server: Command) -> None:
    answer = httpx.get(f"{server.base_url}/adder/metrics", headers={"authorization": "k"}, trust_env=False).json()
    assert (answer["readyWorkers"], answer["workers"]["ready"]) == ([said["default"]["worker"]], 1)


# Load-balanced functions


def test_a_load_balanced_function_by_id_and_by_name(said_tls: Said) -> None:
    (one, other) = (said_tls["by id"], said_tls["by name"])
    assert (one["hello"], other["hello"]) == ("Ada", "Bob")
    assert one["process"] == other["process"], "both are the one worker that the app allows"


def test_it_knows_itself_and_takes_a_query(said_tls: Said) -> None:
    app = {"FLASH_APP": "shop", "FLASH_ENV": "production", "FLASH_RESOURCE_NAME": "web", "FLASH_ENDPOINT_TYPE": "lb"}
    known = {**app, "RUNPOD_ENDPOINT_ID": "web", "MODEL": "tiny", "greeting": "hi"}
    assert (said_tls["query by id"], said_tls["query by name"]) == (known, known)


def test_another_method_with_a_path_of_its_own(said_tls: Said) -> None:
    assert said_tls["path"] == {"number": 7, "size": 3}


def test_an_answer_comes_part_by_part(said_tls: Said) -> None:
    assert said_tls["stream"] == ["first", "second"]


def test_queue_functions_are_called_over_https_too(said: Said, said_tls: Said) -> None:
    assert said_tls["function"] == {"sum": 6, "model": "tiny", "worker": said["default"]["worker"]}
    assert said_tls["object"] == said["class"][-1] + 5
    assert said_tls["job by id"] == {"run": 2, "runsync": 4, "status": "COMPLETED", "cancelled": "CANCELLED"}


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("wrong method", "HTTPStatusError: Client error '405 Method Not Allowed'"),
        ("refused by the function", "HTTPStatusError: Client error '422 Unprocessable Entity'"),
        ("a queue function", "HTTPStatusError: Client error '400 Bad Request'"),
        ("a job", "HTTPStatusError: Client error '400 Bad Request'"),
        (
            "not served",
            "RuntimeError: endpoint 'nowhere' not found in app 'shop' environment 'production'. "
            "deploy it first with 'flash deploy'.",
        ),
    ],
)
def test_what_goes_wrong_is_told(said_tls: Said, server: Command, name: str, refusal: str) -> None:
    assert said_tls[name] == refusal
    assert [line for line in server.err.text.splitlines() if line.startswith("Traceback")] == []


# Images

IMAGES = """
[images]
"you/echo:*" = { handler = "echo.py" }
"""
ECHO = """
import os


def handler(job):
    return {"got": job["input"], "who": os.environ["WHO"]}
"""
DEPLOYS = """
import asyncio
import json

from runpod_flash import Endpoint, GpuGroup


async def run(image, who):
    endpoint = Endpoint(name="echo", image=image, gpu=[GpuGroup.ADA_24], env={"WHO": who}, workers=(0, 2))
    job = await endpoint.run({"a": 1})
    await job.wait(timeout=20)
    return job.output


async def main():
    told = [await run("you/echo:1", "me"), (await run("you/echo:1", "you"))["got"]]
    try:
        await Endpoint(name="other", image="you/other", gpu=[GpuGroup.ADA_24]).run({"a": 1})
    except Exception as error:
        told.append(str(error))
    print(json.dumps(told))


asyncio.run(main())
"""


def test_an_endpoint_of_an_image_is_deployed_changed_and_deleted(flash_bin: Path, tmp_path: Path) -> None:
    (tmp_path / "runpod-emulator.toml").write_text(IMAGES)
    (tmp_path / "echo.py").write_text(ECHO)
    with commands(tmp_path) as start:
        server = start("serve", "--port", 0).ready()
        variables = {
            "RUNPOD_ENDPOINT_BASE_URL": server.base_url,
            "RUNPOD_API_BASE_URL": server.root_url,
            "RUNPOD_API_KEY": "rpa_test",
            "FLASH_IS_LIVE_PROVISIONING": "false",
        }
        told = run(flash_bin / "python", "-c", DEPLOYS, cwd=tmp_path, **variables).splitlines()[-1]
        first, second, refusal = json.loads(told)
        assert (first, second) == ({"got": {"a": 1}, "who": "me"}, {"a": 1})
        assert "no handler stands in for image 'you/other'" in refusal
        (one,) = server.http.get("/serverless").json()["endpoints"]
        assert (one["name"], one["image"], one["env"]["WHO"]) == ("echo", "you/echo:1", "you")
        run(flash_bin / "flash", "undeploy", "--all", "--force", cwd=tmp_path, **variables)
        assert server.http.get("/serverless").json() == {"endpoints": []}


# The coming SDK

NEXT = """
import json
import runpod

calls = [
    runpod.Queue(app="shop", name="adder").remote(a=1)["sum"],
    runpod.Queue(app="another", id="adder").remote(a=2, b=2)["sum"],
    runpod.Api(app="shop", name="web").post("/hello", {"name": "Ada"})["hello"],
]
print(json.dumps(calls))
"""


def test_the_next_sdk_calls_the_same_functions(server: Command, app: Path, tmp_path: Path) -> None:
    variables = {
        "RUNPOD_ENDPOINT_BASE_URL": urls(server)[1],
        "RUNPOD_API_KEY": "rpa_test",
        "SSL_CERT_FILE": str(app.parent / "tls" / "ca.pem"),
        "PYTHONPATH": str(name_hosts(tmp_path)),
    }
    assert json.loads(run(interpreter("2.0"), "-c", NEXT, cwd=tmp_path, **variables)) == [3, 4, "Ada"]


# docs/flash.md


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_leads_to_a_call(flash_bin: Path, tmp_path: Path) -> None:
    functions, call = blocks("python")[:2]
    install, serve, client = (block.replace(".venv/bin", str(flash_bin)) for block in blocks("sh")[:3])
    folder = tmp_path / "shop"
    (folder / "tests").mkdir(parents=True)
    (folder / "functions.py").write_text(functions)
    (folder / "tests" / "call.py").write_text(call)
    assert f"runpod-flash=={VERSION}" in install
    run(*install.splitlines()[-1].split(), cwd=folder)
    with commands(folder) as start:
        server = start(*serve.split()[1:], "--port", 0).ready()
        script = client.replace("http://127.0.0.1:8000", server.root_url)
        assert run("sh", "-ec", script, cwd=folder) == blocks("text")[0]


def test_the_page_leads_to_a_load_balanced_function(flash_bin: Path, tmp_path: Path) -> None:
    require("curl")
    functions, call, more, web = blocks("python")
    serve, client, curl = (block.replace(".venv/bin", str(flash_bin)) for block in blocks("sh")[3:])
    folder = tmp_path / "shop"
    (folder / "tests").mkdir(parents=True)
    (folder / "functions.py").write_text(functions + more)
    (folder / "tests" / "call.py").write_text(call)
    (folder / "tests" / "web.py").write_text(web)
    build, start_it = serve.splitlines()
    run(*build.split(), cwd=folder)
    name_hosts(folder)
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    path = {"PATH": f"{command_in(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}"}
    with commands(folder) as start:
        server = start(*start_it.split()[1:], "--port", 0, "--tls-port", 0, **home).ready()
        plain, tls = (url.removesuffix("/v2") for url in urls(server))
        script = client.replace("https://api.localhost:8443", tls)
        assert run("sh", "-ec", script, cwd=folder, **home, **path) == blocks("text")[1]
        answer = run("sh", "-ec", curl.replace("http://127.0.0.1:8000", plain), cwd=folder)
        assert json.loads(answer) == {"hello": "Ada"}


def command_in(folder: Path) -> Path:
    """A folder with the program `runpod-emulator`, for a PATH."""
    folder.mkdir()
    program = folder / "runpod-emulator"
    program.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(SOURCE))} exec {shlex.quote(sys.executable)} -m runpod_emulator "$@"\n'
    )
    program.chmod(0o755)
    return folder


# At the end, as it has waited long enough by now


def test_calls_after_pauses_are_answered(pausing: subprocess.Popen[str]) -> None:
    assert json.loads(printed(pausing)) == {"calls": [0] * 4}
