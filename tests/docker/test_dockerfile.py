"""The image and the compose file, as far as they can be checked without Docker."""

from __future__ import annotations

import importlib.util
import json
import re
import threading
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker" / "compose.yml"
SERVE_OPTIONS = {"--host", "--port"}
WAIT_OPTIONS = {"-t"}


class Instruction(NamedTuple):
    """One line of a Dockerfile, with its flags (``--from=x``) apart."""

    name: str
    flags: list[str]
    rest: str

    @property
    def exec_form(self) -> list[str]:
        """The JSON list; a shell form has none and fails here."""
        words = json.loads(self.rest.removeprefix("CMD ") if self.name == "HEALTHCHECK" else self.rest)
        assert isinstance(words, list)
        return words


def stages() -> list[list[Instruction]]:
    """The Dockerfile's instructions, cut at each FROM."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    found: list[list[Instruction]] = []
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = re.fullmatch(r"(\w+) ((?:--\S+ +)*)(.*)", line)
        assert match, line
        name, flags, rest = match.groups()
        if name == "FROM":
            found.append([])
        found[-1].append(Instruction(name, flags.split(), rest.strip()))
    return found


def of_the_image(name: str) -> list[Instruction]:
    return [step for step in stages()[-1] if step.name == name]


def the(name: str) -> Instruction:
    """The image's only instruction of this name."""
    (step,) = of_the_image(name)
    return step


def copied_here() -> list[str]:
    """Every source that a COPY takes from the project."""
    steps = [step for stage in stages() for step in stage if step.name == "COPY"]
    from_project = [step for step in steps if not any(flag.startswith("--from=") for flag in step.flags)]
    return [source for step in from_project for source in step.rest.split()[:-1]]


def serve_arguments() -> list[str]:
    return [*the("ENTRYPOINT").exec_form, *the("CMD").exec_form]


