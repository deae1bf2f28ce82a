"""What the command line prints: every option with its value and origin."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from runpod_emulator.cli import main as cli
from runpod_emulator.config import apps
from runpod_emulator.config.options import all_options, flag, variable
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.values import as_text

from tests.config.given import ENDPOINT_OPTIONS, SAMPLES, SERVER_KEYS, configure, each_option, furnish, give
from tests.tables import table


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the samples name, and no setting in the environment."""
    for name in [name for name in os.environ if name.startswith("RUNPOD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    monkeypatch.setattr(apps, "read_source", lambda *_: [])  # the samples name interpreters without the apps' SDK
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.cli, ["config", *words], prog_name="runpod-emulator")


def config(*words: str, endpoint: str = "") -> dict[str, tuple[str, str]]:
    """What `config` prints: value and origin by option, of the server or of one endpoint."""
    result = run(*words)
    assert result.exit_code == 0, result.exception
    found: dict[str, tuple[str, str]] = {}
    section = ""
    for line in result.stdout.splitlines():
        if line.startswith("│"):
            option, value, origin = (cell.strip() for cell in line.strip("│").split("│"))
            if option.startswith("endpoint "):
                section = option.removeprefix("endpoint ")
                option = "endpoint"
            if section == endpoint:
                assert option not in found, "one line for each"
                found[option] = (value, origin)
    return found


def test_handlers_are_words_and_no_flag(folder: Path) -> None:
    (folder / "echo.py").write_text("handler = print")
    assert config("echo.py")["handlers"] == ("echo.py", "HANDLER...")


# Every option


def test_every_option_is_printed_once_in_the_order_of_the_model() -> None:
    assert list(config("--endpoint", "a")) == list(all_options())


def test_without_anything_said_every_option_is_a_default() -> None:
    configure("[endpoints.a]\n")
    assert {origin for _, origin in config().values()} == {"default"}


def told(name: str) -> str:
    """What is printed of an option's sample."""
    value = SAMPLES[name][0].value
    return ",".join("****" for _ in value) if name.endswith("_key") else as_text(value)


def unlike(names: list[str], place: Callable[[str], str], *words: str) -> dict[str, tuple[str, str]]:
    """What `config` prints of these options, where that is not their sample and its place."""
    printed = config(*words)
    return {name: printed[name] for name in names if printed[name] != (told(name), place(name))}


TOGETHER = [name for name in all_options() if name not in ("config", "no_config", "handlers")]
"""The options that may be given all at once."""


def test_options_of_flags_are_printed_with_them() -> None:
    assert unlike(TOGETHER, flag, "h.py", *(word for name in TOGETHER for word in SAMPLES[name][0].words)) == {}
    for name in ("config", "no_config"):
        assert unlike([name], flag, "h.py", *SAMPLES[name][0].words) == {}


def test_options_of_variables_are_printed_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("config", "no_config"):
        with monkeypatch.context() as alone:
            alone.setenv(variable(name), SAMPLES[name][0].variable)
            assert unlike([name], variable, "h.py") == {}
    for name in (*TOGETHER, "handlers"):
        monkeypatch.setenv(variable(name), SAMPLES[name][0].variable)
    assert unlike([*TOGETHER, "handlers"], variable) == {}


def test_keys_of_the_server_are_printed_with_their_lines() -> None:
    configure("\n".join(["[server]", *(f"{name} = {SAMPLES[name][0].key}" for name in SERVER_KEYS)]))
    assert unlike(SERVER_KEYS, lambda name: f"runpod-emulator.toml:{2 + SERVER_KEYS.index(name)}") == {}


@each_option(ENDPOINT_OPTIONS)
def test_a_key_of_an_endpoint_is_printed_below_it_with_its_line(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    give(name, {"endpoint": SAMPLES[name][0]}, monkeypatch)
    assert config(endpoint="a")[name] == (told(name), "runpod-emulator.toml:5")
    assert config()[name][1] == "default"


@pytest.mark.parametrize("strong", ["flag", "variable"])
def test_an_endpoint_repeats_nothing_that_counts_for_all(monkeypatch: pytest.MonkeyPatch, strong: str) -> None:
    first, second = SAMPLES["workers_max"]
    give("workers_max", {strong: first, "endpoint": second}, monkeypatch)
    words = (*SAMPLES["endpoint"][1].words, *(first.words if strong == "flag" else ()))
    assert "workers_max" not in config(*words, endpoint="z")


def title(*words: str) -> str:
    """What stands above the table; rich breaks it where it is wider than the table."""
    above, _, _ = run(*words).stdout.partition("┏")
    return "".join(line.strip() for line in above.splitlines())


def test_the_file_is_the_title(folder: Path) -> None:
    assert title("h.py") == "no configuration file"
    configure("[endpoints.a]\n")
    assert title() == str(folder / "runpod-emulator.toml")


def test_each_endpoint_is_printed_with_what_serves_it() -> None:
    configure("[endpoints.a]\nhandler = 'h.py'\n[endpoints.b]\ncommand = ['sh', 'run.sh']\n[endpoints.c]\n")
    served = [config(endpoint=one)["endpoint"][0] for one in "abc"]
    assert served == ["h.py", "sh run.sh", "workers started elsewhere"]


def test_variables_of_an_endpoint_are_printed_from_all_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    configure("[server]\nenvironment = { A = '1' }\n[endpoints.x]\nenvironment = { B = '2' }\n")
    monkeypatch.setenv("RUNPOD_EMULATOR_ENVIRONMENT", '{"C": "3"}')
    assert config("--environment", "D=4", endpoint="x")["environment"][0] == "A=1,B=2,C=3,D=4"
    assert config("--environment", "D=4")["environment"][0] == "A=1,C=3,D=4"


def test_variables_are_printed_with_all_their_origins() -> None:
    configure("[endpoints.x]\nenvironment = { B = '2' }\n")
    _, origin = config("--environment", "D=4", endpoint="x")["environment"]
    assert "--environment" in origin and "runpod-emulator.toml:2" in origin


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the server by their value, wherever they are; those of workers by the names of their variables."""
    monkeypatch.setenv("RUNPOD_EMULATOR_ADMIN_KEY", '["operator-key-1234"]')
    configure(
        "[server]\nworker_key = ['worker-key-5678']\n[endpoints.x]\nenvironment = { HF_TOKEN = 'hf-token-9abc' }\n"
    )
    words = ("--api-key", "client-key-def0", "--environment", "DB=postgres://u:database-pw-1357@h/db")
    program = ("--command", "x=python h.py --client client-key-def0 --hf-token another-token-2468")
    shown = config(*words, *program)
    assert [shown[name][0] for name in ("api_key", "worker_key", "admin_key")] == ["****def0", "****5678", "****1234"]
    assert shown["environment"][0] == "DB=postgres://u:****1357@h/db"
    assert config(*words, *program, endpoint="x") == {
        "endpoint": ("python h.py --client ****def0 --hf-token ****2468", ""),
        "environment": ("HF_TOKEN=****9abc,DB=postgres://u:****1357@h/db", "runpod-emulator.toml:4, --environment"),
    }


# Effective values


@table(
    ("name", "value"),
    [
        ("workers_min", "0"),
        ("workers_max", "3"),
        ("idle_timeout", "5000"),
        ("scaler", "REQUEST_COUNT"),
        ("execution_timeout", "600000"),
        ("job_ttl", "86400000"),
        ("init_timeout", "420000"),
        ("host", "127.0.0.1"),
        ("port", "8000"),
        ("no_auth", "false"),
        ("python", sys.executable),
    ],
)
def test_a_default_is_printed_as_the_value_that_counts(name: str, value: str) -> None:
    assert config("h.py")[name] == (value, "default")


@pytest.mark.parametrize("name", ["scaler_value", "cold_start", "throttle", "concurrency", "max_processes"])
def test_no_default_is_printed_as_nothing(name: str) -> None:
    assert config("h.py")[name][0]


@pytest.mark.parametrize(
    ("words", "text", "name", "expected"),
    [
        ((), "[platform]\nworkers_max = 5\n", "workers_max", ("5", "runpod-emulator.toml:2")),
        (("--set", "idle_timeout=9s"), "", "idle_timeout", ("9000", "--set")),
        (("--profile", "documented"), "", "scaler", ("QUEUE_DELAY", "--profile")),
    ],
)
def test_a_value_of_the_platform_is_printed_with_who_says_so(
    words: tuple[str, ...], text: str, name: str, expected: tuple[str, str]
) -> None:
    configure(text)
    assert config("h.py", *words)[name] == expected


def test_the_init_timeout_that_counts_is_printed() -> None:
    configure("[endpoints.a]\ninit_timeout = '9s'\nenvironment = { RUNPOD_INIT_TIMEOUT = '30' }\n")
    assert config(endpoint="a")["init_timeout"][0] == "30000"


@pytest.mark.parametrize("value", ["[bold]x", "[/x]", "a[red]b[/red]"])
def test_a_value_is_printed_as_it_is(value: str) -> None:
    assert config("h.py", "--environment", f"NAME={value}")["environment"][0] == f"NAME={value}"


def test_a_folder_in_brackets_is_printed_as_it_is() -> None:
    configure("[endpoints.a]\n", "[bold]/runpod-emulator.toml")
    assert title("--config", "[bold]/runpod-emulator.toml") == "[bold]/runpod-emulator.toml"


# What could not be served


@table(
    ("text", "words"),
    [
        ("", "nothing to serve"),
        ("[server]\nporrt = 1\n", "runpod-emulator.toml:2: server.porrt: no such key; the nearest is port"),
        ("[server]\nport = 70000\n", "runpod-emulator.toml:2: server.port: "),
        ("[server]\nport = \n", "line 2"),
        ("[platform]\nworkers_maxx = 1\n[endpoints.a]\n", "runpod-emulator.toml:2: no field workers_maxx"),
        ("[endpoints.a]\nhandler = 'missing.py'\n", "there is no file missing.py"),
        ("[endpoints.a]\nhandler = 'h.py'\ncommand = 'true'\n", "write one of handler, command and mock, not several"),
        ("[endpoints.a]\nworkers_min = 9\n", "workers_min (9) is above workers_max (3)"),
        ("[endpoints.a]\ncommand = 'true'\nconcurrency = 2\n", "runpod-emulator.toml:3: concurrency: "),
        ("[endpoints.'a b']\n", "can't be an endpoint id"),
    ],
)
def test_what_could_not_be_served_is_refused_and_nothing_printed(text: str, words: str) -> None:
    configure(text)
    result = run()
    assert result.stdout == ""
    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.exit_code == 2
    assert words in str(result.exception)


@pytest.mark.parametrize("words", [("--directory", "nowhere"), ("--cold-start", "3s-1s"), ("--job-ttl", "1s")], ids=str)
def test_a_flag_that_could_not_be_served_is_refused(words: tuple[str, ...]) -> None:
    assert isinstance(run("h.py", *words).exception, ConfigurationError)


def test_an_interpreter_that_is_not_there_is_refused() -> None:
    assert isinstance(run("h.py", "--python", "./no-such-python").exception, ConfigurationError)


# In a pipe


def test_a_row_stays_on_its_line_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    text = "x" * 100
    assert config("h.py", "--environment", f"NAME={text}")["environment"][0] == f"NAME={text}"
    assert not re.search("\x1b", run("h.py").stdout)
