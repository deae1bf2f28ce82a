"""Fields of the platform, as `--set` and the table [platform] change them."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from runpod_emulator.config.fields import changed_fields, field_value, parse_field
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.platform import DAY, HOUR, MINUTE, SECOND, Platform, Profile, preset, source_of
from runpod_emulator.values import as_text

from tests.config.given import configure, refusal, refused_file
from tests.tables import table

FIELDS = [field.name for field in dataclasses.fields(Platform)]
TIMES = [name for name in FIELDS if source_of(name).unit == "ms" and isinstance(getattr(Platform(), name), int)]


# --set


@pytest.mark.parametrize("profile", ["observed", "documented"])
def test_every_value_can_be_written_and_read_back(profile: Profile) -> None:
    platform = preset(profile)
    written = [f"{name}={as_text(value)}" for name, value in changed_fields(platform).items()]
    assert len(written) == len(FIELDS)
    assert read_settings(set=written).platform() == platform


@table(
    ("entry", "value"),
    [
        ("workers_max=5", 5),
        (" workers_max = 5 ", 5),
        ("split_chunks=false", False),
        ("cors=none", "none"),
        ("id_suffix=", ""),
        ("id_suffix=-e1", "-e1"),
        ("timed_out_error=5", "5"),
        ("timed_out_error=a=b", "a=b"),
        ("webhook_retry_delays=1,2,3", (1, 2, 3)),
        ("webhook_retry_delays=[1, 2]", (1, 2)),
        ("webhook_retry_delays=", ()),
        ("run_retention=10m", 10 * MINUTE),
        ("run_retention=250", 250),
    ],
)
def test_set_changes_one_field(entry: str, value: Any) -> None:
    platform = read_settings(set=[entry]).platform()
    changed = {name: now for name, now in changed_fields(platform).items() if now != changed_fields(Platform())[name]}
    assert list(changed.values()) in ([value], []), "nothing else has changed"
    assert changed_fields(platform)[entry.partition("=")[0].strip()] == value


@table(
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
        ("workers_max=5s", "workers_max is a whole number"),
        ("workers_max=true", "workers_max is a whole number; write a number, not true or false"),
        ("run_retention=false", "run_retention is a whole number; write a number, not true or false"),
        ("run_retention=soon", "run_retention is a whole number; write milliseconds, or a number with ms, s, m, h or"),
        ("cors=closed", "cors is one of local, open, none"),
        ("split_chunks=perhaps", "split_chunks is true or false"),
        ("webhook_retry_delays=1,soon", "webhook_retry_delays is a list of whole numbers"),
        ("workers_max=-1", "workers_max must not be negative, got -1"),
        ("webhook_retry_delays=5,-1", "webhook_retry_delays must not be negative"),
    ],
)
def test_set_refuses(entry: str, words: str) -> None:
    assert words in refusal(set=[entry])


def test_set_says_which_entry_is_wrong() -> None:
    assert refusal(set=["workers_max=5", "cors=closed"]).startswith(
        "--set cors=closed: cors is one of local, open, none; "
    )


@pytest.mark.parametrize("how", ["variable", "key"])
def test_a_wrong_entry_of_a_variable_or_a_key_says_where_it_is(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "variable":
        monkeypatch.setenv("RUNPOD_EMULATOR_SET", '["cors=closed"]')
    else:
        configure("[server]\nset = ['cors=closed']\n")
    assert refusal().startswith("RUNPOD_EMULATOR_SET" if how == "variable" else "runpod-emulator.toml:2: server.set")


def test_parse_field_names_the_field_and_its_value() -> None:
    assert parse_field("run_retention=10m") == ("run_retention", 10 * MINUTE)


# The table [platform]


@pytest.mark.parametrize("profile", ["observed", "documented"])
def test_every_field_is_a_key_of_platform(profile: Profile) -> None:
    values = changed_fields(preset(profile))
    configure("[platform]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))
    assert read_settings().platform() == preset(profile)


@table("name", TIMES)
def test_every_time_may_be_written_with_a_unit(name: str) -> None:
    configure(f"[platform]\n{name} = '10m'\n")
    assert getattr(read_settings().platform(), name) == 10 * MINUTE


@pytest.mark.parametrize(
    ("text", "value"),
    [("250ms", 250), ("9s", 9 * SECOND), ("1.5h", 1.5 * HOUR), ("2d", 2 * DAY), ("600", 600)],
)
def test_a_time_of_platform(text: str, value: int) -> None:
    configure(f"[platform]\nrun_retention = '{text}'\n")
    assert read_settings().platform().run_retention == value


@table(
    ("line", "words"),
    [
        ("run_retentoin = 5", "no field run_retentoin. The nearest is run_retention; 'runpod-emulator fields' lists"),
        ("run_retention = 'soon'", "run_retention is a whole number; write milliseconds, or a number with ms, s, m"),
        ("run_retention = 1.5", "run_retention is a whole number; "),
        ("run_retention = []", "run_retention is a whole number; "),
        ("workers_max = 'five'", "workers_max is a whole number; "),
        ("workers_max = '5s'", "workers_max is a whole number; "),
        ("workers_max = 1.5", "workers_max is a whole number; "),
        ("workers_max = true", "workers_max is a whole number; "),
        ("workers_max = [1]", "workers_max is a whole number; "),
        ("workers_max = { a = 1 }", "workers_max is a whole number; "),
        ("workers_max = 1979-05-27", "workers_max is a whole number; "),
        ("id_suffix = 3", "id_suffix is a text; "),
        ("id_suffix = true", "id_suffix is a text; "),
        ("cors = 'closed'", "cors is one of local, open, none; "),
        ("split_chunks = 'perhaps'", "split_chunks is true or false; "),
        ("webhook_retry_delays = 5", "webhook_retry_delays is a list of whole numbers; "),
        ("webhook_retry_delays = '1,2'", "webhook_retry_delays is a list of whole numbers; "),
        ("webhook_retry_delays = [1, 'soon']", "webhook_retry_delays is a list of whole numbers; "),
    ],
)
def test_a_wrong_field_of_the_file_is_told_with_its_line(line: str, words: str) -> None:
    assert refused_file(f"[platform]\n\n{line}\n").startswith(f"runpod-emulator.toml:3: {words}")


@pytest.mark.parametrize(
    "line",
    [
        "workers_max = '5'",
        "workers_max = true",
        "workers_max = 5.0",
        "run_retention = true",
        "split_chunks = 'false'",
        "split_chunks = 0",
        "webhook_retry_delays = [true]",
    ],
)
def test_a_field_of_the_file_has_its_own_type(line: str) -> None:
    assert refused_file(f"[platform]\n{line}\n[endpoints.a]\n").startswith("runpod-emulator.toml:2: ")


@pytest.mark.parametrize(
    "line",
    ["run_retention = -1", "workers_min = 9", "job_ttl = 5", "execution_timeout = 1", "webhook_retry_delays = [-1]"],
)
def test_an_impossible_field_of_the_file_is_told_with_its_line(line: str) -> None:
    assert "runpod-emulator.toml:2" in refused_file(f"[platform]\n{line}\n[endpoints.a]\n")


@pytest.mark.parametrize("entry", ["run_retention=-1", "workers_min=9", "job_ttl=5"])
def test_an_impossible_entry_is_told_with_its_flag(entry: str) -> None:
    assert "--set" in refusal("--endpoint", "a", "--set", entry)


def test_a_field_says_where_it_was_given() -> None:
    assert field_value("run_retention", "10m", "a.toml:7") == 10 * MINUTE
    with pytest.raises(ConfigurationError, match=r"^a\.toml:7: cors is one of local, open, none; "):
        field_value("cors", "closed", "a.toml:7")
