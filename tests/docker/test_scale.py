"""docker/compose.scale.yml and its proxy, as far as they can be checked without Docker."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from runpod_emulator.core.platform import Platform
from runpod_emulator.doors import alive
from runpod_emulator.workers.environment import host_name

from tests.docker.manifests import FOLDER, IMAGE, ROOT, check_store_command, check_store_url, check_worker, settings_of

COMPOSE = yaml.safe_load((FOLDER / "compose.scale.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROXY = (FOLDER / "haproxy.cfg").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_there_are_three_emulators_and_workers_of_their_own() -> None:
    assert list(SERVICES) == ["store", "emulator", "proxy", "worker"]
    assert SERVICES["emulator"]["deploy"] == {"replicas": 3}
    assert SERVICES["worker"]["deploy"] == {"replicas": 2}


def test_each_waits_for_what_it_needs() -> None:
    needs = {name: service.get("depends_on") for name, service in SERVICES.items()}
    assert needs == {
        "store": None,
        "emulator": {"store": {"condition": "service_healthy"}},
        "proxy": {"emulator": {"condition": "service_healthy"}},
        "worker": {"proxy": {"condition": "service_started"}},
    }


def test_the_emulators_are_of_this_image_which_can_use_a_store() -> None:
    assert (FOLDER / SERVICES["emulator"]["build"]).resolve() == ROOT
    assert "'.[openai,redis]'" in DOCKERFILE


def test_no_image_names_a_registry() -> None:
    images = [service["image"] for service in SERVICES.values() if "image" in service]
    assert len(images) == 2
    assert all(IMAGE.fullmatch(image) for image in images)


def test_the_emulators_options_are_options(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = SERVICES["emulator"]
    settings = settings_of(emulator["command"], emulator["environment"], monkeypatch)
    assert (settings.handlers, settings.endpoint) == (["/handlers"], ["my-image"])
    assert settings.store is not None
    check_store_url(settings.store, "store")


def test_the_store_keeps_every_job() -> None:
    check_store_command(SERVICES["store"]["command"])
    (volume,) = SERVICES["store"]["volumes"]
    name, _, folder = volume.partition(":")
    assert (name in COMPOSE["volumes"], folder) == (True, "/data")


def test_only_the_proxy_is_published_and_to_this_machine_only() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {"proxy": ["127.0.0.1:8000:8000"]}


def test_what_is_mounted_exists() -> None:
    mounts = [volume for name in ("emulator", "proxy") for volume in SERVICES[name]["volumes"]]
    assert [(FOLDER / mount.split(":")[0]).exists() for mount in mounts] == [True, True]
    assert all(mount.endswith(":ro") for mount in mounts)


def test_the_proxy_knows_every_emulator_that_is_ready() -> None:
    names, most, server = re.findall(r"server-template (\w+) (\d+) (\S+) check .* resolvers docker", PROXY)[0]
    assert (names, server) == ("emulator", "emulator:8000")
    assert int(most) >= SERVICES["emulator"]["deploy"]["replicas"]
    (probe,) = re.findall(r"option httpchk GET (\S+)", PROXY)
    assert probe in [route.path for route in alive.routes]
    assert "bind :8000\n" in PROXY


def test_the_proxy_sends_nothing_twice_and_waits_as_long_as_any_request() -> None:
    assert "retry-on conn-failure\n" in PROXY
    longest = max(Platform().wait_max, Platform().balancer_answer_limit) // 1000
    assert [int(found) > longest for found in re.findall(r"timeout (?:client|server) (\d+)s", PROXY)] == [True, True]


def test_the_workers_have_what_worker_env_prints() -> None:
    variables = {name: value.replace("$$", "$") for name, value in SERVICES["worker"]["environment"].items()}
    check_worker(variables, "http://proxy:8000", "my-image", "runpod-emulator")


def test_each_worker_is_one_of_its_own() -> None:
    shell, flag, script = SERVICES["worker"]["command"]
    assert (shell, flag) == ("sh", "-c")
    given = dict(word.split("=", 1) for word in script.replace("$$", "$").split() if "=" in word)
    assert given == {"RUNPOD_POD_ID": "$HOSTNAME", "RUNPOD_POD_HOSTNAME": host_name("$HOSTNAME")}
    assert " exec python -u /handler.py" in script
    build = SERVICES["worker"]["build"]
    assert (FOLDER / build["context"] / re.findall(r"COPY (\S+) /handler.py", build["dockerfile_inline"])[0]).exists()
