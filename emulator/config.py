"""Settings, read once: options of the command line over environment variables over defaults."""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
import shlex
import sys
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from emulator.core.errors import ConfigurationError
from emulator.core.platform import DAY, HOUR, MINUTE, SECOND, Platform, preset

_UNITS = {"": 1, "ms": 1, "s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)")
_ENDPOINT_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NOT_HANDLERS = ("_", "test_", "conftest")


def milliseconds(text: Any) -> Any:
    """A duration such as `600000`, `600s`, `10m` or `24h` in ms; raises ValueError."""
    if not isinstance(text, str):
        return text
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("write milliseconds, or a number with ms, s, m, h or d")
    return round(float(match[1]) * _UNITS[match[2]])


Milliseconds = Annotated[int, BeforeValidator(milliseconds)]


class Service(NamedTuple):
    """What serves an endpoint: a handler, a command, or neither when its workers are started elsewhere."""

    handler: str | None = None
    command: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.handler or " ".join(self.command) or "workers started elsewhere"


class Settings(BaseSettings):
    """Everything a server is told at its start."""

    model_config = SettingsConfigDict(env_prefix="RUNPOD_EMULATOR_", extra="forbid")

    handlers: list[str] = []
    endpoint: list[str] = []
    """Entries `ID=HANDLER`, or `ID` for an endpoint that only workers started elsewhere serve."""
    command: list[str] = []
    """Entries `ID=COMMAND`: programs that speak the worker protocol."""
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65_535)
    port_file: Path | None = None
    profile: Literal["observed", "documented"] = "observed"
    set: list[str] = []
    """Entries `field=value` of the platform."""
    workers_min: int | None = Field(None, ge=0)
    workers_max: int | None = Field(None, ge=0)
    execution_timeout: Milliseconds | None = None
    job_ttl: Milliseconds | None = None
    api_key: list[str] = []
    worker_key: list[str] = []
    no_auth: bool = False
    no_rate_limits: bool = False
    python: str = sys.executable
    seed: int | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def platform(self) -> Platform:
        """The platform of these settings; raises ConfigurationError."""
        changes = dict(_parse_field(entry) for entry in self.set)
        for name in ("workers_min", "workers_max", "execution_timeout", "job_ttl"):
            value = getattr(self, name)
            if value is not None:
                changes[name] = value
        try:
            return preset(self.profile, **changes)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error

    def services(self) -> dict[str, Service]:
        """What serves each endpoint, by its id; raises ConfigurationError."""
        found: dict[str, Service] = {}
        services = (*_named(self.endpoint), *_commands(self.command), *_unnamed(self.handlers))
        for endpoint_id, service in services:
            if endpoint_id in found:
                raise ConfigurationError(
                    f"two handlers for endpoint {endpoint_id}: {found[endpoint_id]} and {service}. "
                    "Name one with --endpoint ID=HANDLER"
                )
            found[endpoint_id] = service
        if not found:
            raise ConfigurationError("nothing to serve: name a handler, as in 'runpod-emulator serve handler.py'")
        return found


def read_settings(**given: Any) -> Settings:
    """Settings from what was `given` and the environment; raises ConfigurationError."""
    try:
        return Settings(**given)
    except SettingsError as error:
        name = re.sub(r'.*field "(\w+)".*', lambda match: _variable(match[1]), str(error))
        raise ConfigurationError(f'{name}: write a list as JSON, such as \'["one", "two"]\'') from error
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0])
        name = "--" + field.replace("_", "-") if field in given else _variable(field)
        raise ConfigurationError(f"{name}: {first['msg'].removeprefix('Value error, ')}") from error


def _variable(field: str) -> str:
    return f"RUNPOD_EMULATOR_{field.upper()}"


def field_types() -> dict[str, Any]:
    """The type of each platform field."""
    return typing.get_type_hints(Platform)


def hidden_modules(handler: str) -> list[Path]:
    """Files beside a handler, or itself, that hide a module of the standard library."""
    path = Path(file_of(handler) or "")
    if path.suffix != ".py":
        return []
    return sorted(file for file in path.parent.glob("*.py") if file.stem in sys.stdlib_module_names)


