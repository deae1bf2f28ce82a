"""Flash apps: what `flash build` left is read, and becomes endpoints."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.config.flash import flash_resources, read_app
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.settings import FlashAddress

from tests.config.given import build, configure, plans, refusal, refused_file, settings_for, use, write

AGAIN = "run 'flash build --no-deps' in shop"
MANIFEST = "shop/.flash/.build/flash_manifest.json"
SAID: dict[str, Any] = {
    "is_load_balanced": False, "handler_file": "handler_adder.py", "workersMin": 1, "workersMax": 2, "idleTimeout": 60,
    "scalerType": "QUEUE_DELAY", "scalerValue": 7, "executionTimeoutMs": 30_000, "env": {"MODEL": "tiny"},
    "max_concurrency": 3, "functions": [],
}  # fmt: skip


def test_a_function_is_an_endpoint_whose_workers_run_its_program(folder: Path) -> None:
    build(folder / "shop", adder=SAID)
    (plan,) = plans("--flash", "shop").values()
    build_folder = str(folder / "shop/.flash/.build")
    assert plan.settings.id == "adder"
    assert plan.service.command == (sys.executable, f"{build_folder}/handler_adder.py")
    assert (plan.directory, plan.python) == (build_folder, sys.executable)
    assert plan.environment == {
        "MODEL": "tiny",
        "FLASH_RESOURCE_NAME": "adder",
        "FLASH_APP": "shop",
        "FLASH_ENV": "production",
        "FLASH_ENVIRONMENT_ID": "shop-production",
        "RUNPOD_URL_MIXED_OK": "1",
    }
    assert plan.settings.flash == FlashAddress("shop", "production", "adder")


def test_the_app_says_how_its_endpoints_scale(folder: Path) -> None:
    build(folder / "shop", adder=SAID, plain={})
    found = plans("--flash", "shop")
    adder, plain = found["adder"].settings, found["plain"].settings
    assert (adder.workers_min, adder.workers_max, adder.idle_timeout, adder.execution_timeout) == (1, 2, 60_000, 30_000)
    assert (adder.scaler, adder.scaler_delay) == ("QUEUE_DELAY", 7_000)
    assert (plain.workers_min, plain.workers_max, plain.idle_timeout) == (0, 3, 5_000)
    assert plain.execution_timeout == 0, "an app that names none has none"


def test_flag_variable_and_table_go_before_the_app_and_the_server_behind_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(folder / "shop", adder=SAID)
    configure("""
        [server]
        flash = ["shop"]
        workers_max = 9
        job_ttl = "1h"
        environment = { MODEL = "server", OTHER = "server" }
        [endpoints.adder]
        idle_timeout = "9s"
        """)
    (plan,) = plans().values()
    assert (plan.settings.workers_max, plan.settings.idle_timeout, plan.settings.job_ttl) == (2, 9_000, 3_600_000)
    assert (plan.environment["MODEL"], plan.environment["OTHER"]) == ("tiny", "server")
    monkeypatch.setenv("RUNPOD_EMULATOR_WORKERS_MAX", "8")
    (plan,) = plans("--environment", "MODEL=flag").values()
    assert (plan.settings.workers_max, plan.environment["MODEL"]) == (8, "flag")


def test_config_names_the_manifest_as_the_origin(folder: Path) -> None:
    build(folder / "shop", adder=SAID)
    settings = settings_for("--flash", "shop")
    assert settings.effective("workers_max", "adder") == (2, MANIFEST)
    assert settings.variables_of("adder")["MODEL"] == ("tiny", MANIFEST)
    assert f"workers_max is set by {MANIFEST}" in refusal("--flash", "shop", "--workers-min", "5")


def test_variables_of_the_user_rename_app_and_environment(folder: Path) -> None:
    build(folder / "shop", adder={})
    (plan,) = plans("--flash", "shop", "--environment", "FLASH_APP=lab", "--environment", "FLASH_ENV=staging").values()
    assert plan.settings.flash == FlashAddress("lab", "staging", "adder")
    assert plan.environment["FLASH_ENVIRONMENT_ID"] == "lab-staging"


def test_an_app_without_a_name_is_called_after_its_folder(folder: Path) -> None:
    manifest = build(folder / "shop", adder={})
    manifest.write_text('{"resources": {"adder": {}}}')
    assert [resource.app for resource in read_app(Path("shop"))] == ["shop"]


def test_python_and_directory_are_options_as_elsewhere(folder: Path) -> None:
    build(folder / "shop", adder={})
    write(folder, "venv/bin/python", "work/x")
    (folder / "venv/bin/python").chmod(0o755)
    (plan,) = plans("--flash", "shop", "--python", "venv/bin/python", "--directory", "work").values()
    assert plan.service.command[0] == str(folder / "venv/bin/python")
    assert plan.directory == str(folder / "work")
    assert os.path.isabs(plan.service.command[1])


def test_a_file_elsewhere_names_apps_from_its_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(folder / "shop", adder={})
    configure("[server]\nflash = ['shop']\n")
    (folder / "deep").mkdir()
    monkeypatch.chdir(folder / "deep")
    (plan,) = plans().values()
    assert plan.directory == str(folder / "shop/.flash/.build")


def test_an_app_beside_other_endpoints(folder: Path) -> None:
    build(folder / "shop", adder={})
    write(folder, "h.py")
    assert set(plans("h.py", "--mock", "m", "--flash", "shop")) == {"adder", "h", "m"}
    assert "two handlers for endpoint adder" in refusal("--mock", "adder", "--flash", "shop")


def test_a_flag_names_what_is_served_instead_of_the_files_app(folder: Path) -> None:
    configure("[server]\nflash = ['gone']\n")
    assert set(plans("--mock", "m")) == {"m"}


def test_two_apps_with_one_name(folder: Path) -> None:
    build(folder / "shop", adder={}, greeter={})
    build(folder / "lab", adder={"workersMax": 7})
    found = plans("--flash", "shop", "--flash", "lab")
    assert list(found) == ["adder", "greeter", "lab-adder"]
    assert found["lab-adder"].settings.workers_max == 7
    assert found["lab-adder"].settings.flash == FlashAddress("lab", "production", "adder")
    build(folder / "else" / "lab", adder={})
    with pytest.raises(ConfigurationError, match="two Flash apps called lab have the endpoint adder"):
        flash_resources([Path("shop"), Path("lab"), Path("else/lab")])


def test_a_load_balanced_function_scales_as_the_app_says(folder: Path) -> None:
    said = {
        "is_load_balanced": True,
        "workersMax": 1,
        "idleTimeout": 60,
        "scalerType": "REQUEST_COUNT",
        "scalerValue": 4,
    }
    build(folder / "shop", web={**said, "env": {"MODEL": "tiny"}})
    (plan,) = plans("--flash", "shop").values()
    own = plan.settings
    assert (own.workers_max, own.idle_timeout, own.scaler, own.scaler_requests) == (1, 60_000, "REQUEST_COUNT", 4)
    assert (plan.environment["MODEL"], plan.environment["FLASH_RESOURCE_NAME"]) == ("tiny", "web")
    assert own.flash == FlashAddress("shop", "production", "web")


def test_two_apps_with_one_load_balanced_name(folder: Path) -> None:
    for app in ("shop", "lab"):
        build(folder / app, web={"is_load_balanced": True})
    found = plans("--flash", "shop", "--flash", "lab")
    assert {name: plan.settings.flash.app for name, plan in found.items()} == {"web": "shop", "lab-web": "lab"}
    assert all(plan.service.balanced for plan in found.values())
    assert "two handlers for endpoint web" in refusal("--mock", "web", "--flash", "shop")


# What is not served


def test_images_are_left_out_and_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(folder / "shop", adder={}, web={"is_load_balanced": True}, vllm={"client_mode": True, "handler_file": None})
    with caplog.at_level(logging.WARNING, "runpod_emulator"):
        served = plans("--flash", "shop")
    assert {name: plan.service.balanced for name, plan in served.items()} == {"adder": False, "web": True}
    assert served["web"].service.handler == str(Path("shop/.flash/.build/handler_web.py:app").absolute())
    assert served["web"].environment["FLASH_ENDPOINT_TYPE"] == "lb"
    assert [record.message.partition(":")[0::2] for record in caplog.records] == [
        (
            "vllm of Flash app shop",
            " an image is not served by itself: name what stands in for it with --endpoint, --command or --mock",
        ),
    ]
    kinds = {resource.name: (resource.kind, resource.handler) for resource in read_app(Path("shop"))}
    assert kinds == {
        "adder": ("queue", "handler_adder.py"), "web": ("load_balanced", "handler_web.py"), "vllm": ("image", ""),
    }  # fmt: skip


def test_what_stands_in_for_an_image_is_served_in_peace(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    build(folder / "shop", vllm={"client_mode": True, "workersMax": 2})
    (plan,) = plans("--flash", "shop", "--mock", "vllm").values()
    assert (plan.settings.workers_max, plan.service.mock, caplog.records) == (2, True, [])


def test_an_app_of_which_nothing_can_be_served(folder: Path) -> None:
    build(folder / "shop", vllm={"client_mode": True, "handler_file": None})
    words = refusal("--flash", "shop")
    assert words.startswith("nothing to serve: the Flash app has images only")


# What is wrong


def test_an_app_that_was_not_built(folder: Path) -> None:
    (folder / "shop").mkdir()
    assert refusal("--flash", "shop") == f"there is no {MANIFEST}: {AGAIN}"
    assert refusal("--flash", "gone").endswith("run 'flash build --no-deps' in gone")


def test_a_file_says_where_it_names_the_app(folder: Path) -> None:
    words = refused_file("[server]\n\nflash = ['shop']\n")
    assert words == f"runpod-emulator.toml:3: server.flash: there is no {MANIFEST}: {AGAIN}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", "it has no table 'resources'"),
        ("{}", "it has no table 'resources'"),
        ('{"resources": []}', "it has no table 'resources'"),
        ('{"resources": {"adder": 1}}', "it has no table 'resources'"),
        ("\xff", "'utf-8' codec can't decode"),
    ],
)
def test_a_manifest_that_is_none(folder: Path, text: str, said: str) -> None:
    build(folder / "shop", adder={}).write_text(text, encoding="latin-1")
    words = refusal("--flash", "shop")
    assert words.startswith(f"{MANIFEST}: {said}") and words.endswith(f": {AGAIN}")


@pytest.mark.parametrize("kind", [{}, {"is_load_balanced": True}])
@pytest.mark.parametrize("said", [{}, {"handler_file": "other.py"}, {"handler_file": "lib"}])
def test_a_manifest_that_names_a_missing_file(folder: Path, said: dict[str, Any], kind: dict[str, Any]) -> None:
    manifest = build(folder / "shop")
    (manifest.parent / "lib").mkdir()
    manifest.write_text(json.dumps({"resources": {"adder": said | kind}}))
    name = said.get("handler_file", "handler_adder.py")
    assert refusal("--flash", "shop") == f"{MANIFEST}: resource adder: there is no file {name} beside it: {AGAIN}"


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"workersMax": "many"}, "workers_max: Input should be a valid integer"),
        ({"workersMax": -1}, "workers_max: Input should be greater than or equal to 0"),
        ({"idleTimeout": "soon"}, "invalid literal for int()"),
        ({"idleTimeout": [1]}, "int() argument must be"),
        ({"scalerType": "MAGIC"}, "scaler: Input should be 'REQUEST_COUNT' or 'QUEUE_DELAY'"),
        ({"env": ["A"]}, "environment: A: write NAME=VALUE"),
        ({"env": {"A": 1}}, "environment: "),
    ],
)
def test_a_manifest_with_an_impossible_value(folder: Path, said: dict[str, Any], problem: str) -> None:
    build(folder / "shop", adder=said)
    words = refusal("--flash", "shop")
    assert words.startswith(f"{MANIFEST}: resource adder: {problem}") and words.endswith(f": {AGAIN}")


@pytest.mark.parametrize("name", ["my adder", "flash"])
def test_a_name_that_can_be_no_endpoints_id(folder: Path, name: str) -> None:
    build(folder / "shop", **{name: {}})
    assert name in refusal("--flash", "shop")


def test_no_endpoint_is_called_flash(folder: Path) -> None:
    write(folder, "flash.py", "h.py")
    for words in (("flash.py",), ("--endpoint", "flash=h.py"), ("--mock", "flash"), ("--command", "flash=true")):
        assert "no endpoint may be called flash: under /v2/flash Flash clients reach" in refusal(*words)
    assert refused_file("[endpoints.flash]\nhandler = 'h.py'\n").startswith("runpod-emulator.toml:1: no endpoint may")


def test_settings_that_can_be_used(folder: Path) -> None:
    build(folder / "shop", adder=SAID)
    settings = settings_for("--flash", "shop")
    use(settings)
    assert settings.flash == [Path("shop")]
