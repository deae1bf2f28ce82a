"""Settings, read once: flags over environment variables over the configuration file over defaults."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from emulator.config.fields import field_value, parse_field
from emulator.config.file import ConfigFile, EndpointTable, find_file, read_file
from emulator.config.options import PREFIX, GivenOptions, ServerOptions, all_options, flag, variable
from emulator.config.services import Service, described, services
from emulator.core.errors import ConfigurationError
from emulator.core.platform import SECOND, Platform, preset

OF_PLATFORM = ("workers_min", "workers_max", "idle_timeout", "execution_timeout", "job_ttl", "scaler", "init_timeout")
"""Options that are fields of the platform too."""


class _Variables(GivenOptions, BaseSettings):
    """The options in the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")


class Effective(NamedTuple):
    """What an option comes to, and who says so."""

    value: Any
    origin: str


class Settings(ServerOptions):
    """Everything a server is told at its start; made by `read_settings`."""

    _flags: GivenOptions = PrivateAttr(default_factory=GivenOptions)
    _variables: GivenOptions = PrivateAttr(default_factory=GivenOptions)
    _file: ConfigFile | None = PrivateAttr(default=None)

    @property
    def file(self) -> ConfigFile | None:
        """The configuration file, if there is one."""
        return self._file

    def effective(self, name: str, endpoint: str = "") -> Effective:
        """What an option comes to, for one endpoint or for the server."""
        for given, called in ((self._flags, flag), (self._variables, variable)):
            if name in given.model_fields_set:
                return Effective(getattr(given, name), called(name))
        for table, keys in self._tables(endpoint):
            if self._file and name in table.model_fields_set:
                return Effective(getattr(table, name), self._file.place(*keys, name))
        return Effective(all_options()[name].get_default(call_default_factory=True), "default")

    def environment_of(self, endpoint: str) -> dict[str, str]:
        """The variables of an endpoint's workers; each from where it counts most."""
        tables = [table for table, _ in self._tables(endpoint)]
        layers = (*reversed(tables), self._variables, self._flags)
        return {name: value for layer in layers for name, value in layer.environment.items()}

    def table(self, endpoint: str) -> EndpointTable | None:
        """The endpoint's own table in the configuration file."""
        return self._file.tables.endpoints.get(endpoint) if self._file else None

    def platform(self) -> Platform:
        """The platform of these settings; raises ConfigurationError."""
        changes: dict[str, Any] = {}
        for name, value in (self._file.tables.platform if self._file else {}).items():
            assert self._file is not None
            changes[name] = field_value(name, value, self._file.place("platform", name))
        changes |= dict(parse_field(entry) for entry in self.set)
        changes |= {name: getattr(self, name) for name in OF_PLATFORM if getattr(self, name) is not None}
        changes |= scaling(changes.get("scaler", preset(self.profile).scaler), self.effective("scaler_value"))
        try:
            return preset(self.profile, **changes)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error

    def services(self) -> dict[str, Service]:
        """What serves each endpoint, by its id; raises ConfigurationError.

        What flags and variables name is served instead of what the configuration file describes.
        """
        found = services(self.endpoint, self.command, self.mock, self.handlers)
        if self._file is not None and not self._names_services():
            found = described(self._file, found)
        if not found:
            raise ConfigurationError("nothing to serve: name a handler, as in 'runpod-emulator serve handler.py'")
        return found

    def _names_services(self) -> bool:
        given = self._flags.model_fields_set | self._variables.model_fields_set
        return bool(given & {"endpoint", "command", "mock", "handlers"})

    def _tables(self, endpoint: str) -> list[tuple[EndpointTable | ServerOptions, tuple[str, ...]]]:
        """The tables of the file that say something of an endpoint, the nearest first, and their keys."""
        if self._file is None:
            return []
        own = self.table(endpoint)
        server = (self._file.tables.server, ("server",))
        return [server] if own is None else [(own, ("endpoints", endpoint)), server]


def scaling(scaler: str, value: Effective) -> dict[str, int]:
    """What `scaler_value` means under a scaler, nothing for None; raises ConfigurationError."""
    number = value.value
    if number is None:
        return {}
    if scaler == "QUEUE_DELAY":
        return {"scaler_delay": round(number * SECOND)}
    if number < 1 or number != int(number):
        raise ConfigurationError(
            f"{value.origin}: scaler_value: under REQUEST_COUNT it is a whole number of jobs from 1, got {number:g}"
        )
    return {"scaler_requests": int(number)}


def read_settings(**given: Any) -> Settings:
    """Settings from what was `given`, the environment and the configuration file; raises ConfigurationError."""
    settings = Settings()
    try:
        settings._flags = GivenOptions.model_validate(given)
    except ValidationError as error:
        raise _refused(error, flag) from error
    try:
        settings._variables = _Variables()
    except SettingsError as error:
        name = re.sub(r'.*field "(\w+)".*', lambda match: variable(match[1]), str(error))
        raise ConfigurationError(f'{name}: write a list as JSON, such as \'["one", "two"]\'') from error
    except ValidationError as error:
        raise _refused(error, variable) from error
    path = settings._flags.config or settings._variables.config or find_file(Path.cwd())
    settings._file = read_file(path) if path else None
    for name in ServerOptions.model_fields:
        setattr(settings, name, settings.effective(name).value)
    return settings


def unknown_variables() -> list[str]:
    """Variables of the environment that look like an option and are none."""
    known = {variable(name) for name in GivenOptions.model_fields}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def _refused(error: ValidationError, called: Any) -> ConfigurationError:
    first = error.errors()[0]
    return ConfigurationError(f"{called(str(first['loc'][0]))}: {first['msg'].removeprefix('Value error, ')}")
