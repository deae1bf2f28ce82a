"""Settings: what options, environment variables and `--set` make of them, and what they refuse."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from emulator.config.fields import changed_fields
from emulator.config.services import Service, hidden_modules
from emulator.config.settings import Settings, read_settings
from emulator.core.errors import ConfigurationError
from emulator.core.platform import DAY, HOUR, MINUTE, Platform, Profile, preset
from emulator.values import as_text, file_of, milliseconds

FIELDS = [field.name for field in dataclasses.fields(Platform)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and no setting in the environment."""
    for name in [name for name in os.environ if name.startswith("RUNPOD_EMULATOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def refusal(**given: Any) -> str:
    """Why settings are refused, when they are read or used."""
    with pytest.raises(ConfigurationError) as caught:
        use(read_settings(**given))
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def use(settings: Settings) -> None:
    settings.platform()
    settings.services()


# Durations


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("600000", 600_000),
        ("250ms", 250),
        ("600s", 600_000),
        ("1.5s", 1_500),
        ("10m", 10 * MINUTE),
        ("24h", 24 * HOUR),
        ("7d", 7 * DAY),
        (" 5 s ", 5_000),
        ("0", 0),
    ],
)
def test_a_duration_has_a_unit_or_is_milliseconds(text: str, value: int) -> None:
    assert milliseconds(text) == value


@pytest.mark.parametrize("text", ["", "s", "-5", "5 minutes", "1e3", "5S", "1,5s", "5s5s"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="write milliseconds, or a number with ms, s, m, h or d"):
        milliseconds(text)


def test_a_number_passes_as_it_is() -> None:
    assert milliseconds(5) == 5


# Where settings come from


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
    assert platform.id_suffix == ""


def test_an_option_counts_more_than_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_EMULATOR_PORT", "9000")
    assert read_settings(port=1234).port == 1234


@pytest.mark.parametrize("name", ["API_KEY", "HANDLERS", "ENDPOINT", "SET"])
def test_a_variable_that_is_no_list_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"RUNPOD_EMULATOR_{name}", "one,two")
    assert f"RUNPOD_EMULATOR_{name}" in refusal()


def test_the_name_of_a_wrong_variable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_EMULATOR_PORT", "nine thousand")
    assert "RUNPOD_EMULATOR_PORT" in refusal()


@pytest.mark.parametrize(
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
    ],
    ids=str,
)
def test_a_wrong_option_is_named(given: dict[str, Any], words: str) -> None:
    assert refusal(**given).startswith(words)


# Fields of the platform


@pytest.mark.parametrize("profile", ["observed", "documented"])
def test_every_value_can_be_written_and_read_back(profile: Profile) -> None:
    platform = preset(profile)
    written = [f"{name}={as_text(value)}" for name, value in changed_fields(platform).items()]
    assert len(written) == len(FIELDS)
    assert read_settings(set=written).platform() == platform


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("workers_max=5", 5),
        (" workers_max = 5 ", 5),
        ("strip_empty_input=false", False),
        ("cors=none", "none"),
        ("id_suffix=", ""),
        ("id_suffix=-e1", "-e1"),
        ("timed_out_error=5", "5"),
        ("timed_out_error=a=b", "a=b"),
        ("webhook_retry_delays=1,2,3", (1, 2, 3)),
        ("webhook_retry_delays=[1, 2]", (1, 2)),
        ("webhook_retry_delays=", ()),
    ],
)
def test_set_changes_one_field(entry: str, value: Any) -> None:
    platform = read_settings(set=[entry]).platform()
    changed = {name: now for name, now in changed_fields(platform).items() if now != changed_fields(Platform())[name]}
    assert list(changed.values()) in ([value], []), "nothing else has changed"
    assert changed_fields(platform)[entry.partition("=")[0].strip()] == value


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("workers_maxx=5", "no field workers_maxx. The nearest is workers_max; 'runpod-emulator fields' lists all"),
        ("idle-timeout=5", "The nearest is idle_timeout"),
        ("=5", "no field "),
        ("workers_max", "write field=value"),
        ("workers_max=five", "workers_max is a whole number"),
        ("workers_max=", "workers_max is a whole number"),
        ("workers_max=1.5", "workers_max is a whole number"),
        ("workers_max=null", "workers_max is a whole number"),
        ("workers_max=[1]", "workers_max is a whole number"),
        ("cors=closed", "cors is one of open, none"),
        ("strip_empty_input=perhaps", "strip_empty_input is true or false"),
        ("webhook_retry_delays=1,soon", "webhook_retry_delays is a list of whole numbers"),
        ("workers_max=-1", "workers_max must not be negative, got -1"),
        ("webhook_retry_delays=5,-1", "webhook_retry_delays must not be negative"),
    ],
)
def test_set_refuses(entry: str, words: str) -> None:
    assert words in refusal(set=[entry])


def test_an_option_of_its_own_counts_more_than_set() -> None:
    settings = read_settings(set=["workers_max=5", "job_ttl=10000"], workers_max=6, job_ttl="20s")
    assert (settings.platform().workers_max, settings.platform().job_ttl) == (6, 20_000)


def test_set_counts_more_than_the_profile() -> None:
    platform = read_settings(profile="documented", set=["id_suffix=-e2"]).platform()
    assert (platform.id_suffix, platform.scaler) == ("-e2", "QUEUE_DELAY")


def test_the_last_of_two_sets_counts() -> None:
    assert read_settings(set=["workers_max=5", "workers_max=6"]).platform().workers_max == 6


# Handlers


