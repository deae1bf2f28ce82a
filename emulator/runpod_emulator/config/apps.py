"""What an app of `runpod` 2.0 declares in its source, as endpoints: it is neither built nor deployed."""

from __future__ import annotations

import json
import logging
import os
import subprocess  # what it starts is the interpreter that the user has named  # nosec B404
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from runpod_emulator.config.options import PREFIX, EndpointOptions
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.platform import SECOND
from runpod_emulator.core.settings import FlashAddress
from runpod_emulator.sdk_app import DESCRIBE, MODULE, SERVED
from runpod_emulator.values import file_of

log = logging.getLogger("runpod_emulator")

APP_ADVICE = "it needs runpod 2.0 and what the app imports: name an interpreter that has them with --python"
LONGEST = 60
"""Seconds that an app may take to be imported."""
_LAST_WORDS = 2_000
"""Characters of what an app printed that are told when it has ended the interpreter."""
_SCALER_VALUE = 4
"""The SDK leaves it out of a manifest where it is this, its default."""
_OF_A_WORKER = ("RUNPOD_ENDPOINT_ID", "RUNPOD_POD_ID", "RUNPOD_DEV_", PREFIX)
"""How variables begin by which the SDK would take a look at the source for a run of it, and our own options."""

Kind = Literal["queue", "load_balanced", "task"]
_KINDS: dict[str, Kind] = {"queue": "queue", "api": "load_balanced", "task": "task"}


class AppSource(NamedTuple):
    """Where apps are: in a file, in a folder, or in a module; `attribute` is the app's name there, or empty for all."""

    text: str
    place: str
    """The absolute path of the file or folder, or the name of the module."""
    attribute: str
    root: Path
    """The folder from which the app's modules are imported."""


@dataclass(frozen=True)
class AppResource:
    """One function or API of an app. One of kind `task` is a pod of its own, and not served."""

    app: str
    app_environment: str
    name: str
    kind: Kind
    module: str
    folder: Path
    """Where its workers run, and whence its modules are imported."""
    options: EndpointOptions
    """What the app's source says of the endpoint."""
    mounts: tuple[tuple[str, str, str], ...] = ()
    """Its volumes: of each the kind, the name and the path."""

    def __str__(self) -> str:
        return f"{self.name} of app {self.app} in {self.origin}"

    @property
    def origin(self) -> str:
        """Where its options are written: a file, or a module that is a package."""
        file = self.folder / Path(*self.module.split(".")).with_suffix(".py")
        return os.path.relpath(file) if file.is_file() else self.module

    @property
    def advice(self) -> str:
        """What to look at when it can't be started."""
        return APP_ADVICE

    def address(self, environment: Mapping[str, str]) -> FlashAddress:
        """What clients call it, if its workers have these variables."""
        return FlashAddress(self.app, environment.get("FLASH_ENVIRONMENT", self.app_environment), self.name)

    def variables(self, address: FlashAddress) -> dict[str, str]:
        """The variables that a deployed function has, and the one by which ours finds its module."""
        jobs = self.options.concurrency or 1
        mounts = [{"kind": kind, "reference": name, "id": name, "path": path} for kind, name, path in self.mounts]
        return {
            "FLASH_RESOURCE_NAME": self.name,
            "FLASH_ENVIRONMENT": address.environment,
            "RUNPOD_APP_DIR": str(self.folder),
            MODULE: self.module,
            **({"RUNPOD_MAX_CONCURRENCY": str(jobs)} if jobs > 1 else {}),
            **({"RUNPOD_MOUNTS": json.dumps(mounts)} if mounts else {}),
        }

    def served_by(self, _python: str) -> dict[str, Any]:
        """The handler of a queue, or the ASGI application of an API."""
        return {"handler": f"{SERVED}:app" if self.kind == "load_balanced" else str(SERVED)}


