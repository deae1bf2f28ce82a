"""The model of all options: what each is called, which form its value has, and what its default is."""

from __future__ import annotations

import re
from typing import Any

import pytest
from runpod_emulator.config.options import (
    EndpointOptions,
    GivenOptions,
    ServerOptions,
    all_options,
    default_text,
    flag,
    form,
    kind,
    variable,
)
from runpod_emulator.config.settings import read_settings
from runpod_emulator.core.platform import Platform
from runpod_emulator.workers.child import STOP_GRACE

from tests.config.given import ENDPOINT_OPTIONS, SAMPLES
from tests.tables import table

each = table("name", all_options())


def test_the_options_of_endpoints_come_last() -> None:
    names = list(all_options())
    assert names[-len(ENDPOINT_OPTIONS) :] == ENDPOINT_OPTIONS
    assert set(names) == set(GivenOptions.model_fields)
    assert len(names) == len(set(names))


def test_all_that_may_be_given_is_what_a_server_may_be_told_and_the_file() -> None:
    assert set(GivenOptions.model_fields) - set(ServerOptions.model_fields) == {"config", "no_config"}
    assert set(EndpointOptions.model_fields) < set(ServerOptions.model_fields)


@each
def test_an_option_is_explained_in_a_sentence(name: str) -> None:
    text = all_options()[name].description
    assert text
    assert text[0].isupper()
    assert text.endswith(".")
    assert "\n" not in text
    assert "|" not in text, "it would break the README's table"


@each
def test_the_names_of_an_option_follow_from_its_key(name: str) -> None:
    assert re.fullmatch("[a-z]+(_[a-z]+)*", name)
    assert flag(name) == ("HANDLER..." if name == "handlers" else f"--{name.replace('_', '-')}")
    assert variable(name) == f"RUNPOD_EMULATOR_{name.upper()}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("port", "a number"),
        ("workers_min", "a number"),
        ("scaler_value", "a number"),
        ("host", "a text"),
        ("no_auth", "a flag"),
        ("profile", "`observed` or `documented`"),
        ("scaler", "`REQUEST_COUNT` or `QUEUE_DELAY`"),
        ("log_level", "`debug` or `info` or `warning` or `error`"),
    ],
)
def test_the_kind_of_a_value(name: str, words: str) -> None:
    assert kind(all_options()[name]) == words
    assert form(all_options()[name]) == ""


@each
def test_a_value_whose_kind_says_little_has_a_form(name: str) -> None:
    field = all_options()[name]
    assert form(field) or kind(field) != "a text" or name == "host"


@table(
    ("name", "text"),
    [
        ("host", "127.0.0.1"),
        ("port", "8000"),
        ("profile", "observed"),
        ("log_level", "info"),
        ("no_auth", ""),
        ("handlers", ""),
        ("environment", ""),
        ("api_key", "any key"),
        ("port_file", ""),
        ("seed", "a new one"),
    ],
)
def test_a_default_in_words(name: str, text: str) -> None:
    assert default_text(all_options()[name]) == text


@pytest.mark.parametrize(
    "name", ["workers_min", "workers_max", "idle_timeout", "scaler", "execution_timeout", "job_ttl", "init_timeout"]
)
def test_the_default_that_is_shown_is_the_platforms(name: str) -> None:
    shown: Any = default_text(all_options()[name])
    default = getattr(Platform(), name)
    assert getattr(read_settings(**{name: shown}), name) == default


def test_the_grace_that_is_shown_is_that_of_the_workers() -> None:
    assert read_settings(stop_grace=default_text(all_options()["stop_grace"])).stop_grace == 1000 * STOP_GRACE
    assert all_options()["stop_grace"].default == 1000 * STOP_GRACE


def test_the_default_scaler_values_that_are_shown_are_the_platforms() -> None:
    platform = Platform()
    shown = f"{platform.scaler_requests}, or {platform.scaler_delay // 1000}"
    assert default_text(all_options()["scaler_value"]) == shown


@each
def test_the_first_sample_of_an_option_is_not_its_default(name: str) -> None:
    first, second = SAMPLES[name]
    assert first.value != all_options()[name].get_default(call_default_factory=True)
    assert first.value != second.value
