"""Settings: every option as flag, variable and key, and which of them counts."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.config.options import GivenOptions, all_options, flag, variable
from runpod_emulator.config.settings import Effective, read_settings, scaling, unknown_variables
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.platform import Platform

from tests.config.given import (
    ENDPOINT_OPTIONS,
    SAMPLES,
    SERVER_KEYS,
    configure,
    each_option,
    furnish,
    give,
    origin,
    plans,
    refusal,
    refused_file,
    settings_for,
    use,
    write,
)
from tests.tables import table


@pytest.fixture
def furnished(folder: Path) -> Path:
    """A folder with everything that the samples name."""
    furnish(folder)
    return folder


# Every option


@each_option(list(all_options()))
def test_every_option_has_a_default(name: str) -> None:
    default = all_options()[name].get_default(call_default_factory=True)
    assert read_settings().effective(name) == (default, "default")


@table(
    ("name", "which"),
    [(name, which) for name, samples in SAMPLES.items() for which, sample in enumerate(samples) if sample.words],
)
def test_every_option_is_a_flag(furnished: Path, name: str, which: int) -> None:
    sample = SAMPLES[name][which]
    value, source = settings_for(*sample.words).effective(name)
    assert (type(value), value) == (type(sample.value), sample.value)
    assert source == flag(name) or name == "handlers"


@each_option(list(all_options()))
@table("which", [0, 1])
def test_every_option_is_a_variable(furnished: Path, monkeypatch: pytest.MonkeyPatch, name: str, which: int) -> None:
    sample = SAMPLES[name][which]
    monkeypatch.setenv(variable(name), sample.variable)
    value, source = read_settings().effective(name)
    assert (type(value), value) == (type(sample.value), sample.value)
    assert source == variable(name)


@each_option(SERVER_KEYS)
@table("which", [0, 1])
def test_every_option_is_a_key_of_server(furnished: Path, name: str, which: int) -> None:
    sample = SAMPLES[name][which]
    configure(f"[server]\n\n{name} = {sample.key}\n")
    value, source = read_settings().effective(name)
    assert (type(value), value) == (type(sample.value), sample.value)
    assert source == "runpod-emulator.toml:3"


@each_option(ENDPOINT_OPTIONS)
@table("which", [0, 1])
def test_every_option_of_endpoints_is_a_key_of_an_endpoint(furnished: Path, name: str, which: int) -> None:
    sample = SAMPLES[name][which]
    configure(f"[endpoints.a]\nhandler = 'h.py'\n{name} = {sample.key}\n[endpoints.b]\n")
    settings = read_settings()
    value, source = settings.effective(name, "a")
    assert (type(value), value) == (type(sample.value), sample.value)
    assert source == "runpod-emulator.toml:3"
    assert settings.effective(name, "b").origin == "default"
    assert settings.effective(name).origin == "default"


@each_option(SERVER_KEYS)
def test_flag_variable_and_key_come_to_the_same(furnished: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    sample = SAMPLES[name][0]
    by_flag = getattr(settings_for(*sample.words), name)
    configure(f"[server]\n{name} = {sample.key}\n")
    by_key = getattr(read_settings(), name)
    configure("")
    monkeypatch.setenv(variable(name), sample.variable)
    by_variable = getattr(read_settings(), name)
    assert by_flag == by_key == by_variable == sample.value


@table("name", [name for name in all_options() if name not in (*ENDPOINT_OPTIONS, "command", "mock", "openai")])
def test_an_option_of_the_server_is_no_key_of_an_endpoint(furnished: Path, name: str) -> None:
    words = refused_file(f"[endpoints.a]\n\n{name} = {SAMPLES[name][0].key}\n")
    assert words.startswith(f"runpod-emulator.toml:3: endpoints.a.{name}: no such key")


def test_a_file_does_not_name_another_file(furnished: Path) -> None:
    assert refused_file("[server]\nconfig = 'one.toml'\n").startswith("runpod-emulator.toml:2: server.config: no such")


# Which counts


def pairs(names: list[str], layers: list[str]) -> Any:
    """A row of `name`, `strong` and `weak` for each two of the layers, and each option."""
    products = itertools.product(names, itertools.combinations(layers, 2))
    params = [(name, strong, weak) for name, (strong, weak) in products]
    return table(("name", "strong", "weak"), params)


@pairs([name for name in SERVER_KEYS if name != "environment"], ["flag", "variable", "server"])
def test_a_flag_counts_more_than_a_variable_and_that_more_than_the_file(
    furnished: Path, monkeypatch: pytest.MonkeyPatch, name: str, strong: str, weak: str
) -> None:
    first, second = SAMPLES[name]
    settings = give(name, {strong: first, weak: second}, monkeypatch)
    value, source = settings.effective(name)
    assert value == first.value
    assert source == origin(name, strong) or (name, strong) == ("handlers", "flag")
    assert getattr(settings, name) == first.value


@pairs([name for name in ENDPOINT_OPTIONS if name != "environment"], ["flag", "variable", "endpoint", "server"])
def test_for_an_endpoint_its_own_table_counts_more_than_the_servers(
    furnished: Path, monkeypatch: pytest.MonkeyPatch, name: str, strong: str, weak: str
) -> None:
    first, second = SAMPLES[name]
    settings = give(name, {strong: first, weak: second}, monkeypatch)
    assert settings.effective(name, "a") == (first.value, origin(name, strong))


@each_option(["workers_max", "scaler", "cold_start", "python", "concurrency"])
def test_of_all_layers_the_flag_counts(furnished: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    first, second = SAMPLES[name]
    layers = {"flag": first, "variable": second, "endpoint": second, "server": second}
    assert give(name, layers, monkeypatch).effective(name, "a") == (first.value, flag(name))


def test_an_endpoints_table_says_nothing_of_the_others(furnished: Path) -> None:
    configure("[endpoints.a]\nworkers_max = 7\n[endpoints.b]\nworkers_max = 8\n[endpoints.c]\n")
    settings = read_settings()
    assert [settings.effective("workers_max", one).value for one in "abc"] == [7, 8, None]
    assert settings.workers_max is None


def test_a_value_that_is_the_default_was_given_all_the_same(furnished: Path) -> None:
    configure("[server]\nport = 9000\nno_auth = true\n")
    assert settings_for("--port", "8000").effective("port") == (8000, "--port")


def test_a_variable_may_switch_off_what_the_file_switches_on(monkeypatch: pytest.MonkeyPatch) -> None:
    configure("[server]\nno_auth = true\n")
    monkeypatch.setenv("RUNPOD_EMULATOR_NO_AUTH", "false")
    assert read_settings().effective("no_auth") == (False, "RUNPOD_EMULATOR_NO_AUTH")


def test_lists_are_replaced_and_not_joined(furnished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure('[server]\napi_key = ["file"]\n')
    monkeypatch.setenv("RUNPOD_EMULATOR_API_KEY", '["variable"]')
    assert settings_for("--api-key", "one", "--api-key", "two").api_key == ["one", "two"]
    assert read_settings().api_key == ["variable"]


# Variables of the workers


def test_variables_of_workers_are_merged_over_all_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"server": "ABCD", "endpoint": "BCD", "variable": "CD", "flag": "D"}
    layers = {layer: dict.fromkeys(own, layer) for layer, own in names.items()}
    tables = [f"environment = {{ {', '.join(f'{n} = {v!r}' for n, v in layers[one].items())} }}" for one in names]
    configure(f"[server]\n{tables[0]}\n[endpoints.a]\n{tables[1]}\n[endpoints.b]\n")
    monkeypatch.setenv("RUNPOD_EMULATOR_ENVIRONMENT", json.dumps(layers["variable"]))
    settings = settings_for("--environment", "D=flag")
    assert settings.environment_of("a") == {"A": "server", "B": "endpoint", "C": "variable", "D": "flag"}
    assert settings.environment_of("b") == {"A": "server", "B": "server", "C": "variable", "D": "flag"}


@pytest.mark.parametrize("weak", ["variable", "endpoint", "server"])
def test_variables_of_workers_that_differ_are_all_there(
    furnished: Path, monkeypatch: pytest.MonkeyPatch, weak: str
) -> None:
    first, second = SAMPLES["environment"]
    settings = give("environment", {"flag": first, weak: second}, monkeypatch)
    assert settings.environment_of("a") == {"A": "1", "B": "x=y", "C": ""}


@pytest.mark.parametrize("table", ["[server.environment]", "[endpoints.a.environment]"])
def test_variables_of_workers_may_have_a_table_of_their_own(table: str) -> None:
    configure(f"[endpoints.a]\n{table}\nMODEL = 'tiny'\n'odd name' = ''\n")
    assert read_settings().environment_of("a") == {"MODEL": "tiny", "odd name": ""}


# The defaults, flags and variables


def test_the_defaults() -> None:
    settings = read_settings()
    assert (settings.host, settings.port, settings.port_file, settings.python) == (
        "127.0.0.1",
        8000,
        None,
        sys.executable,
    )
    assert (settings.profile, settings.api_key, settings.no_auth, settings.no_rate_limits) == (
        "observed",
        [],
        False,
        False,
    )
    assert settings.file is None
    assert settings.platform() == Platform()


def test_environment_variables_set_every_option(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "PORT": "9000",
        "HOST": "0.0.0.0",
        "PORT_FILE": "port.txt",
        "PROFILE": "documented",
        "NO_AUTH": "true",
        "WORKERS_MAX": "7",
        "EXECUTION_TIMEOUT": "10m",
        "HANDLERS": '["a.py", "b.py"]',
        "ENDPOINT": '["x=a.py"]',
        "API_KEY": '["one", "two"]',
        "SET": '["idle_timeout=9"]',
        "LOG_LEVEL": "debug",
    }
    for name, value in given.items():
        monkeypatch.setenv(f"RUNPOD_EMULATOR_{name}", value)
    settings = read_settings()
    assert (settings.port, settings.host, settings.port_file) == (9000, "0.0.0.0", Path("port.txt"))
    assert (settings.handlers, settings.endpoint, settings.api_key) == (["a.py", "b.py"], ["x=a.py"], ["one", "two"])
    assert (settings.profile, settings.no_auth, settings.log_level) == ("documented", True, "debug")
    platform = settings.platform()
    assert (platform.workers_max, platform.execution_timeout, platform.idle_timeout) == (7, 600_000, 9)
    assert platform.paused_endpoint == "queue"


LISTS = ["HANDLERS", "ENDPOINT", "COMMAND", "SET", "API_KEY", "WORKER_KEY"]


@table("name", LISTS)
@table("text", ["one,two", '"one"', "5", '{"a": "b"}', "[1]"])
def test_a_variable_that_is_no_list_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(f"RUNPOD_EMULATOR_{name}", text)
    assert refusal().startswith(f"RUNPOD_EMULATOR_{name}: ")


@pytest.mark.parametrize("text", ["A=1", "5", '"A=1"', '{"A": 1}', '["A"]'])
def test_a_variable_that_holds_no_variables_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("RUNPOD_EMULATOR_ENVIRONMENT", text)
    assert refusal().startswith("RUNPOD_EMULATOR_ENVIRONMENT: ")


def test_a_variable_that_holds_no_variables_is_told_its_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_EMULATOR_ENVIRONMENT", "A=1")
    assert '{"' in refusal() or "NAME=VALUE" in refusal()


@table(
    ("name", "text"),
    [
        ("PORT", "nine thousand"),
        ("PORT", "70000"),
        ("NO_AUTH", "perhaps"),
        ("WORKERS_MAX", "1.5"),
        ("IDLE_TIMEOUT", "0"),
        ("IDLE_TIMEOUT", "soon"),
        ("COLD_START", "3s-1s"),
        ("SCALER", "queue_delay"),
        ("SCALER_VALUE", "1.5"),
        ("SCALER_VALUE", "0"),
        ("SCALER_VALUE", "nan"),
        ("PROFILE", "strict"),
        ("CONCURRENCY", "0"),
        ("DIRECTORY", "nowhere"),
    ],
)
def test_the_name_of_a_wrong_variable_is_told(
    furnished: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    configure("[endpoints.a]\nhandler = 'h.py'\n")
    monkeypatch.setenv(f"RUNPOD_EMULATOR_{name}", text)
    assert refusal().startswith(f"RUNPOD_EMULATOR_{name}: ")


@table(
    ("given", "words"),
    [
        ({"port": "many"}, "--port: "),
        ({"port": -1}, "--port: "),
        ({"port": 65_536}, "--port: "),
        ({"workers_max": -1}, "--workers-max: "),
        ({"workers_min": "two"}, "--workers-min: "),
        ({"execution_timeout": "soon"}, "--execution-timeout: write milliseconds, or a number with ms, s, m, h or d"),
        ({"job_ttl": "-5s"}, "--job-ttl: write milliseconds"),
        ({"profile": "strict"}, "--profile: "),
        ({"log_level": "loud"}, "--log-level: "),
        ({"cold_start": "3s-1s"}, "--cold-start: the range 3s-1s ends before it begins"),
        ({"throttle": "-1s"}, "--throttle: write milliseconds"),
        ({"environment": ["A"]}, "--environment: A: write NAME=VALUE"),
        ({"max_processes": 0}, "--max-processes: "),
        ({"idle_timeout": 0}, "--idle-timeout: "),
    ],
)
def test_a_wrong_option_is_named(given: dict[str, Any], words: str) -> None:
    assert refusal(**given).startswith(words)


# What is empty

_KEYS = ("admin_key", "api_key", "worker_key")


@table("name", [name for name in GivenOptions.model_fields if name not in _KEYS])
def test_what_is_empty_is_not_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = read_settings().model_dump()
    if name not in ("tls", "proxy_pass", "no_auth", "no_rate_limits", "reload", "environment"):
        words = [""] if name == "handlers" else [flag(name), ""]
        assert settings_for(*words).model_dump() == usual
        assert read_settings(**{name: ""}).model_dump() == usual
    monkeypatch.setenv(variable(name), "")
    assert read_settings().model_dump() == usual


@pytest.mark.parametrize("name", _KEYS)
def test_an_empty_key_is_refused_and_an_empty_variable_is_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal(flag(name), "") == f"{flag(name)}: an empty key is none: give one, or leave the option out"
    monkeypatch.setenv(variable(name), "")
    assert getattr(read_settings(), name) == []


# Variables that are no option


def test_variables_that_are_no_option_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RUNPOD_EMULATOR_WORKERS", "RUNPOD_EMULATOR_PROT", "RUNPOD_ENDPOINT_ID", "RUNPOD_EMULATOR_"):
        monkeypatch.setenv(name, "1")
    for name in GivenOptions.model_fields:
        monkeypatch.setenv(variable(name), "1")
    unknown = ["RUNPOD_EMULATOR_", "RUNPOD_EMULATOR_PROT", "RUNPOD_EMULATOR_WORKERS"]
    assert unknown_variables() == unknown
    monkeypatch.setenv("runpod_emulator_port", "1")
    monkeypatch.setenv("RUNPOD_EMULATOR_worker_key", '["k"]')
    monkeypatch.setenv("runpod_emulator_prot", "1")
    assert unknown_variables() == [*unknown, "runpod_emulator_prot"]


def test_variables_that_are_no_option_stop_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_EMULATOR_PROT", "1")
    assert read_settings().port == 8000


# Which file


def test_without_a_file_there_is_none() -> None:
    assert read_settings().file is None


def test_the_file_here_is_read() -> None:
    configure("[server]\nport = 9000\n")
    settings = read_settings()
    assert settings.port == 9000
    assert settings.file is not None
    assert settings.file.path == Path.cwd() / "runpod-emulator.toml"


def test_config_names_another_file() -> None:
    configure("[server]\nport = 9000\n")
    configure("[server]\nport = 9001\n", "other.toml")
    settings = settings_for("--config", "other.toml")
    assert settings.effective("port") == (9001, "other.toml:2")


def test_a_variable_names_another_file(monkeypatch: pytest.MonkeyPatch) -> None:
    configure("[server]\nport = 9000\n")
    configure("[server]\nport = 9001\n", "other.toml")
    configure("[server]\nport = 9002\n", "third.toml")
    monkeypatch.setenv("RUNPOD_EMULATOR_CONFIG", "other.toml")
    assert read_settings().port == 9001
    assert settings_for("--config", "third.toml").port == 9002


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_dev_null_is_no_configuration(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    configure("[server]\nport = 9000\nwrong = 1\n")
    if how == "variable":
        monkeypatch.setenv("RUNPOD_EMULATOR_CONFIG", "/dev/null")
    settings = settings_for("--config", "/dev/null") if how == "flag" else read_settings()
    assert settings.effective("port") == (8000, "default")


def test_a_wrong_flag_is_told_before_a_wrong_file() -> None:
    configure("[server]\nwrong = 1\n")
    assert refusal(port=70_000).startswith("--port: ")


# The platform


def test_an_option_of_its_own_counts_more_than_set() -> None:
    settings = read_settings(set=["workers_max=5", "job_ttl=10000"], workers_max=6, job_ttl="20s")
    assert (settings.platform().workers_max, settings.platform().job_ttl) == (6, 20_000)


def test_set_counts_more_than_the_profile() -> None:
    platform = read_settings(profile="documented", set=["id_suffix=-e2"]).platform()
    assert (platform.id_suffix, platform.scaler) == ("-e2", "QUEUE_DELAY")


def test_the_last_of_two_sets_counts() -> None:
    assert read_settings(set=["workers_max=5", "workers_max=6"]).platform().workers_max == 6


def test_set_counts_more_than_the_files_platform() -> None:
    configure("[platform]\nrun_retention = '10m'\nid_suffix = '-x'\n")
    platform = settings_for("--set", "run_retention=5").platform()
    assert (platform.run_retention, platform.id_suffix) == (5, "-x")


def test_the_files_platform_counts_more_than_the_profile() -> None:
    configure("[server]\nprofile = 'documented'\n[platform]\nscaler = 'REQUEST_COUNT'\n")
    platform = read_settings().platform()
    assert (platform.scaler, platform.paused_endpoint) == ("REQUEST_COUNT", "queue")


def test_an_option_of_its_own_counts_more_than_the_files_platform() -> None:
    configure("[platform]\nworkers_max = 5\nidle_timeout = '9s'\n[server]\nworkers_max = 6\n")
    platform = read_settings().platform()
    assert (platform.workers_max, platform.idle_timeout) == (6, 9_000)


# What a scaler's value means


@pytest.mark.parametrize(
    ("scaler", "value", "means"),
    [
        ("REQUEST_COUNT", None, {}),
        ("QUEUE_DELAY", None, {}),
        ("REQUEST_COUNT", 1.0, {"scaler_requests": 1}),
        ("REQUEST_COUNT", 7.0, {"scaler_requests": 7}),
        ("QUEUE_DELAY", 4.0, {"scaler_delay": 4_000}),
        ("QUEUE_DELAY", 0.5, {"scaler_delay": 500}),
    ],
)
def test_a_scalers_value_is_jobs_or_seconds(scaler: str, value: float | None, means: dict[str, int]) -> None:
    assert scaling(scaler, Effective(value, "--scaler-value")) == means


@pytest.mark.parametrize("value", [0.5, 1.5, 2.001])
def test_jobs_are_whole(value: float) -> None:
    with pytest.raises(ConfigurationError) as caught:
        scaling("REQUEST_COUNT", Effective(value, "a.toml:3"))
    words = "a.toml:3: scaler_value: under REQUEST_COUNT it is a whole number of jobs from 1, got "
    assert str(caught.value) == f"{words}{value:g}"


@pytest.mark.parametrize("scaler", ["REQUEST_COUNT", "QUEUE_DELAY"])
@pytest.mark.parametrize("how", ["flag", "variable", "key"])
def test_a_scalers_value_is_finite(furnished: Path, monkeypatch: pytest.MonkeyPatch, scaler: str, how: str) -> None:
    words = ["h.py", "--scaler", scaler]
    if how == "flag":
        words += ["--scaler-value", "inf"]
    elif how == "variable":
        monkeypatch.setenv("RUNPOD_EMULATOR_SCALER_VALUE", "inf")
    else:
        configure("[server]\nscaler_value = inf\n")
    assert "finite" in refusal(*words)


def test_a_servers_scaler_value_is_for_the_scaler_of_each_endpoint(furnished: Path) -> None:
    configure("[server]\nscaler_value = 2.5\n[endpoints.a]\nhandler = 'h.py'\nscaler = 'QUEUE_DELAY'\n")
    assert plans()["a"].settings.scaler_delay == 2_500


def test_what_is_served_is_read_with_everything_else(folder: Path) -> None:
    write(folder, "h.py")
    configure("[server]\nhandlers = ['h.py']\n")
    settings = read_settings()
    use(settings)
    assert list(settings.services()) == ["h"]