def programs(*handlers: str, endpoint: tuple[str, ...] = ()) -> dict[str, str | None]:
    services = read_settings(handlers=list(handlers), endpoint=list(endpoint)).services()
    return {endpoint_id: service.handler for endpoint_id, service in services.items()}


def test_an_endpoint_is_called_after_its_file(folder: Path) -> None:
    write(folder, "echo.py", "src/my-handler_2.py")
    assert programs("echo.py", "src/my-handler_2.py") == {"echo": "echo.py", "my-handler_2": "src/my-handler_2.py"}


def test_a_function_of_a_file_or_a_module(folder: Path) -> None:
    write(folder, "src/main.py")
    assert programs("src/main.py:run", "package.module:run", "single:run") == {
        "main": "src/main.py:run",
        "module": "package.module:run",
        "single": "single:run",
    }


def test_a_method_of_a_class_in_a_file(folder: Path) -> None:
    write(folder, "main.py")
    assert programs("main.py:Model.run") == {"main": "main.py:Model.run"}


def test_endpoint_names_a_handler(folder: Path) -> None:
    write(folder, "main.py")
    assert programs(endpoint=("llm=main.py", "Image-2=main.py:draw")) == {"llm": "main.py", "Image-2": "main.py:draw"}
    assert list(programs("main.py", endpoint=("llm=main.py",))) == ["llm", "main"]


def test_a_folder_is_all_its_handlers_in_order(folder: Path) -> None:
    write(folder, "all/b.py", "all/a.py", "all/_private.py", "all/__init__.py", "all/test_a.py", "all/conftest.py")
    write(folder, "all/notes.txt", "all/deeper/c.py")
    for spelling in ("all", "all/", str(folder / "all")):
        assert list(programs(spelling)) == ["a", "b"]


@pytest.mark.parametrize(
    ("handlers", "endpoint", "words"),
    [
        ((), (), "nothing to serve"),
        (("missing.py",), (), "handler missing.py: there is no file missing.py"),
        (("missing.py:run",), (), "there is no file missing.py"),
        (("empty",), (), "no handler in empty"),
        (("echo",), (), "handler echo: there is no file or folder of this name"),
        (("no/such/folder",), (), "handler no/such/folder: there is no file or folder of this name"),
        (("package.module",), (), "write file.py, file.py:function, package.module:function or a directory"),
        (("package.1:run",), (), "write file.py"),
        (("echo.py:",), (), "write file.py"),
        (("echo.py", "other/echo.py"), (), "two handlers for endpoint echo: echo.py and other/echo.py"),
        (("echo.py",), ("echo=other/echo.py",), "two handlers for endpoint echo: other/echo.py and echo.py"),
        ((), ("a=echo.py", "a=echo.py"), "two handlers for endpoint a"),
        ((), ("echo.py",), "'echo.py' can't be an endpoint id"),
        ((), ("a=",), "--endpoint a=: write ID=HANDLER, or ID alone for workers started elsewhere"),
        ((), ("=echo.py",), "'' can't be an endpoint id"),
        ((), ("a/b=echo.py",), "'a/b' can't be an endpoint id"),
        ((), ("é=echo.py",), "can't be an endpoint id"),
        (
            ("two words.py",),
            (),
            "'two words' can't be an endpoint id (letters, digits, - and _)",
        ),
        (("v1.2.py",), (), "'v1.2' can't be an endpoint id"),
    ],
    ids=str,
)
def test_handlers_that_are_refused(
    folder: Path, handlers: tuple[str, ...], endpoint: tuple[str, ...], words: str
) -> None:
    write(folder, "echo.py", "other/echo.py", "two words.py", "v1.2.py")
    (folder / "empty").mkdir()
    assert words in refusal(handlers=list(handlers), endpoint=list(endpoint))


def test_an_endpoint_may_have_workers_of_elsewhere_or_a_command(folder: Path) -> None:
    services = read_settings(endpoint=["remote"], command=["sdk=python -u 'my handler.py'"]).services()
    assert services == {"remote": Service(), "sdk": Service(command=("python", "-u", "my handler.py"))}
    assert [str(service) for service in services.values()] == ["workers started elsewhere", "python -u my handler.py"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("sdk", "--command sdk: write ID=COMMAND, as in ID='python -u handler.py'"),
        ("sdk=", "--command sdk=: write ID=COMMAND"),
        ("sdk='half", "--command sdk='half: No closing quotation"),
        ("a/b=python", "'a/b' can't be an endpoint id"),
    ],
)
def test_a_command_is_refused(entry: str, words: str) -> None:
    assert words in refusal(command=[entry])


def test_what_is_a_file() -> None:
    assert file_of("a/b.py") == "a/b.py"
    assert file_of("a/b.py:run") == "a/b.py"
    assert file_of("a.b:run") is None
    assert file_of("odd:name.py") == "odd:name.py"


def test_files_that_hide_a_module_are_found(folder: Path) -> None:
    write(folder, "echo.py", "queue.py", "json.py", "numpy.py", "deeper/random.py")
    assert [file.name for file in hidden_modules(str(folder / "echo.py"))] == ["json.py", "queue.py"]
    assert [file.name for file in hidden_modules(str(folder / "queue.py:run"))] == ["json.py", "queue.py"]
    assert [file.name for file in hidden_modules("deeper/random.py")] == ["random.py"]
    assert hidden_modules("package.module:run") == []


def test_lists_in_the_environment_are_json(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    write(folder, "echo.py")
    monkeypatch.setenv("RUNPOD_EMULATOR_ENDPOINT", json.dumps(["a=echo.py", "b=echo.py"]))
    assert list(read_settings().services()) == ["a", "b"]
