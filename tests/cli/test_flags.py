"""Flags: one for each option of the model, as the command line shows and takes it."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner, Result
from runpod_emulator.cli import main as cli
from runpod_emulator.cli.flags import server_options
from runpod_emulator.cli.serve import serve
from runpod_emulator.config.options import all_options, default_text, flag, form

from tests.tables import table

COMMANDS = ["serve", "dev", "exec", "config"]
WITH_FLAGS = [name for name in all_options() if name != "handlers"]
REPEATABLE = [
    "endpoint", "command", "flash", "app", "mock", "openai", "openai_model", "load_balancer", "stubs", "fault_profile",
    "admin_key", "tls_name", "set", "api_key", "worker_key", "environment", "allowed_host", "webhook_allow",
    "webhook_deny", "proxy_host",
]  # fmt: skip
EXEC_PORTS = {
    "port": "--port INTEGER Port to listen on. [a free one]",
    "tls_port": "--tls-port INTEGER Port for HTTPS. [a free one]",
    "proxy": "--proxy INTEGER Port of a proxy by which https://api.runpod.ai leads here. [alone, a free one]",
}
SWITCHES = ["tls", "proxy_pass", "no_auth", "no_rate_limits", "reload", "no_config"]


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.cli, list(words), prog_name="runpod-emulator", terminal_width=100)


def explained(command: str) -> dict[str, list[str]]:
    """What the help of a command says of each flag; all its explanations, on one line each."""
    result = run(command, "--help")
    assert result.exit_code == 0
    _, _, options = result.output.partition("\nOptions:\n")
    found: dict[str, list[str]] = {}
    for entry in re.split(r"\n(?=  -)", options.rstrip()):
        line = " ".join(entry.split())
        for name in re.findall(r"--[\w-]+", re.split(r" [A-Z\[]", line)[0]):
            found.setdefault(name, []).append(line)
    return found


def parsed(*words: str) -> dict[str, object]:
    """What `serve` makes of the words that it was given."""
    context = serve.make_context("serve", list(words))
    return {name: value for name, value in context.params.items() if value not in (None, ())}


# Help


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_every_option_once(command: str) -> None:
    found = explained(command)
    assert {name: len(found.get(flag(name), [])) for name in WITH_FLAGS} == dict.fromkeys(WITH_FLAGS, 1)
    own = {"--handler"} if command == "exec" else set()
    off = {"--no-tls", "--no-proxy-pass", "--auth", "--rate-limits", "--no-reload"}
    assert set(found) == {flag(name) for name in WITH_FLAGS} | own | off | {"--help"}


@table("command", COMMANDS)
@table("name", WITH_FLAGS)
def test_help_tells_an_option_with_its_form_and_default(command: str, name: str) -> None:
    if command == "exec" and name in EXEC_PORTS:
        assert explained(command)[flag(name)] == [EXEC_PORTS[name]]
        return
    field = all_options()[name]
    (line,) = explained(command)[flag(name)]
    assert str(field.description) in line
    default = default_text(field)
    assert line.endswith(f" [{default}]" if default else str(field.description))
    assert line.startswith(f"{flag(name)} {form(field)}".strip() + " ")


@pytest.mark.parametrize("command", COMMANDS)
def test_handlers_are_no_flag_but_words(command: str) -> None:
    assert "--handlers" not in explained(command)
    usage = run(command, "--help").output.partition("\n")[0]
    assert usage.endswith("COMMAND..." if command == "exec" else "[HANDLERS]...")
    assert ("--handler" in explained(command)) is (command == "exec")


def test_the_help_of_exec_says_which_port_it_takes() -> None:
    (line,) = explained("exec")["--port"]
    assert not line.endswith("[8000]")


@pytest.mark.parametrize(
    ("name", "words"),
    [("scaler", "[REQUEST_COUNT|QUEUE_DELAY]"), ("profile", "[observed|documented]"), ("port", "INTEGER")],
)
def test_help_shows_what_a_value_may_be(name: str, words: str) -> None:
    (line,) = explained("serve")[flag(name)]
    assert words in line


# The options themselves


def test_an_option_of_the_model_is_one_parameter() -> None:
    names = [parameter.name for parameter in server_options(but=())]
    assert names == [name for name in all_options() if name != "handlers"], "handlers are words"
    assert [parameter.name for parameter in server_options(but={"port"})] == [name for name in names if name != "port"]


@table("parameter", server_options(but=()))
def test_a_flag_takes_what_its_option_is(parameter: click.Parameter) -> None:
    assert isinstance(parameter, click.Option)
    assert parameter.opts == [flag(str(parameter.name))]
    assert parameter.is_flag is (parameter.name in SWITCHES)
    assert parameter.multiple is (parameter.name in REPEATABLE)
    assert not parameter.required


def test_without_flags_nothing_is_given() -> None:
    assert parsed() == {}


@table("name", REPEATABLE)
def test_a_list_is_a_flag_that_is_repeated(name: str) -> None:
    assert parsed(flag(name), "a=1", flag(name), "b=2") == {name: ("a=1", "b=2")}


@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_takes_no_value(name: str) -> None:
    assert parsed(flag(name)) == {name: True}


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (("a.py", "b.py"), {"handlers": ("a.py", "b.py")}),
        (("--port", "0"), {"port": 0}),
        (("--workers-min", "0"), {"workers_min": 0}),
        (("--scaler-value", "0.5"), {"scaler_value": 0.5}),
        (("--idle-timeout", "10m"), {"idle_timeout": "10m"}),
        (("--cold-start", "1s-3s seed 7"), {"cold_start": "1s-3s seed 7"}),
        (("--scaler", "QUEUE_DELAY"), {"scaler": "QUEUE_DELAY"}),
        (("--port", "1", "a.py", "--port", "2"), {"port": 2, "handlers": ("a.py",)}),
    ],
)
def test_what_a_flag_gives(words: tuple[str, ...], given: dict[str, object]) -> None:
    assert parsed(*words) == given


@table(
    ("words", "said"),
    [
        (("--workers", "3"), "--workers-max"),
        (("--port", "http"), "'http' is not a valid integer"),
        (("--scaler-value", "few"), "'few' is not a valid float"),
        (("--scaler", "queue_delay"), "'queue_delay' is not one of 'REQUEST_COUNT', 'QUEUE_DELAY'"),
        (("--port",), "Option '--port' requires an argument"),
        (("--no-auth=yes",), "Option '--no-auth' does not take a value"),
    ],
)
@table("command", ["serve", "dev", "config"])
def test_a_flag_that_is_wrong_exits_with_2(command: str, words: tuple[str, ...], said: str) -> None:
    result = run(command, *words)
    assert result.exit_code == 2
    assert said in result.output
