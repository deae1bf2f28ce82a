"""What becomes of each endpoint: its settings, what serves it, and how its workers run."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from runpod_emulator.config.apps import AppResource
from runpod_emulator.config.file import EndpointTable
from runpod_emulator.config.options import EndpointOptions
from runpod_emulator.config.services import Service, checked_id, service_of
from runpod_emulator.config.settings import DEFAULT, OF_PLATFORM, Effective, Settings, interpreter, scaling
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.mocks.pace import ModelSettings, Pace
from runpod_emulator.core.platform import SECOND, Platform
from runpod_emulator.core.settings import AT_ONCE, ONLY_BALANCED, EndpointSettings, default_settings
from runpod_emulator.values import file_of

log = logging.getLogger("runpod_emulator")

_OWN_PORT = re.compile(r"\{port(?:[1-9]\d*)?\}")
VOLUME_VARIABLE = "RUNPOD_VOLUME_PATH"
LAST_PORT = 65_535
_MODEL_CONCURRENCY = 30
"""Jobs at once in a worker that serves a model: as many as the public vLLM worker takes by default."""
_NOT_SERVED = "an image is not served by itself: name what stands in for it with --endpoint, --command or --mock"
_NO_POD = "a task is a pod of its own, which only the management API brings up, so it is not served"


@dataclass(frozen=True)
class Plan:
    """One endpoint to serve; its workers run in `directory`, None for the server's."""

    settings: EndpointSettings
    service: Service
    python: str
    environment: dict[str, str]
    concurrency: int
    directory: str | None
    stop_grace: float
    """Seconds that a worker has to leave when nobody waits for it."""
    volume: str | None
    """The folder that is its network volume."""
    isolated: bool
    """Whether each worker has a network of its own."""
    rules: str | None
    """Whose rules its worker processes keep, where that was said."""
    model: ModelSettings = field(default_factory=ModelSettings)
    """What its model is told, where one answers."""
    debug_port: int | None = None
    """Where an editor may attach to its one worker, with --debug."""
    never_started: set[int] = field(default_factory=set, compare=False)
    """Versions of its code of which was said that it never calls `start`: once, however many worlds serve it."""

    @property
    def of_app(self) -> str:
        """What is said to serve it, where that is declared in an app; "" elsewhere."""
        return str(self.service) if isinstance(self.service.resource, AppResource) else ""

    @property
    def folder(self) -> str:
        """Where the handler's own code is: the folder of its file, or where its modules are looked for."""
        if self.service.resource is not None:
            return os.path.realpath(self.service.resource.folder)
        here = self.directory or os.getcwd()
        return os.path.dirname(os.path.realpath(os.path.join(here, file_of(self.service.handler or "") or "_")))


def plan_all(settings: Settings) -> list[Plan]:
    """Every endpoint to serve; raises ConfigurationError."""
    platform = settings.platform()
    served = settings.services()
    for endpoint, image in settings.flash_resources.items():
        if endpoint not in served:
            log.warning("%s of Flash app %s: %s", image.name, image.app, _NOT_SERVED)
    for endpoint, resource in settings.app_resources.items():
        if endpoint not in served:
            log.warning("%s: %s", resource, _NO_POD)
    plans = [_plan(settings, platform, endpoint, service) for endpoint, service in served.items()]
    return plans if settings.debug is None else _debugged(plans, settings.debug)


def plan_apps(settings: Settings) -> dict[str, Plan]:
    """The endpoints of apps alone, by id, whose sources were looked at again; raises ConfigurationError."""
    platform = settings.platform()
    return {
        endpoint: _plan(settings, platform, endpoint, service)
        for endpoint, service in settings.services().items()
        if isinstance(service.resource, AppResource)
    }


def _debugged(plans: list[Plan], first_port: int) -> list[Plan]:
    """The plans, with a port for a debugger and without time limits where a handler of ours can be debugged."""
    ports = itertools.count(first_port)
    found = [
        dataclasses.replace(plan, settings=plan.settings.debugged(), debug_port=next(ports))
        if plan.service.handler and not plan.service.balanced
        else plan
        for plan in plans
    ]
    last = max((plan.debug_port or 0 for plan in found), default=0)
    if not last:
        raise ConfigurationError("--debug is for handlers, and there is none: a command starts its debugger itself")
    if last > LAST_PORT:
        raise ConfigurationError(f"--debug {first_port}: with a port for each handler that goes beyond {LAST_PORT}")
    return found


def clock_of(settings: Settings, plans: list[Plan]) -> Literal["real", "virtual", "auto"]:
    """How time passes: where only stubs serve, and nobody says so, it is left out; where something runs, it is real.

    A model with a pace is there to be watched: its time is real too.
    """
    if settings.clock is not None:
        return settings.clock
    is_left_out = all(plan.service.mock and not (plan.service.openai and plan.model.pace.is_slow) for plan in plans)
    return "auto" if settings.store is None and settings.images.are_mocked and is_left_out else "real"


def plan_one(settings: Settings, endpoint: str, table: EndpointTable) -> Plan:
    """One endpoint more, as its table says, and else as all are; raises ConfigurationError."""
    own_options = {name: getattr(table, name) for name in table.model_fields_set & set(EndpointOptions.model_fields)}
    own = settings.with_flags(**own_options)
    try:
        service = service_of(table)
    except ValueError as error:
        raise ConfigurationError(f"command: {error}") from error
    return _plan(own, own.platform(), checked_id(endpoint, "HANDLER"), service)


