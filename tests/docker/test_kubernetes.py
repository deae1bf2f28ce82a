"""The manifests in docker/kubernetes, as far as they can be checked without a cluster.

Their schemas are checked by `make lint`. Here is what no schema knows: that names meet, that probes ask for routes that
there are, that options are options.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import pytest
from runpod_emulator.doors import alive
from runpod_emulator.doors.admin import metrics
from runpod_emulator.workers.environment import host_name

from tests.docker.manifests import (
    FOLDER,
    IMAGE,
    ROOT,
    check_store_command,
    check_store_url,
    check_worker,
    documents,
    settings_of,
)

FILES = ["store.yml", "emulator.yml", "workers.yml", "keda.yml"]
OBJECTS = {(one["kind"], one["metadata"]["name"]): one for file in FILES for one in documents(f"kubernetes/{file}")}
PODS = {name: one["spec"]["template"] for (kind, name), one in OBJECTS.items() if kind in ("Deployment", "StatefulSet")}


def container(name: str) -> dict[str, Any]:
    """The one container of a pod."""
    (one,) = PODS[name]["spec"]["containers"]
    assert isinstance(one, dict)
    return one


def secret(name: str) -> dict[str, str]:
    """What a Secret says."""
    told = OBJECTS["Secret", name]["stringData"]
    assert isinstance(told, dict)
    return told


def variables(name: str) -> dict[str, str]:
    """The variables of a pod, with what they take from Secrets; those of the pod itself are left out."""
    found = {}
    for one in container(name)["env"]:
        source = one.get("valueFrom", {}).get("secretKeyRef")
        if source:
            found[one["name"]] = secret(source["name"])[source["key"]]
        elif "value" in one:
            found[one["name"]] = one["value"]
    return found


def test_every_file_is_here_and_named_on_the_page() -> None:
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert sorted(path.name for path in (FOLDER / "kubernetes").iterdir()) == sorted(FILES)
    assert [name for name in FILES if f"`{name}`" not in page or f"docker/kubernetes/{name}" not in page] == []


def test_all_that_is_needed_is_here() -> None:
    assert sorted(OBJECTS) == [
        ("Deployment", "emulator"), ("Deployment", "my-image"), ("PodDisruptionBudget", "emulator"),
        ("ScaledObject", "my-image"), ("Secret", "emulator"), ("Secret", "store"), ("Service", "emulator"),
        ("Service", "store"), ("StatefulSet", "store"),
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), [key for key in OBJECTS if key[0] not in ("Secret", "ScaledObject")])
def test_selectors_find_their_pods(kind: str, name: str) -> None:
    selector = OBJECTS[kind, name]["spec"]["selector"]
    labels = selector.get("matchLabels", selector)
    assert [pod for pod, template in PODS.items() if template["metadata"]["labels"] == labels] == [name]


@pytest.mark.parametrize("service", ["store", "emulator"])
def test_services_lead_to_ports_that_are_open(service: str) -> None:
    (port,) = OBJECTS["Service", service]["spec"]["ports"]
    (opened,) = container(service)["ports"]
    assert (port["targetPort"], port["port"]) == (opened["name"], opened["containerPort"])


@pytest.mark.parametrize("name", PODS)
def test_no_service_sets_a_variable_that_is_an_option(name: str) -> None:
    assert PODS[name]["spec"]["enableServiceLinks"] is False
    assert [name for kind, name in OBJECTS if kind == "Service" and name.startswith("runpod-emulator")] == []


@pytest.mark.parametrize("name", PODS)
def test_no_image_names_a_registry(name: str) -> None:
    assert IMAGE.fullmatch(container(name)["image"])


def test_the_probes_ask_for_routes_that_there_are() -> None:
    routes = [route.path for route in alive.routes]
    probes = [container("emulator")[f"{kind}Probe"]["httpGet"] for kind in ("readiness", "liveness")]
    assert probes == [{"path": path, "port": "http"} for path in ("/__emulator/ready", "/__emulator/health")]
    assert {probe["path"] for probe in probes} <= set(routes)


def test_the_emulators_options_are_options(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(container("emulator")["args"], variables("emulator"), monkeypatch)
    assert (settings.handlers, settings.endpoint) == (["/handlers"], ["my-image"])
    assert (len(settings.api_key), len(settings.worker_key), len(settings.admin_key)) == (1, 1, 1)
    assert settings.store is not None
    check_store_url(settings.store, "store")


def test_the_password_of_the_url_is_the_servers() -> None:
    assert f":{secret('store')['password']}@" in secret("store")["url"]


def test_workers_show_a_key_that_the_emulators_know() -> None:
    assert json.loads(secret("emulator")["worker-keys"]) == [secret("emulator")["worker-key"]]


def test_the_store_keeps_every_job() -> None:
    check_store_command([word for word in container("store")["args"] if word not in ("--requirepass", "$(PASSWORD)")])
    (claim,) = OBJECTS["StatefulSet", "store"]["spec"]["volumeClaimTemplates"]
    assert container("store")["volumeMounts"] == [{"name": claim["metadata"]["name"], "mountPath": "/data"}]


def test_the_workers_have_what_worker_env_prints() -> None:
    check_worker(variables("my-image"), "http://emulator:8000", "my-image", secret("emulator")["worker-key"])
    own = [one for one in container("my-image")["env"] if one["name"].startswith("RUNPOD_POD_")]
    assert own == [
        {"name": "RUNPOD_POD_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "RUNPOD_POD_HOSTNAME", "value": host_name("$(RUNPOD_POD_ID)")},
    ]


def test_workers_are_scaled_by_numbers_that_there_are() -> None:
    spec = OBJECTS["ScaledObject", "my-image"]["spec"]
    assert ("Deployment", spec["scaleTargetRef"]["name"]) in OBJECTS
    (trigger,) = spec["triggers"]
    query = trigger["metadata"]["query"]
    names = re.findall(r"runpod_emulator_(\w+)\{", query)
    source = inspect.getsource(metrics)
    assert (names, query.count("max(")) == (["queue_jobs", "jobs"], 2)
    assert [name for name in names if f'_gauge("{name}"' not in source] == []


def test_a_budget_leaves_room_for_one_to_go() -> None:
    replicas = OBJECTS["Deployment", "emulator"]["spec"]["replicas"]
    assert OBJECTS["PodDisruptionBudget", "emulator"]["spec"]["minAvailable"] == replicas - 1 == 2