def file_of(handler: str) -> str | None:
    """The file of `file.py` and `file.py:function`; None for `package.module:function`."""
    path, _, function = handler.rpartition(":")
    if path.endswith(".py") and all(part.isidentifier() for part in function.split(".")):
        return path
    return handler if handler.endswith(".py") else None


def _parse_field(entry: str) -> tuple[str, Any]:
    name, equals, text = entry.partition("=")
    name = name.strip()
    known = field_types()
    if not equals:
        raise ConfigurationError(f"--set {entry}: write field=value")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise ConfigurationError(
            f"--set {entry}: no field {name}. The nearest is {near}; 'runpod-emulator fields' lists all"
        )
    try:
        return name, TypeAdapter(known[name]).validate_python(_literal(text.strip(), known[name]), strict=False)
    except ValidationError as error:
        raise ConfigurationError(
            f"--set {entry}: {name} is {_type_name(known[name])}; {error.errors()[0]['msg']}"
        ) from error


def _literal(text: str, kind: Any) -> Any:
    if kind is str:
        return text
    if get_origin(kind) is tuple:
        return [part for part in re.split(r"[\s,]+", text.strip("[]() ")) if part]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return "a list of whole numbers"
    return {int: "a whole number", bool: "true or false", str: "a text"}[kind]


def _named(entries: list[str]) -> list[tuple[str, Service]]:
    named: list[tuple[str, Service]] = []
    for entry in entries:
        endpoint_id, equals, handler = entry.partition("=")
        if equals and not handler:
            raise ConfigurationError(f"--endpoint {entry}: write ID=HANDLER, or ID alone for workers started elsewhere")
        named.append((_checked_id(endpoint_id, handler), Service(_checked(handler) if equals else None)))
    return named


def _commands(entries: list[str]) -> list[tuple[str, Service]]:
    commands: list[tuple[str, Service]] = []
    for entry in entries:
        endpoint_id, _, line = entry.partition("=")
        try:
            words = tuple(shlex.split(line))
        except ValueError as error:
            raise ConfigurationError(f"--command {entry}: {error}") from error
        if not words:
            raise ConfigurationError(f"--command {entry}: write ID=COMMAND, as in ID='python -u handler.py'")
        commands.append((_checked_id(endpoint_id, line), Service(command=words)))
    return commands


def _unnamed(handlers: list[str]) -> list[tuple[str, Service]]:
    unnamed: list[tuple[str, Service]] = []
    for handler in handlers:
        for one in _files_in(Path(handler)) if Path(handler).is_dir() else [handler]:
            service = Service(_checked(one))
            unnamed.append((_checked_id(_stem(one), one), service))
    return unnamed


def _files_in(folder: Path) -> list[str]:
    files = [str(file) for file in sorted(folder.glob("*.py")) if not file.name.startswith(_NOT_HANDLERS)]
    if not files:
        raise ConfigurationError(f"no handler in {folder}: it has no .py file")
    return files


def _stem(handler: str) -> str:
    path = file_of(handler)
    if path is not None:
        return Path(path).stem
    return handler.partition(":")[0].rpartition(".")[2]


def _checked_id(endpoint_id: str, handler: str) -> str:
    if not _ENDPOINT_ID.fullmatch(endpoint_id):
        raise ConfigurationError(
            f"{endpoint_id!r} can't be an endpoint id (letters, digits, - and _): name one with --endpoint ID={handler}"
        )
    return endpoint_id


def _checked(handler: str) -> str:
    path = file_of(handler)
    if path is not None:
        if not Path(path).is_file():
            raise ConfigurationError(f"handler {handler}: there is no file {path}")
        return handler
    module, colon, function = handler.partition(":")
    if not colon and ("/" in handler or "." not in handler):
        raise ConfigurationError(f"handler {handler}: there is no file or folder of this name")
    if not colon or not all(part.isidentifier() for part in f"{module}.{function}".split(".")):
        raise ConfigurationError(
            f"handler {handler}: write file.py, file.py:function, package.module:function or a directory"
        )
    return handler


def as_text(value: Any) -> str:
    """A field's value in the form that --set takes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


def changed_fields(platform: Platform) -> dict[str, Any]:
    """The platform's values by name."""
    return {field.name: getattr(platform, field.name) for field in dataclasses.fields(platform)}
