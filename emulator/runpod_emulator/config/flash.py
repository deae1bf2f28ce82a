"""What `flash build` leaves behind, as endpoints: no control plane is asked."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from runpod_emulator.config.options import EndpointOptions
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.platform import SECOND
from runpod_emulator.core.settings import FlashAddress

BUILD = Path(".flash", ".build")
MANIFEST = "flash_manifest.json"
ENVIRONMENT = "production"
"""The client's own default; what is served here was deployed to no environment."""
FLASH_ADVICE = "they need runpod-flash and what the app imports: name an interpreter that has them with --python"

Kind = Literal["queue", "load_balanced", "image"]
_NUMBERS = {"workersMin": "workers_min", "workersMax": "workers_max", "scalerValue": "scaler_value"}


@dataclass(frozen=True)
class FlashResource:
    """One resource of an app. One of kind `image` is an image with an endpoint's name, and has no `handler`."""

    app: str
    name: str
    kind: Kind
    manifest: Path
    handler: str
    """A file beside the manifest: of a queue, a worker program; of a load-balanced one, a FastAPI `app`."""
    options: EndpointOptions
    """What the app's source says of the endpoint."""

    def __str__(self) -> str:
        return str(self.manifest.parent / self.handler)

    @property
    def folder(self) -> Path:
        """Where its workers run."""
        return self.manifest.parent

    @property
    def origin(self) -> str:
        """Where its options are written."""
        return str(self.manifest)

    @property
    def advice(self) -> str:
        """What to look at when it can't be started."""
        return FLASH_ADVICE

    def address(self, environment: Mapping[str, str]) -> FlashAddress:
        """What clients call it, if its workers have these variables."""
        return FlashAddress(
            environment.get("FLASH_APP", self.app), environment.get("FLASH_ENV", ENVIRONMENT), self.name
        )

    def variables(self, address: FlashAddress) -> dict[str, str]:
        """The variables by which generated code knows which function runs here and where the others are."""
        own = {
            "FLASH_RESOURCE_NAME": self.name,
            "FLASH_APP": address.app,
            "FLASH_ENV": address.environment,
            "FLASH_ENVIRONMENT_ID": f"{address.app}-{address.environment}",
            "RUNPOD_URL_MIXED_OK": "1",  # only one of the service's hosts is here, and that is no mistake
        }
        return own | ({"FLASH_ENDPOINT_TYPE": "lb"} if self.kind == "load_balanced" else {})

    def served_by(self, python: str) -> dict[str, Any]:
        """The command of a queue, or the ASGI application of a load-balanced function."""
        program = os.path.abspath(str(self))
        return {"handler": f"{program}:app"} if self.kind == "load_balanced" else {"command": (python, program)}


def flash_resources(folders: Iterable[Path]) -> dict[str, FlashResource]:
    """The resources of the apps in these folders by endpoint id; raises ConfigurationError.

    The id is the resource's name; when an earlier app has that already, APP-NAME.
    """
    found: dict[str, FlashResource] = {}
    for folder in folders:
        for resource in read_app(folder):
            name = resource.name if resource.name not in found else f"{resource.app}-{resource.name}"
            if name in found:
                raise ConfigurationError(f"two Flash apps called {resource.app} have the endpoint {resource.name}")
            found[name] = resource
    return found


def read_app(folder: Path) -> list[FlashResource]:
    """The resources of the app in this folder; raises ConfigurationError, which names the file and what to do."""
    path = folder / BUILD / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(f"there is no {path}: {_rebuild(folder)}") from error
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}: {_rebuild(folder)}") from error
    resources = manifest.get("resources") if isinstance(manifest, dict) else None
    if not isinstance(resources, dict) or not all(isinstance(one, dict) for one in resources.values()):
        raise ConfigurationError(f"{path}: it has no table 'resources': {_rebuild(folder)}")
    app = manifest.get("project_name") or folder.absolute().name
    return [_resource(str(app), name, entry, path) for name, entry in resources.items()]


def _resource(app: str, name: str, entry: dict[str, Any], manifest: Path) -> FlashResource:
    kind: Kind = "load_balanced" if entry.get("is_load_balanced") else "queue"
    if entry.get("client_mode"):
        kind = "image"
    handler = "" if kind == "image" else str(entry.get("handler_file") or f"handler_{name}.py")
    if handler and not (manifest.parent / handler).is_file():
        again = _rebuild(manifest.parents[2])
        raise ConfigurationError(f"{manifest}: resource {name}: there is no file {handler} beside it: {again}")
    return FlashResource(app, name, kind, manifest, handler, _options(name, entry, manifest))


def _options(name: str, entry: dict[str, Any], manifest: Path) -> EndpointOptions:
    options: dict[str, Any] = {
        ours: entry[theirs] for theirs, ours in _NUMBERS.items() if entry.get(theirs) is not None
    }
    if entry.get("scalerType"):
        options["scaler"] = entry["scalerType"]
    try:
        if entry.get("idleTimeout"):
            options["idle_timeout"] = int(entry["idleTimeout"]) * SECOND
        # An app that says nothing has no limit, unlike an endpoint that is made by hand.
        options["execution_timeout"] = int(entry.get("executionTimeoutMs") or 0)
        if entry.get("env"):
            options["environment"] = entry["env"]
        return EndpointOptions.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}"
    except (TypeError, ValueError) as error:
        problem = str(error)
    raise ConfigurationError(f"{manifest}: resource {name}: {problem}: {_rebuild(manifest.parents[2])}")


def _rebuild(folder: Path) -> str:
    return f"run 'flash build --no-deps' in {os.path.relpath(folder)}"