def _plan(settings: Settings, platform: Platform, endpoint: str, service: Service) -> Plan:
    environment = settings.variables_of(endpoint)
    variables = settings.environment_of(endpoint)
    python = interpreter(settings.effective("python", endpoint))
    directory = _directory(settings, endpoint, service)
    concurrency = settings.effective("concurrency", endpoint)
    table = settings.table(endpoint)
    if service.handler is None and not service.openai and table is not None and table.concurrency is not None:
        raise ConfigurationError(
            f"{concurrency.origin}: concurrency: it is the program's own concurrency_modifier that decides, "
            "so this is for handlers only"
        )
    if not service.balanced and table is not None and table.worker_capacity is not None:
        origin = settings.effective("worker_capacity", endpoint).origin
        raise ConfigurationError(f"{origin}: worker_capacity: {ONLY_BALANCED}")
    volume = _folder(settings.effective("volume", endpoint))
    if volume is not None:
        variables.setdefault(VOLUME_VARIABLE, volume)
    if directory is not None and service.handler and file_of(service.handler):
        service = service._replace(handler=os.path.abspath(service.handler))
    own = _settings(settings, platform, endpoint, service, environment.get("RUNPOD_INIT_TIMEOUT"))
    if service.balanced and "PORT_HEALTH" in environment:
        check_port("PORT_HEALTH", environment["PORT_HEALTH"])
    if service.resource is not None:
        address = service.resource.address(variables)
        own = dataclasses.replace(own, flash=address)
        variables |= service.resource.variables(address)
        service = service._replace(**service.resource.served_by(python))
    return Plan(
        settings=own,
        service=service,
        python=python,
        environment=variables,
        concurrency=concurrency.value or (_MODEL_CONCURRENCY if service.openai else 1),
        directory=directory,
        rules=settings.effective("sdk_rules", endpoint).value,
        stop_grace=settings.effective("stop_grace", endpoint).value / SECOND,
        volume=volume,
        isolated=_isolated(settings, endpoint, service),
        model=_model(settings, endpoint),
    )


def _model(settings: Settings, endpoint: str) -> ModelSettings:
    def of(name: str) -> Any:
        return settings.effective(name, endpoint).value

    pace = Pace(of("ttft") or AT_ONCE, of("tokens_per_second") or 0.0, of("jitter"), of("load_factor"))
    return ModelSettings(tuple(of("openai_model")), of("openai_text"), pace, of("max_model_len"))


def _settings(
    settings: Settings, platform: Platform, endpoint: str, service: Service, init_timeout: Effective | None
) -> EndpointSettings:
    names = (
        *OF_PLATFORM,
        "batch_workers_max",
        "cold_start",
        "throttle",
        *(["worker_capacity"] if service.balanced else []),
    )
    found = {name: settings.effective(name, endpoint).value for name in names}
    changes: dict[str, Any] = {name: value for name, value in found.items() if value is not None}
    changes |= scaling(changes.get("scaler", platform.scaler), settings.effective("scaler_value", endpoint))
    if init_timeout is not None:
        changes["init_timeout"] = _seconds("RUNPOD_INIT_TIMEOUT", init_timeout)
    try:
        return default_settings(endpoint, platform, **changes)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}{_origins(settings, str(error), endpoint)}") from error


def _origins(settings: Settings, text: str, endpoint: str) -> str:
    """Where the options that a text names come from."""
    named = [name for name in EndpointOptions.model_fields if re.search(rf"\b{name}\b", text)]
    origins = {name: settings.effective(name, endpoint).origin for name in named}
    said = [f"{name} is set by {origin}" for name, origin in origins.items() if origin != DEFAULT]
    return f": {', '.join(said)}" if said else ""


def _directory(settings: Settings, endpoint: str, service: Service) -> str | None:
    directory = _folder(settings.effective("directory", endpoint))
    if directory is not None:
        return directory
    if service.resource is not None:
        return os.path.abspath(service.resource.folder)
    if settings.file is not None and settings.serves_the_file and settings.file.is_elsewhere:
        return str(settings.file.folder)
    return None


def _isolated(settings: Settings, endpoint: str, service: Service) -> bool:
    kind, origin = settings.effective("isolate", endpoint)
    if kind == "none":
        return False
    if sys.platform != "linux":
        raise ConfigurationError(f"{origin}: isolate: only Linux has networks for single processes")
    table = settings.table(endpoint)
    if service.command and not service.balanced:
        return True
    if table is not None and table.isolate == kind:
        raise ConfigurationError(f"{origin}: isolate: this is for commands that speak the worker protocol only")
    if service.handler or service.command:
        log.warning("endpoint %s: %s is for commands, so its workers share this machine's network", endpoint, origin)
    return False


def _folder(given: Effective) -> str | None:
    if given.value is None:
        return None
    if not Path(given.value).is_dir():
        raise ConfigurationError(f"{given.origin}: there is no folder {given.value}")
    return str(Path(given.value).absolute())


def check_port(name: str, given: Effective) -> None:
    """Refuse what can be no port of a worker; raises ConfigurationError."""
    number = given.value.strip()
    if not (
        _OWN_PORT.fullmatch(number)
        or (number.isascii() and number.isdecimal() and len(number) < 6 and 0 < int(number) < 65_536)
    ):
        raise ConfigurationError(
            f"{given.origin}: {name}: write a port, or {{port2}} for a free one of each worker, got {given.value!r}"
        )


def _seconds(name: str, given: Effective) -> int:
    try:
        seconds = float(given.value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise ConfigurationError(f"{given.origin}: {name}: write seconds, got {given.value!r}")
    return round(seconds * SECOND)
