"""The command line: what it prints, what it exits with, and what it leaves behind."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runpod_emulator import __version__
from runpod_emulator.cli import main as cli
from runpod_emulator.cli import serve as serve_module
from runpod_emulator.core.platform import Platform, preset

from tests.compat.servers import HANDLERS, ROOT, Command, Starter, commands, until
from tests.conftest import require
from tests.gates import PASS, Gate
from tests.workers.processes import needs_proc

ECHO = str(HANDLERS / "echo.py")
SERVE_ECHO = ("--endpoint", f"echo={ECHO}", "--")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    with commands(tmp_path) as start:
        yield start


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """`serve handlers/echo.py`, ready."""
    with commands(tmp_path_factory.mktemp("echo")) as start:
        yield start("serve", ECHO, "--port", 0).ready()


Answer = tuple[int, str, str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run a command that ends before it serves, within this process: its exit code, stdout and stderr."""
    for name in [name for name in os.environ if name.startswith("RUNPOD_EMULATOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["runpod-emulator", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        written = capsys.readouterr()
        return int(ended.value.code or 0), written.out, written.err

    return run


def write(folder: Path, source: str, name: str = "handler.py") -> str:
    (folder / name).write_text(textwrap.dedent(source))
    return name


# Help


def test_python_m_emulator_is_the_command(start: Starter) -> None:
    command = start("--version")
    assert command.code() == 0
    assert command.out.whole() == f"runpod-emulator, version {__version__}\n"


def test_every_command_and_option_is_explained(run: Callable[..., Answer]) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for name in (name for group in cli.COMMANDS.values() for name in group):
        assert re.search(rf"^  {name} +[A-Z]", out, re.MULTILINE)
        code, own, _ = run(name, "--help")
        assert code == 0
        assert own.startswith(f"Usage: runpod-emulator {name} [OPTIONS]")
    assert {"--endpoint", "--port-file", "--python", "--set"} <= set(re.findall(r"--[\w-]+", run("exec", "--help")[1]))


# What is refused before anything is served


def wrong(*arguments: str, names: str) -> object:
    return pytest.param(arguments, names, id=" ".join(arguments) or "nothing")


def test_a_wrong_use_shows_no_secret(run: Callable[..., Answer]) -> None:
    code, _, err = run("serve", "--port", "--api-key=SECRET12345")
    assert (code, err.endswith("Invalid value for '--port': '--api-key=****' is not a valid integer.\n")) == (2, True)


@pytest.mark.parametrize("command", ["serve", "exec"])
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        wrong("--log-fromat", names="--log-format"),
        wrong("echo.py", "--environment", "HF_TOKEN SECRET12345", names="--environment: HF_TOKEN …: write NAME=VALUE"),
        wrong("missing.py", names="missing.py: there is no file missing.py"),
        wrong("empty", names="no handler in empty"),
        wrong("echo", names="handler echo: there is no file or folder of this name"),
        wrong("package.module", names="write file.py, file.py:function, package.module:function or a directory"),
        wrong("echo.py", "--set", "workers_maxx=3", names="The nearest is workers_max"),
        wrong("echo.py", "--set", "workers_max=three", names="workers_max is a whole number"),
        wrong("echo.py", "--endpoint", "two=", names="--endpoint two=: write ID=HANDLER"),
        wrong("echo.py", "--endpoint", "a/b=echo.py", names="'a/b' can't be an endpoint id"),
        wrong("echo.py", "--endpoint", "echo=echo.py", names="two handlers for endpoint echo"),
        wrong("echo.py", "--execution-timeout", "1", names="must be from 5000 to 604800000 ms, got 1"),
        wrong("echo.py", "--execution-timeout", "4999ms", names="execution_timeout must be from 5000"),
        wrong("echo.py", "--execution-timeout", "8d", names="execution_timeout must be from 5000"),
        wrong("echo.py", "--execution-timeout", "soon", names="--execution-timeout: write milliseconds, or"),
        wrong("echo.py", "--job-ttl", "9s", names="job_ttl must be from 10000"),
        wrong("echo.py", "--workers-min", "4", names="workers_min (4) is above workers_max (3)"),
        wrong("echo.py", "--workers-min", "-1", names="--workers-min: "),
        wrong("echo.py", "--workers-max", "few", names="'few' is not a valid integer"),
        wrong("echo.py", "--profile", "strict", names="'strict' is not one of 'observed', 'documented'"),
        wrong("echo.py", "--log-level", "loud", names="'loud' is not one of"),
    ],
)
def test_a_wrong_setting_exits_with_2(
    run: Callable[..., Answer], tmp_path: Path, command: str, arguments: tuple[str, ...], words: str
) -> None:
    write(tmp_path, "handler = print", "echo.py")
    (tmp_path / "empty").mkdir()
    if command == "exec":
        handler = () if arguments[0].startswith("--") else ("--handler", arguments[0])
        arguments = (*handler, *arguments[bool(handler) :], "--", "true")
    else:
        arguments = (*arguments, "--port", "0")
    code, out, err = run(command, *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "nothing to serve: name a handler, as in 'runpod-emulator serve handler.py'"),
        (("echo.py", "--port", "70000"), "--port: Input should be less than or equal to 65535"),
        (("echo.py", "--port", "-1"), "--port: "),
        (("echo.py", "--port", "http"), "'http' is not a valid integer"),
    ],
)
def test_serve_refuses(run: Callable[..., Answer], tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    write(tmp_path, "handler = print", "echo.py")
    code, out, err = run("serve", *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_exec_needs_a_command_and_a_handler(run: Callable[..., Answer], tmp_path: Path) -> None:
    write(tmp_path, "handler = print", "echo.py")
    code, _, err = run("exec", "--endpoint", "echo=echo.py")
    assert code == 2
    assert "Missing argument 'COMMAND...'" in err
    code, _, err = run("exec", "--", "true")
    assert code == 2
    assert "nothing to serve" in err


@pytest.mark.filterwarnings("error:The name 'command' is used")
def test_exec_takes_a_command_worker_as_serve_does(run: Callable[..., Answer]) -> None:
    code, _, err = run("exec", "--command", "sdk=", "--", "true")
    assert code == 2
    assert "--command sdk=: write ID=COMMAND" in err


def test_a_wrong_variable_of_the_environment_exits_with_2(
    run: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNPOD_EMULATOR_PORT", "nine")
    code, _, err = run("serve", ECHO)
    assert code == 2
    assert "valid integer" in err


# The configuration file


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Starts commands below a folder with a handler and a configuration file."""
    folder = tmp_path_factory.mktemp("configured")
    write(folder, "def handler(job):\n    return [job['input'], __import__('os').environ['MODEL']]\n", "h.py")
    write(folder, "[server]\nport = 9000\nporrt = 1\n", "wrong.toml")
    write(
        folder,
        "[server]\nworkers_max = 2\n[endpoints.llm]\nhandler = 'h.py'\nenvironment = { MODEL = 'tiny' }\n",
        "runpod-emulator.toml",
    )
    (folder / "below").mkdir()
    with commands(folder / "below") as start:
        yield start


def test_a_wrong_key_stops_the_start_with_one_line(configured: Starter) -> None:
    command = configured("serve", "--config", "../wrong.toml")
    assert command.code() == 2
    assert command.out.whole() == ""
    said = "runpod-emulator: ../wrong.toml:3: server.porrt: no such key; the nearest is port\n"
    assert command.err.whole() == said


def test_config_of_a_file_above_and_a_variable_that_is_no_option(configured: Starter) -> None:
    command = configured("config", RUNPOD_EMULATOR_PROT="9000", RUNPOD_EMULATOR_SEED="7")
    assert command.code() == 0
    rows = [[cell.strip() for cell in line.split("│")[1:4]] for line in command.out.whole().splitlines() if "│" in line]
    assert ["workers_max", "2", "../runpod-emulator.toml:2"] in rows
    assert ["seed", "7", "RUNPOD_EMULATOR_SEED"] in rows
    assert ["environment", "MODEL=tiny", "../runpod-emulator.toml:5"] in rows
    (warning,) = command.err.whole().splitlines()
    assert re.search(
        r"WARNING RUNPOD_EMULATOR_PROT is in the environment and no option: '.+ --help' lists them$", warning
    )


def test_a_file_above_is_served(configured: Starter) -> None:
    client = (
        "import json, os, urllib.request as u; "
        "r = u.Request(os.environ['RUNPOD_ENDPOINT_BASE_URL'] + '/llm/runsync', b'{\"input\": {\"a\": 1}}', "
        "{'Authorization': os.environ['RUNPOD_API_KEY']}); print(json.load(u.urlopen(r))['output'])"
    )
    command = configured("exec", "--", sys.executable, "-c", client)
    assert command.code() == 0, command.err.whole()
    assert command.out.whole() == "[{'a': 1}, 'tiny']\n"


def test_a_file_is_utf_8_in_every_locale(configured: Starter, tmp_path: Path) -> None:
    (tmp_path / "utf8.toml").write_bytes("# für alle\n[endpoints.a]\n".encode())
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "utf-8"}
    command = configured("config", "--config", tmp_path / "utf8.toml", **locale)
    assert command.code() == 0


FILES = {
    "an unknown key": (
        "[server]\nporrt = 1\n",
        "runpod-emulator.toml:2: server.porrt: no such key; the nearest is port",
    ),
    "a wrong type": (
        "[server]\n\nport = '1'\n",
        "runpod-emulator.toml:3: server.port: Input should be a valid integer",
    ),
    "an impossible value": ("[endpoints.a]\nconcurrency = 0\n", "runpod-emulator.toml:2: endpoints.a.concurrency: "),
    "a contradiction": ("[endpoints.a]\nworkers_min = 9\n", "workers_min is set by runpod-emulator.toml:2"),
    "a field": (
        "[platform]\ncors = 'shut'\n[endpoints.a]\n",
        "runpod-emulator.toml:2: cors is one of local, open, none",
    ),
    "no TOML": (
        "[server]\nport: 1\n",
        "runpod-emulator.toml: Expected '=' after a key in a key/value pair (at line 2,",
    ),
    "nothing": ("", "nothing to serve: name a handler"),
}


@pytest.mark.parametrize("command", ["serve", "dev", "exec", "config"])
@pytest.mark.parametrize("case", FILES)
def test_a_file_that_could_not_be_served_exits_with_2_and_one_line(
    run: Callable[..., Answer], tmp_path: Path, command: str, case: str
) -> None:
    text, words = FILES[case]
    write(tmp_path, text, "runpod-emulator.toml")
    code, out, err = run(command, *(("--", "true") if command == "exec" else ()))
    assert (code, out) == (2, "")
    assert err.startswith("runpod-emulator: ")
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize("command", ["serve", "dev", "exec", "config"])
def test_a_variable_that_is_no_option_is_warned_about(
    run: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, command: str
) -> None:
    monkeypatch.setenv("RUNPOD_EMULATOR_WORKERS", "3")
    monkeypatch.setenv("RUNPOD_EMULATOR_WORKERS_MIN", "9")
    run(command, *(("--handler", ECHO, "--", "true") if command == "exec" else (ECHO,)))
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == [
        "RUNPOD_EMULATOR_WORKERS is in the environment and no option: 'runpod-emulator serve --help' lists them"
    ]


def test_dev_is_serve_with_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, object]] = []
    monkeypatch.setattr(serve_module, "_serve", given.append)
    for command in ("dev", "serve"):
        cli.cli.main([command, "h.py", "--port", "0"], standalone_mode=False)
    dev, serve = given
    assert (dev["reload"], serve["reload"]) == (True, None)
    assert {**dev, "reload": None} == serve


def test_a_taken_port_exits_with_3(run: Callable[..., Answer]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = run("serve", ECHO, "--port", str(port))
    assert (code, out) == (3, "")
    assert f"port {port} on 127.0.0.1 is in use" in err
    assert "choose another with --port (0 takes a free one)" in err


# fields


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


def row(table: str, field: str) -> list[str]:
    """The cells of a field's row."""
    (line,) = [line for line in table.splitlines() if re.match(rf"\W+{field} ", line)]
    return [cell.strip() for cell in line.strip("│┃ ").split("│")]


@pytest.mark.usefixtures("wide")
def test_fields_prints_every_field_with_its_evidence(run: Callable[..., Answer]) -> None:
    code, out, _ = run("fields")
    assert code == 0
    for field in dataclasses.fields(Platform):
        assert row(out, field.name)[2] in ("observed", "client", "documented", "guess")
    assert row(out, "id_suffix")[:3] == ["id_suffix", "-u1", "observed"]
    assert row(out, "webhook_retry_delays")[:4] == ["webhook_retry_delays", "5000,15000 ms", "observed", "10000,10000"]
    assert row(out, "strip_empty_input")[1] == "lost"


@pytest.mark.usefixtures("wide")
def test_fields_shows_a_preset_and_a_change(run: Callable[..., Answer]) -> None:
    _, out, _ = run("fields", "--profile", "documented", "--set", "workers_max=9")
    documented = preset("documented")
    assert row(out, "scaler")[1] == documented.scaler == "QUEUE_DELAY"
    assert row(out, "workers_max")[1:3] == ["9 workers", "guess"]


def test_fields_refuses(run: Callable[..., Answer]) -> None:
    code, out, err = run("fields", "--set", "workers_maxx=9")
    assert (code, out) == (2, "")
    assert "The nearest is workers_max" in err


def test_fields_can_be_read_in_a_pipe(run: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run("fields")
    assert [field.name for field in dataclasses.fields(Platform) if field.name not in out] == []


def test_fields_can_be_read_in_a_terminal(run: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    _, out, _ = run("fields")
    assert [field.name for field in dataclasses.fields(Platform) if field.name not in out] == []


# worker-env


def test_worker_env_prints_what_a_worker_needs(run: Callable[..., Answer]) -> None:
    code, out, _ = run("worker-env", "echo", "--url", "http://host:9/v2/", "--worker", "w1", "--worker-key", "it's")
    assert code == 0
    lines = dict(line.removeprefix("export ").split("=", 1) for line in out.splitlines())
    assert shlex.split(lines["RUNPOD_WEBHOOK_GET_JOB"])[0].startswith("http://host:9/v2/echo/job-take/$ID?")
    assert shlex.split(lines["RUNPOD_AI_API_KEY"]) == ["it's"]
    assert (lines["RUNPOD_POD_ID"], lines["RUNPOD_ENDPOINT_ID"]) == ("w1", "echo")
    shown = subprocess.run(["sh", "-c", f"{out}\nprintenv RUNPOD_WEBHOOK_GET_JOB"], capture_output=True, text=True)
    assert shown.stdout.strip() == shlex.split(lines["RUNPOD_WEBHOOK_GET_JOB"])[0], "no $ is lost in a shell"


def test_worker_env_makes_up_a_worker(run: Callable[..., Answer]) -> None:
    ids = [re.search("RUNPOD_POD_ID='(.+)'", run("worker-env", "echo", "--format", "dotenv")[1]) for _ in range(2)]
    assert all(found is not None and re.fullmatch("[a-z0-9]{14}", found[1]) for found in ids)


# serve


def test_the_banner_says_where_and_how(echo: Command) -> None:
    banner = echo.out.text
    port = echo.http.base_url.port
    assert f"runpod-emulator {__version__}, profile observed" in banner
    assert f"  base URL   http://127.0.0.1:{port}/v2\n" in banner
    assert f"  page       http://127.0.0.1:{port}/\n" in banner
    assert f"  admin API  http://127.0.0.1:{port}/__emulator\n" in banner
    assert re.search(r"  endpoints  echo  handler  \S*handlers/echo\.py  0-3 workers\n", banner)
    assert f"  python     {sys.executable}, SDK rules 1.12" in banner
    assert "watched" not in banner and "\x1b" not in banner
    assert f"  export RUNPOD_ENDPOINT_BASE_URL=http://127.0.0.1:{port}/v2\n" in banner
    assert banner.endswith("\nReady.\n")


def curl_of(command: Command) -> str:
    """The call that the banner shows, which goes over several lines."""
    command.out.line("    -d ")
    return command.out.text[command.out.text.index("  curl ") :].partition("\n\n")[0]


def test_the_lines_of_the_banner_work_when_pasted(echo: Command) -> None:
    require("bash", "curl")
    export, curl = echo.out.line("export "), curl_of(echo)
    done = subprocess.run(
        ["bash", "-c", f"{export}\n{curl} && echo && echo $RUNPOD_ENDPOINT_BASE_URL"], capture_output=True, text=True
    )
    answer, base_url = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert json.loads(answer)["status"] == "COMPLETED"
    assert json.loads(answer)["output"] == {"message": "hello"}
    assert base_url == echo.base_url


def test_settings_show_in_the_banner(start: Starter, tmp_path: Path) -> None:
    write(tmp_path, "handler = print", "other.py")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = start(
        "serve",
        *("--api-key", "it's", "--api-key", "second", "--profile", "documented", "--port-file", "port.txt"),
        RUNPOD_EMULATOR_PORT=str(port),
        RUNPOD_EMULATOR_HANDLERS='["other.py"]',
        RUNPOD_EMULATOR_ENDPOINT=json.dumps([f"first={ECHO}"]),
    ).ready()
    assert (tmp_path / "port.txt").read_text() == str(port)
    assert server.base_url == f"http://127.0.0.1:{port}/v2"
    assert server.out.line("endpoints").split()[:3] == ["endpoints", "first", "handler"]
    assert server.out.line("other.py").split()[:3] == ["other", "handler", "other.py"]
    assert "profile documented" in server.out.text
    assert "config  " not in server.out.text
    require("bash", "curl")
    assert "it's" not in server.out.text, "a key of the user's own is not printed"
    environment = {**os.environ, "RUNPOD_API_KEY": "it's"}
    pasted = subprocess.run(["bash", "-c", curl_of(server)], capture_output=True, text=True, env=environment)
    assert json.loads(pasted.stdout)["output"] == {"message": "hello"}
    assert json.loads(pasted.stdout)["workerId"]


def test_the_banner_names_a_configuration_file_that_is_further_up(tmp_path: Path) -> None:
    file = tmp_path / "runpod-emulator.toml"
    file.write_text('[server]\nport = 0\nmock = ["llm"]\n')
    (tmp_path / "deep").mkdir()
    with commands(tmp_path / "deep") as start:
        server = start("serve").ready()
    assert server.out.line("  config").split() == ["config", str(file)]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """`serve` with a handler that cannot be imported, ended."""
    folder = tmp_path_factory.mktemp("broken")
    write(folder, "def deeper():\n    import missing_module\n\ndeeper()\n", "broken.py")
    with commands(folder) as start:
        command = start("serve", "broken.py", ECHO, "--port", 0, "--port-file", folder / "port")
        command.code()
        yield command


def test_a_broken_handler_exits_with_2_and_the_users_own_traceback(broken: Command) -> None:
    assert broken.code() == 2
    err = broken.err.whole()
    assert "handler broken.py could not be started:" in err
    assert re.search(r'File "/.+/broken\.py", line 4, in <module>', err)
    assert "ModuleNotFoundError: No module named 'missing_module'" in err
    assert "runpod_emulator/workers" not in err
    assert "Ready." not in broken.out.whole()
    assert not (broken.folder / "port").exists()
    assert not broken.processes()


def test_a_broken_handler_is_told_once_and_nothing_else(broken: Command) -> None:
    assert broken.err.whole().count("No module named 'missing_module'") == 1
    assert "Task was destroyed" not in broken.err.whole()


def test_files_that_hide_a_standard_module_are_named(
    run: Callable[..., Answer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("queue", "calendar", "numpy"):
        write(tmp_path, "handler = print", f"{name}.py")
    run("serve", "queue.py", "--port", "0", "--workers-min", "9")
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert [re.findall(r"(\w+\.py) hides the module (\w+) of the standard library", text) for text in warnings] == [
        [("calendar.py", "calendar")],
        [("queue.py", "queue")],
    ]


# wait


def test_wait_ends_when_the_server_is_ready(echo: Command, run: Callable[..., Answer]) -> None:
    for url in (echo.root_url, echo.base_url, echo.root_url + "/"):
        assert run("wait", "-t", "20", "--url", url) == (0, "", "")


def test_wait_says_what_it_met(run: Callable[..., Answer]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    code, out, err = run("wait", "-t", "0", "--url", f"http://127.0.0.1:{port}")
    assert (code, out) == (1, "")
    assert err.startswith(f"Error: not ready after 0 s: http://127.0.0.1:{port} does not answer")


def test_wait_waits_for_the_imports(start: Starter, run: Callable[..., Answer], tmp_path: Path, gate: Gate) -> None:
    write(tmp_path, f"{PASS.format(repr(str(gate)))}\nhandler = print\n")
    server = start("serve", "handler.py", "--port", 0)
    code, _, err = run("wait", "-t", "0.1", "--url", server.base_url)
    assert (code, err) == (1, "Error: not ready after 0.1 s: handlers are still being imported\n")
    assert "Ready." not in server.out.text
    gate.open()
    assert run("wait", "-t", "20", "--url", server.base_url)[0] == 0
    server.out.line("Ready.")


# exec

CLIENT = """
    import json, os, sys, urllib.request

    request = urllib.request.Request(
        os.environ["RUNPOD_ENDPOINT_BASE_URL"] + "/echo/runsync",
        b'{"input": {"a": 1}}',
        {"Authorization": os.environ["RUNPOD_API_KEY"]},
    )
    answer = json.load(urllib.request.urlopen(request))
    print(answer["output"], sys.argv[1:], os.environ["RUNPOD_ENDPOINT_BASE_URL"])
    sys.exit(7)
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """`exec` of a client that ends with 7, ended."""
    folder = tmp_path_factory.mktemp("exec")
    client = write(folder, CLIENT, "client.py")
    with commands(folder) as start:
        command = start(
            "exec", "--api-key", "secret", *SERVE_ECHO, sys.executable, client, "--port", "5", "--", "-x", ""
        )
        command.code()
        yield command


@needs_proc
def test_exec_runs_a_command_against_the_server_and_passes_its_code_on(executed: Command) -> None:
    assert executed.code() == 7
    said = re.escape("{'a': 1} ['--port', '5', '--', '-x', ''] ") + r"http://127\.0\.0\.1:\d+/v2\n"
    assert re.fullmatch(said, executed.out.whole()), "nothing of its own"
    assert "COMPLETED" in executed.err.whole()
    assert "Traceback" not in executed.err.whole()
    assert not executed.processes()


def test_exec_ends_without_a_word_of_asyncio(executed: Command) -> None:
    assert "Task was destroyed" not in executed.err.whole()


@needs_proc
@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [("no-such-command", 127, "No such file or directory"), ("./plain.txt", 126, "Permission denied")],
)
def test_exec_of_a_command_that_cannot_be_run(
    start: Starter, tmp_path: Path, name: str, code: int, reason: str
) -> None:
    (tmp_path / "plain.txt").touch()
    command = start("exec", *SERVE_ECHO, name)
    assert command.code() == code
    assert f"cannot run {name}: {reason}" in command.err.whole()
    assert "Traceback" not in command.err.whole()
    assert not command.processes()


def test_exec_with_a_broken_handler_runs_nothing(start: Starter, tmp_path: Path) -> None:
    write(tmp_path, "import missing_module\n", "broken.py")
    command = start("exec", "--endpoint", "broken=broken.py", "--", "touch", "ran")
    assert command.code() == 2
    assert "No module named 'missing_module'" in command.err.whole()
    assert command.out.whole() == ""
    assert not (tmp_path / "ran").exists()


@needs_proc
def test_exec_ends_its_command_on_a_signal_and_passes_its_death_on(start: Starter) -> None:
    command = start("exec", *SERVE_ECHO, "sh", "-c", "echo started; exec sleep 600")
    command.out.line("started")
    started = time.monotonic()
    assert command.stop(signal.SIGTERM) == 128 + signal.SIGTERM
    assert time.monotonic() - started < 5
    assert not command.processes()


@needs_proc
def test_ctrl_c_reaches_exec_and_its_command(start: Starter) -> None:
    command = start("exec", *SERVE_ECHO, "sh", "-c", "echo started; exec sleep 600")
    command.out.line("started")
    os.killpg(command.process.pid, signal.SIGINT)
    assert command.code() in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert not command.processes()


@needs_proc
def test_exec_ends_a_command_that_ignores_signals(start: Starter) -> None:
    command = start("exec", *SERVE_ECHO, "sh", "-c", "trap '' TERM; echo started; while :; do sleep 1; done")
    command.out.line("started")
    started = time.monotonic()
    assert command.stop(signal.SIGTERM) == 128 + signal.SIGKILL
    assert time.monotonic() - started < 5


@needs_proc
def test_exec_ended_by_a_signal_before_it_is_ready_runs_nothing(start: Starter, tmp_path: Path) -> None:
    write(tmp_path, "import time\ntime.sleep(600)\n", "slow.py")
    command = start("exec", "--endpoint", "slow=slow.py", "--", "touch", "ran")
    until(lambda: len(command.processes()) == 2)
    command.stop()
    assert not (tmp_path / "ran").exists()
    assert not command.processes()


# As installed


def test_the_console_script_is_this_command() -> None:
    assert 'runpod-emulator = "runpod_emulator.cli.main:main"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import no_such_module", "handler.py is broken: ModuleNotFoundError: No module named 'no_such_module'"),
        ("def handler(:", "handler.py is broken: SyntaxError: "),
    ],
)
def test_dev_is_ready_but_for_what_is_broken(start: Starter, tmp_path: Path, source: str, told: str) -> None:
    write(tmp_path, source)
    here = start("dev", "handler.py", ECHO, "--port", 0)
    said = here.out.line("Ready")
    assert said.startswith(f"Ready, but {told}")
    assert said.endswith((".", "!", "?"))
    broken = here.http.get(f"{here.root_url}/__emulator/ready").json()["broken"]
    assert (list(broken), said.removesuffix(".").endswith(broken["handler"])) == (["handler"], True)