def app_resources(
    sources: Iterable[str], python: str, folder: Path, environment: Mapping[str, str]
) -> dict[str, AppResource]:
    """The resources of the apps in these sources by endpoint id; raises ConfigurationError.

    The id is the resource's name; when an earlier app has that already, APP-NAME. `python` looks at the sources,
    with these variables; modules are looked for in `folder`.
    """
    found: dict[str, AppResource] = {}
    for text in sources:
        for resource in read_source(source_of(text, folder), python, environment):
            name = resource.name if resource.name not in found else f"{resource.app}-{resource.name}"
            if name in found:
                raise ConfigurationError(f"two apps called {resource.app} have the endpoint {resource.name}")
            found[name] = resource
    return found


def source_of(text: str, folder: Path) -> AppSource:
    """What is meant by `package.module:app`, `file.py`, `file.py:app` or a folder; raises ConfigurationError."""
    file = file_of(text)
    if file is not None:
        path = Path(os.path.abspath(file))
        if not path.is_file():
            raise ConfigurationError(f"app {text}: there is no file {file}")
        attribute = text[len(file) + 1 :]
        return AppSource(text, str(path), attribute, path.parent)
    if text and Path(text).is_dir():
        path = Path(os.path.abspath(text))
        return AppSource(text, str(path), "", path)
    module, _, attribute = text.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), attribute]):
        raise ConfigurationError(f"app {text}: write package.module:app, file.py, file.py:app or a folder")
    return AppSource(text, module, attribute, Path(os.path.abspath(folder)))


def read_source(source: AppSource, python: str, environment: Mapping[str, str]) -> list[AppResource]:
    """The resources of the apps in a source; raises ConfigurationError, which says what to do."""
    told = _described(source, python, environment)
    for line in told["skipped"]:
        log.warning("app %s: left out: %s", source.text, line)
    return [_resource(source, manifest, entry) for manifest in told["apps"] for entry in manifest["resources"]]


def _described(source: AppSource, python: str, environment: Mapping[str, str]) -> dict[str, Any]:
    own = {name: value for name, value in os.environ.items() if not name.upper().startswith(_OF_A_WORKER)}
    words = [python, str(DESCRIBE), str(source.root), source.place, *([source.attribute] if source.attribute else [])]
    variables = {**own, **environment, "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        asked = subprocess.run(  # nosec B603
            words, cwd=source.root, env=variables, stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST
        )
    except OSError as error:
        raise ConfigurationError(f"app {source.text}: {python}: {error.strerror or error}") from error
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"app {source.text}: its import has not ended within {LONGEST} s") from error
    try:
        told: dict[str, Any] = json.loads(asked.stdout)
    except ValueError as error:
        words_of_it = asked.stderr.decode(errors="replace").strip()[-_LAST_WORDS:]
        raise ConfigurationError(
            f"app {source.text}: {python} ended with code {asked.returncode} and said nothing of it:\n{words_of_it}"
        ) from error
    if "refused" in told:
        raise ConfigurationError(f"app {source.text}: {told['refused']}")
    return told


def _resource(source: AppSource, manifest: dict[str, Any], entry: dict[str, Any]) -> AppResource:
    kind = _KINDS[entry["kind"]]
    try:
        options = EndpointOptions.model_validate(_options(kind, entry))
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}"
        raise ConfigurationError(f"app {source.text}: resource {entry['name']}: {problem}") from error
    mounts = tuple((mount["kind"], mount["reference"], mount["path"]) for mount in entry.get("mounts", []))
    return AppResource(
        manifest["app"], manifest["env"], entry["name"], kind, entry["module"], source.root, options, mounts
    )


def _options(kind: Kind, entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the app says of an endpoint, and else what the SDK asks for when it deploys one."""
    if kind == "task":
        return {}
    return {
        "workers_min": entry["workersMin"],
        "workers_max": entry["workersMax"],
        "idle_timeout": entry["idleTimeout"] * SECOND,
        "scaler": entry.get("scalerType") or ("QUEUE_DELAY" if kind == "queue" else "REQUEST_COUNT"),
        "scaler_value": entry.get("scalerValue", _SCALER_VALUE),
        "execution_timeout": entry.get("executionTimeoutMs", 0),
        "environment": entry.get("env", {}),
    } | ({"concurrency": entry["maxConcurrency"]} if "maxConcurrency" in entry else {})