def sent_to_the_builder(path: Path) -> bool:
    """Read .dockerignore: the last pattern that matches the path or a folder above it decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.lstrip("!").removeprefix("**/").rstrip("/")
        if not line or line.startswith("#"):
            continue
        relative = path.relative_to(ROOT)
        above = [relative, *relative.parents][:-1]
        names = [part.name if line.startswith("**/") else part.as_posix() for part in above]
        if any(fnmatch(name, pattern) for name in names):
            sent = line.startswith("!")
    return sent


# The image


def test_everything_copied_exists_and_reaches_the_builder() -> None:
    assert copied_here()
    for source in copied_here():
        found = list(ROOT.glob(source.rstrip("/")))
        assert found, f"COPY {source}: no such file"
        assert all(sent_to_the_builder(path) for path in found), f"COPY {source}: excluded by .dockerignore"


def test_nothing_else_reaches_the_builder() -> None:
    assert not sent_to_the_builder(ROOT / ".git" / "config")
    assert not sent_to_the_builder(ROOT / "tests" / "docker" / "test_dockerfile.py")
    assert not sent_to_the_builder(
        ROOT / "emulator" / "runpod_emulator" / "core" / "__pycache__" / "job.cpython-312.pyc"
    )


def test_each_copied_stage_exists() -> None:
    names = {stage[0].rest.partition(" AS ")[2] for stage in stages()}
    used = {flag.partition("=")[2] for stage in stages() for step in stage for flag in step.flags if "--from" in flag}
    assert used <= names


def test_it_does_not_run_as_root() -> None:
    user = of_the_image("USER")[-1].rest
    assert user not in ("root", "0")
    assert any(f" {user}" in step.rest for step in of_the_image("RUN") if "useradd" in step.rest)


def test_it_is_small() -> None:
    images = [stage[0].rest.partition(" AS ")[0] for stage in stages()]
    assert set(images) == {"python:3.12-slim"}
    installs = [step for stage in stages() for step in stage if step.name == "RUN" and "pip install" in step.rest]
    assert all("--no-cache-dir" in step.rest for step in installs)


def test_it_serves_the_handlers_folder() -> None:
    program, verb, *arguments = serve_arguments()
    assert (program, verb) == ("runpod-emulator", "serve")
    assert {argument for argument in arguments if argument.startswith("-")} == SERVE_OPTIONS
    assert arguments[arguments.index("--host") + 1] == "0.0.0.0"
    assert arguments[arguments.index("--port") + 1] == the("EXPOSE").rest
    (folder,) = the("CMD").exec_form
    targets = [step.rest.split()[-1] for step in of_the_image("COPY")]
    assert folder in [target.rstrip("/") for target in targets]


def test_it_has_a_health_check() -> None:
    check = the("HEALTHCHECK")
    program, verb, *arguments = check.exec_form
    assert (program, verb) == ("runpod-emulator", "wait")
    assert {argument for argument in arguments if argument.startswith("-")} <= WAIT_OPTIONS
    (timeout,) = re.findall(r"--timeout=(\d+)s", " ".join(check.flags))
    assert int(arguments[arguments.index("-t") + 1]) < int(timeout)


# The compose file


@pytest.fixture
def services() -> dict[str, Any]:
    found = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
    assert isinstance(found, dict)
    return found


def mounts(service: dict[str, Any]) -> dict[str, Path]:
    """Path in the container -> path here."""
    parts = [volume.split(":") for volume in service.get("volumes", [])]
    return {target: COMPOSE.parent / source for source, target, *_ in parts}


def test_compose_builds_this_image(services: dict[str, Any]) -> None:
    context = (COMPOSE.parent / services["emulator"]["build"]).resolve()
    assert context == ROOT
    assert services["client"]["image"] == stages()[-1][0].rest


def test_compose_mounts_what_exists(services: dict[str, Any]) -> None:
    for service in services.values():
        for source in mounts(service).values():
            assert source.exists()
    assert the("CMD").exec_form == list(mounts(services["emulator"]))


def test_compose_publishes_the_port_to_this_machine_only(services: dict[str, Any]) -> None:
    (port,) = services["emulator"]["ports"]
    address, _, inside = port.split(":")
    assert (address, inside) == ("127.0.0.1", the("EXPOSE").rest)


def test_the_client_waits_for_health_and_finds_the_emulator(services: dict[str, Any]) -> None:
    client = services["client"]
    assert client["depends_on"] == {"emulator": {"condition": "service_healthy"}}
    assert client["environment"]["RUNPOD_ENDPOINT_BASE_URL"] == f"http://emulator:{the('EXPOSE').rest}/v2"
    script = client["command"][-1]
    assert PurePosixPath(script).is_absolute()
    assert mounts(client)[script] == ROOT / "docker" / "client.py"


# The client


class Script(BaseHTTPRequestHandler):
    """Answers each path with the next of its prepared bodies."""

    answers: dict[str, list[Any]]
    seen: list[tuple[str, str, Any]]

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.seen.append((self.command, self.headers["Authorization"], json.loads(self.rfile.read(length) or "null")))
        body = json.dumps(self.answers[self.path].pop(0)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[dict[str, list[Any]]], tuple[ModuleType, Any]]]:
    """Load the client against a server with these answers."""
    servers: list[ThreadingHTTPServer] = []

    def load(answers: dict[str, list[Any]]) -> tuple[ModuleType, Any]:
        script = type("Answers", (Script,), {"answers": answers, "seen": []})
        server = ThreadingHTTPServer(("127.0.0.1", 0), script)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setenv("no_proxy", "*")
        monkeypatch.setenv("RUNPOD_ENDPOINT_BASE_URL", f"http://127.0.0.1:{server.server_port}/v2")
        monkeypatch.setenv("RUNPOD_API_KEY", "some-key")
        spec = importlib.util.spec_from_file_location("compose_client", ROOT / "docker" / "client.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module, script

    yield load
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("status", "good"), [("COMPLETED", True), ("FAILED", False)])
def test_the_client_waits_for_a_job(client: Any, status: str, good: bool) -> None:
    module, script = client({"/v2/echo/runsync": [{"id": "1", "status": status}]})
    assert module.echo() is good
    assert script.seen == [("POST", "Bearer some-key", {"input": {"message": "hello"}})]


def test_the_client_reads_a_stream_to_its_end(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    chunks = [
        {"status": "IN_QUEUE", "stream": []},
        {"status": "IN_PROGRESS", "stream": [{"output": "one "}, {"output": "two "}]},
        {"status": "COMPLETED", "stream": [{"output": "three"}]},
    ]
    module, script = client({"/v2/tokens/run": [{"id": "7", "status": "IN_QUEUE"}], "/v2/tokens/stream/7": chunks})
    assert module.tokens() is True
    assert [method for method, *_ in script.seen] == ["POST", "GET", "GET", "GET"]
    assert capsys.readouterr().out.splitlines() == [
        "tokens: one ",
        "tokens: two ",
        "tokens: three",
        "tokens: COMPLETED",
    ]
