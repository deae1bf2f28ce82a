"""Apps of `runpod` 2.0: what their interpreter says of a source becomes endpoints; here a program stands in for it."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from runpod_emulator.config import apps
from runpod_emulator.config.apps import source_of
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.settings import FlashAddress
from runpod_emulator.sdk_app import SERVED

from tests.config.given import configure, plans, refusal, refused_file, settings_for, use, write

Entry = dict[str, Any]

QUEUE: Entry = {"kind": "queue", "name": "adder", "module": "shop", "workersMin": 0, "workersMax": 3, "idleTimeout": 60}
API: Entry = {**QUEUE, "kind": "api", "name": "web"}
SAID: Entry = {
    **QUEUE, "workersMin": 1, "workersMax": 2, "idleTimeout": 30, "scalerType": "REQUEST_COUNT", "scalerValue": 7,
    "executionTimeoutMs": 30_000, "env": {"MODEL": "tiny"}, "maxConcurrency": 3,
}  # fmt: skip


def manifest(*resources: Entry, app: str = "shop", env: str = "default") -> Entry:
    """What the SDK writes of one app."""
    return {"app": app, "env": env, "resources": list(resources)}


def describes(*manifests: Entry, skipped: list[str] | None = None) -> str:
    """The words of a command line with an interpreter that says this of every source."""
    return answers(json.dumps({"apps": list(manifests), "skipped": skipped or []}))


def answers(text: str, ending: str = "exit 0") -> str:
    """The path of an interpreter that prints this, notes how it was asked, and ends so."""
    python = Path("bin/python").absolute()
    python.parent.mkdir(exist_ok=True)
    python.with_name("answer").write_text(text)
    python.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" "$MODEL" > "$0.asked"\ncat "$(dirname "$0")/answer"\n{ending}\n')
    python.chmod(0o755)
    return str(python)


def asked() -> list[str]:
    """How the interpreter was asked: the words behind its program, and the variable MODEL."""
    return Path("bin/python.asked").read_text().splitlines()[1:]


def test_a_function_is_an_endpoint_with_a_handler_of_ours(folder: Path) -> None:
    write(folder, "shop.py")
    (plan,) = plans("--app", "shop.py", "--python", describes(manifest(QUEUE))).values()
    assert (plan.settings.id, plan.service.handler, str(plan.service)) == (
        "adder", str(SERVED), "adder of app shop in shop.py",
    )  # fmt: skip
    assert (plan.directory, plan.folder) == (str(folder), os.path.realpath(folder))
    assert plan.environment == {
        "FLASH_RESOURCE_NAME": "adder", "FLASH_ENVIRONMENT": "default", "RUNPOD_APP_DIR": str(folder),
        "_RUNPOD_EMULATOR_APP_MODULE": "shop",
    }  # fmt: skip
    assert plan.settings.flash == FlashAddress("shop", "default", "adder")


def test_the_app_says_how_its_endpoints_scale(folder: Path) -> None:
    write(folder, "shop.py")
    found = plans("--app", "shop.py", "--python", describes(manifest(SAID, API)))
    adder, web = found["adder"].settings, found["web"].settings
    assert (adder.workers_min, adder.workers_max, adder.idle_timeout, adder.execution_timeout) == (1, 2, 30_000, 30_000)
    assert (adder.scaler, adder.scaler_requests, found["adder"].concurrency) == ("REQUEST_COUNT", 7, 3)
    assert (found["adder"].environment["MODEL"], found["adder"].environment["RUNPOD_MAX_CONCURRENCY"]) == ("tiny", "3")
    assert (web.scaler, web.scaler_requests, web.execution_timeout) == ("REQUEST_COUNT", 4, 0)
    assert (found["web"].service.balanced, found["web"].service.handler) == (True, f"{SERVED}:app")


def test_a_volume_is_told_as_the_sdk_tells_it(folder: Path) -> None:
    write(folder, "shop.py")
    mounts = [{"kind": "network", "reference": "weights", "path": "/runpod-volume"}]
    (plan,) = plans("--app", "shop.py", "--python", describes(manifest({**QUEUE, "mounts": mounts}))).values()
    assert json.loads(plan.environment["RUNPOD_MOUNTS"]) == [{**mounts[0], "id": "weights"}]


def test_what_its_variables_hold_may_be_a_secret(folder: Path) -> None:
    write(folder, "shop.py")
    env = {"HF_TOKEN": "hf_of-the-app", "MODEL": "tiny"}
    settings = settings_for("--app", "shop.py", "--python", describes(manifest({**QUEUE, "env": env})))
    assert settings.secrets == ["hf_of-the-app"]


def test_a_queue_scales_by_delay_where_the_app_says_nothing(folder: Path) -> None:
    write(folder, "shop.py")
    (plan,) = plans("--app", "shop.py", "--python", describes(manifest(QUEUE))).values()
    assert (plan.settings.scaler, plan.settings.scaler_delay, plan.settings.idle_timeout) == (
        "QUEUE_DELAY", 4_000, 60_000,
    )  # fmt: skip


def test_flag_and_table_go_before_the_app_and_the_server_behind_it(folder: Path) -> None:
    write(folder, "shop.py")
    python = describes(manifest(SAID))
    configure(f"""
        [server]
        app = ["shop.py"]
        python = "{python}"
        workers_max = 9
        job_ttl = "1h"
        environment = {{ MODEL = "server" }}
        [endpoints.adder]
        idle_timeout = "9s"
        """)
    (plan,) = plans().values()
    assert (plan.settings.workers_max, plan.settings.idle_timeout, plan.settings.job_ttl) == (2, 9_000, 3_600_000)
    assert plan.environment["MODEL"] == "tiny"
    (plan,) = plans("--workers-max", "8", "--environment", "FLASH_ENVIRONMENT=staging").values()
    assert (plan.settings.workers_max, plan.settings.flash) == (8, FlashAddress("shop", "staging", "adder"))


def test_config_names_the_source_as_the_origin(folder: Path) -> None:
    write(folder, "shop.py")
    settings = settings_for("--app", "shop.py", "--python", describes(manifest(SAID, {**API, "module": "gone"})))
    assert settings.effective("workers_max", "adder") == (2, "shop.py")
    assert settings.effective("workers_max", "web") == (3, "gone")
    use(settings)


def test_the_interpreter_is_asked_with_the_variables_of_all_workers(folder: Path) -> None:
    write(folder, "shop.py")
    plans("--app", "shop.py:app", "--python", describes(manifest(QUEUE)), "--environment", "MODEL=large")
    assert asked() == [str(folder), str(folder / "shop.py"), "app", "large"]


def test_it_is_asked_once_and_again_for_a_copy_afresh(folder: Path) -> None:
    write(folder, "shop.py")
    settings = settings_for("--app", "shop.py", "--python", describes(manifest(QUEUE)))
    use(settings)
    describes(manifest({**QUEUE, "name": "other"}))
    assert list(settings.services()) == ["adder"]
    assert list(settings.afresh().services()) == ["other"]


@pytest.mark.parametrize(
    ("text", "place", "attribute", "root"),
    [
        ("shop.py", "HERE/shop.py", "", "HERE"),
        ("deep/shop.py:app", "HERE/deep/shop.py", "app", "HERE/deep"),
        ("deep", "HERE/deep", "", "HERE/deep"),
        (".", "HERE", "", "HERE"),
        ("shop:app", "shop", "app", "HERE"),
        ("shop.parts:app", "shop.parts", "app", "HERE"),
    ],
)
def test_the_forms_of_a_source(folder: Path, text: str, place: str, attribute: str, root: str) -> None:
    write(folder, "shop.py", "deep/shop.py")
    source = source_of(text, Path())
    assert (source.place, source.attribute, str(source.root)) == (
        place.replace("HERE", str(folder)), attribute, root.replace("HERE", str(folder)),
    )  # fmt: skip


@pytest.mark.parametrize("text", ["shop", "shop:", ":app", "shop:app:more", "my shop:app", "../shop:app", "no/where"])
def test_a_source_that_is_none(folder: Path, text: str) -> None:
    assert refusal("--app", text) == f"app {text}: write package.module:app, file.py, file.py:app or a folder"


@pytest.mark.parametrize("text", ["gone.py", "gone.py:app"])
def test_a_file_that_is_not_there(folder: Path, text: str) -> None:
    assert refusal("--app", text) == f"app {text}: there is no file gone.py"


def test_a_file_elsewhere_names_sources_from_its_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "shop.py", "deep/x")
    python = describes(manifest(QUEUE))
    for source, place in (("shop.py", str(folder / "shop.py")), ("shop:app", "shop")):
        configure(f"[server]\napp = ['{source}']\npython = '{python}'\n", str(folder / "runpod-emulator.toml"))
        monkeypatch.chdir(folder / "deep")
        (plan,) = plans().values()
        monkeypatch.chdir(folder)
        assert (plan.directory, asked()[:2]) == (str(folder), [str(folder), place])


def test_modules_are_looked_for_in_the_directory_of_the_workers(folder: Path) -> None:
    write(folder, "deep/shop.py")
    (plan,) = plans("--app", "shop:app", "--directory", "deep", "--python", describes(manifest(QUEUE))).values()
    assert (plan.directory, asked()[0]) == (str(folder / "deep"), str(folder / "deep"))


def test_two_apps_with_one_name(folder: Path) -> None:
    write(folder, "shop.py")
    lab = manifest(QUEUE, app="lab", env="staging")
    found = plans("--app", "shop.py", "--python", describes(manifest(QUEUE), lab))
    assert {name: plan.settings.flash for name, plan in found.items()} == {
        "adder": FlashAddress("shop", "default", "adder"),
        "lab-adder": FlashAddress("lab", "staging", "adder"),
    }
    words = refusal("--app", "shop.py", "--python", describes(manifest(QUEUE), lab, lab))
    assert words == "two apps called lab have the endpoint adder"


def test_an_app_beside_other_endpoints(folder: Path) -> None:
    write(folder, "shop.py", "h.py")
    python = describes(manifest(QUEUE))
    assert set(plans("h.py", "--mock", "m", "--app", "shop.py", "--python", python)) == {"adder", "h", "m"}
    assert "two handlers for endpoint adder" in refusal("--mock", "adder", "--app", "shop.py", "--python", python)


def test_what_is_left_out_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(folder, "shop.py")
    task = {**QUEUE, "kind": "task", "name": "pod"}
    python = describes(manifest(QUEUE, task), skipped=["importing calls.py failed: no"])
    with caplog.at_level(logging.WARNING, "runpod_emulator"):
        assert list(plans("--app", ".", "--python", python)) == ["adder"]
    assert [record.message for record in caplog.records] == [
        "app .: left out: importing calls.py failed: no",
        "pod of app shop in shop.py: a task is a pod of its own, which only the management API brings up, "
        "so it is not served",
    ]
    words = refusal("--app", ".", "--python", describes(manifest(task)))
    assert words.startswith("nothing to serve: the app has tasks only")


def test_what_the_interpreter_refuses(folder: Path) -> None:
    write(folder, "shop.py")
    python = answers('{"refused": "shop.py has no app"}')
    assert refusal("--app", "shop.py:app", "--python", python) == "app shop.py:app: shop.py has no app"
    words = refused_file(f"[server]\napp = ['shop.py']\npython = '{python}'\n")
    assert words == "runpod-emulator.toml:2: server.app: app shop.py: shop.py has no app"


def test_an_interpreter_that_is_none(folder: Path) -> None:
    write(folder, "shop.py")
    assert refusal("--app", "shop.py", "--python", "bin/none") == "--python: there is no program bin/none"
    with pytest.raises(ConfigurationError) as caught:
        use(settings_for("--app", "shop.py", "--python", answers("", "echo Oh no >&2; exit 3")))
    python = str(folder / "bin/python")
    assert str(caught.value) == f"app shop.py: {python} ended with code 3 and said nothing of it:\nOh no"


def test_an_import_without_an_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(folder, "shop.py")
    monkeypatch.setattr(apps, "LONGEST", 0.2)
    words = refusal("--app", "shop.py", "--python", answers("", "exec sleep 60"))
    assert words == "app shop.py: its import has not ended within 0.2 s"


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"workersMin": -1}, "workers_min: Input should be greater than or equal to 0"),
        ({"env": {"A": 1}}, "environment: Input should be a valid string"),
    ],
)
def test_an_impossible_value(folder: Path, said: Entry, problem: str) -> None:
    write(folder, "shop.py")
    words = refusal("--app", "shop.py", "--python", describes(manifest({**QUEUE, **said})))
    assert words == f"app shop.py: resource adder: {problem}"


@pytest.mark.parametrize("name", ["my adder", "flash", "a/b"])
def test_a_name_that_can_be_no_endpoints_id(folder: Path, name: str) -> None:
    write(folder, "shop.py")
    assert name in refusal("--app", "shop.py", "--python", describes(manifest({**QUEUE, "name": name})))
