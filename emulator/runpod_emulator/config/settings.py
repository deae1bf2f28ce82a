"""Settings, read once: flags over environment variables over the configuration file over defaults."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from pydantic import PrivateAttr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError
from pydantic_settings import PydanticBaseSettingsSource as Source

from runpod_emulator.config.apps import AppResource, app_resources
from runpod_emulator.config.fields import field_value, parse_field
from runpod_emulator.config.file import ConfigFile, EndpointTable, find_file, read_file
from runpod_emulator.config.flash import FlashResource, flash_resources
from runpod_emulator.config.images import Images
from runpod_emulator.config.options import (
    PREFIX,
    EndpointOptions,
    GivenOptions,
    ServerOptions,
    all_options,
    flag,
    variable,
)
from runpod_emulator.config.services import SERVICES, Service, described, services
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.platform import DAY, SECOND, Platform, preset
from runpod_emulator.core.secrets.masks import names_secret
from runpod_emulator.core.secrets.tokens import new_worker_key
from runpod_emulator.values import nearest

OF_PLATFORM = ("workers_min", "workers_max", "idle_timeout", "execution_timeout", "job_ttl", "scaler", "init_timeout")
"""Options that are fields of the platform too."""
DEFAULT = "default"


class _Variables(GivenOptions, BaseSettings):
    """The options in the environment."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", env_ignore_empty=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: Source,
        env_settings: Source,
        dotenv_settings: Source,
        file_secret_settings: Source,
    ) -> tuple[Source, ...]:
        """The environment alone: looking for files of variables takes as long again."""
        return (env_settings,)


class Effective(NamedTuple):
    """What an option comes to, and who says so."""

    value: Any
    origin: str


class Settings(ServerOptions):
    """Everything a server is told at its start; made by `read_settings`."""

    _flags: GivenOptions = PrivateAttr(default_factory=GivenOptions)
    _variables: GivenOptions = PrivateAttr(default_factory=GivenOptions)
    _file: ConfigFile | None = PrivateAttr(default=None)
    _made_worker_key: str = PrivateAttr(default_factory=new_worker_key)

    @property
    def worker_keys(self) -> list[str]:
        """The keys that workers over HTTP need, none if any will do.

        Whoever asks clients for keys is not open to workers without one: then there is one of this run.
        """
        own = [self._made_worker_key] if self.api_key and not self.no_auth else []
        return self.worker_key or own

    @property
    def secrets(self) -> list[str]:
        """Every key of the server, the store's password, and what workers' variables hold that are called secrets."""
        endpoints = dict.fromkeys(self._file.tables.endpoints if self._file else ())
        with contextlib.suppress(ConfigurationError):  # whoever serves the app says what is wrong with it
            endpoints |= dict.fromkeys(self.app_resources)
        images = self._file.tables.images if self._file else {}
        variables = [pair for one in (None, *endpoints) for pair in self.environment_of(one).items()]
        variables += [pair for table in images.values() for pair in table.environment.items()]
        named = [value for name, value in variables if names_secret(name)]
        return [*self.api_key, *self.worker_keys, *self.admin_key, *named, *_password_in(self.store or "")]

    @cached_property
    def images(self) -> Images:
        """What stands in for images that clients deploy; raises ConfigurationError."""
        return Images(self._file)

    @property
    def file(self) -> ConfigFile | None:
        """The configuration file, if there is one."""
        return self._file

    def effective(self, name: str, endpoint: str | None = None) -> Effective:
        """What an option comes to, for one endpoint or for the server."""
        given = self._given(name, endpoint)
        if given is not None:
            return given
        if name in OF_PLATFORM and (origin := self.origin_of_field(name)) != DEFAULT:
            return Effective(getattr(self.platform(), name), origin)
        return Effective(all_options()[name].get_default(call_default_factory=True), DEFAULT)

    def _given(self, name: str, endpoint: str | None = None) -> Effective | None:
        """What flags, variables and tables make of an option; None when none of them names it."""
        for given, called in ((self._flags, flag), (self._variables, variable)):
            if name in given.model_fields_set:
                return Effective(getattr(given, name), called(name))
        for table, place in self._tables(endpoint):
            if name in table.model_fields_set:
                return Effective(getattr(table, name), place(name))
        return None

    def origin_of_field(self, name: str) -> str:
        """Who says what a field of the platform is, beside the options of its name."""
        if any(entry.partition("=")[0].strip() == name for entry in self.set):
            return self.effective("set").origin
        if self._file and name in self._file.tables.platform:
            return self._file.place("platform", name)
        changed = getattr(preset(self.profile), name) != getattr(preset("observed"), name)
        return self.effective("profile").origin if changed else DEFAULT

    def variables_of(self, endpoint: str | None) -> dict[str, Effective]:
        """The variables of an endpoint's workers; each from where it counts most."""
        found: dict[str, Effective] = {}
        for table, place in reversed(self._tables(endpoint)):
            for name, value in table.environment.items():
                found[name] = Effective(value, place("environment", name))
        for given, called in ((self._variables, variable), (self._flags, flag)):
            found |= {name: Effective(value, called("environment")) for name, value in given.environment.items()}
        return found

    def environment_of(self, endpoint: str | None) -> dict[str, str]:
        """The variables of an endpoint's workers by name, without who says so."""
        return {name: variable.value for name, variable in self.variables_of(endpoint).items()}

    def table(self, endpoint: str) -> EndpointTable | None:
        """The endpoint's own table in the configuration file."""
        return self._file.tables.endpoints.get(endpoint) if self._file else None

    def platform(self) -> Platform:
        """The platform of these settings; raises ConfigurationError."""
        changes: dict[str, Any] = dict(self._at_once())
        for name, value in (self._file.tables.platform if self._file else {}).items():
            assert self._file is not None
            changes[name] = field_value(name, value, self._file.place("platform", name), strict=True)
        changes |= dict(parse_field(entry, self._place_of("set")) for entry in self.set)
        changes |= {name: getattr(self, name) for name in OF_PLATFORM if getattr(self, name) is not None}
        try:
            return preset(self.profile, **changes)
        except ValueError as error:
            name = str(error).partition(" ")[0]
            raise ConfigurationError(f"{self.origin_of_field(name)}: {error}") from error

    def _at_once(self) -> dict[str, Any]:
        """With `--reload`, where somebody sits and waits, jobs that RunPod would lose fail at once.

        With `--debug` a worker may be silent while somebody looks at it.
        """
        given = preset(self.profile)
        names = ("unsendable_result", "strip_empty_input") if self.reload else ()
        lease = {"worker_lease": DAY} if self.debug else {}
        return {name: "fail" for name in names if getattr(given, name) == "lost"} | lease

    def with_flags(self, **options: Any) -> Settings:
        """A copy of these settings in which these options go before all others."""
        own = self.model_copy()
        flags = {name: getattr(self._flags, name) for name in self._flags.model_fields_set}
        own._flags = GivenOptions.model_construct(**(flags | options))
        return own

    @property
    def serves_the_file(self) -> bool:
        """Whether the configuration file says what is served: no flag and no variable does."""
        given = self._flags.model_fields_set | self._variables.model_fields_set
        return self._file is not None and not given & set(SERVICES)

    def services(self) -> dict[str, Service]:
        """What serves each endpoint, by its id; raises ConfigurationError.

        What flags and variables name is served instead of what the configuration file describes.
        """
        found = services(self._served(), lambda: self.app_resources)
        if self._file is not None and self.serves_the_file:
            found = described(self._file, found)
        if not found and not self.stubs and self.images.is_empty:
            way_out = "name a handler, as in 'runpod-emulator serve handler.py', or --endpoint ID=handler.py"
            if self.flash_resources:
                way_out = "the Flash app has images only, which are not served by themselves"
            elif self.app_resources:
                way_out = "the app has tasks only, each of which would be a pod of its own"
            raise ConfigurationError(f"nothing to serve: {way_out}")
        return found

    @cached_property
    def flash_resources(self) -> dict[str, FlashResource]:
        """The resources of the Flash apps by endpoint id, also what is not served; raises ConfigurationError."""
        folders, _ = self._served()["flash"]
        return flash_resources(map(Path, folders))

    @cached_property
    def app_resources(self) -> dict[str, AppResource]:
        """The resources of the apps by endpoint id, tasks too; raises ConfigurationError.

        The apps' interpreter is asked once.
        """
        sources = self._served()["app"].value
        if not sources:
            return {}
        return app_resources(sources, interpreter(self.effective("python")), self._modules, self.environment_of(None))

    @property
    def _modules(self) -> Path:
        """The folder in which the modules of apps are looked for."""
        directory = self.effective("directory").value
        if directory is not None:
            return Path(directory)
        return self._file.folder if self._file is not None and self.serves_the_file else Path()

    def afresh(self) -> Settings:
        """A copy that looks at the sources of apps again."""
        own = self.model_copy()
        vars(own).pop("app_resources", None)
        return own

    def _served(self) -> dict[str, Effective]:
        """The lists that say what is served."""
        given = {name: Effective(self.effective(name).value, self._place_of(name)) for name in SERVICES}
        if self.serves_the_file:
            return given
        own = self._flags.model_fields_set | self._variables.model_fields_set
        return {name: value if name in own else Effective([], DEFAULT) for name, value in given.items()}

    def _place_of(self, name: str) -> str:
        """Who says what a list of the server is, with its key where that is the file."""
        origin = self.effective(name).origin
        return origin if origin.startswith(("--", PREFIX)) else f"{origin}: server.{name}"

    def _tables(self, endpoint: str | None) -> list[tuple[EndpointOptions, Callable[..., str]]]:
        """The tables that say something of an endpoint, the nearest first, and where each of their keys is.

        Between its own and that of all endpoints stands what its app says.
        """
        found: list[tuple[EndpointOptions, Callable[..., str]]] = []
        if endpoint is not None:
            own = self.table(endpoint)
            resource = self.flash_resources.get(endpoint) or self.app_resources.get(endpoint)
            if own is not None and self._file is not None:
                found.append((own, partial(self._file.place, "endpoints", endpoint)))
            if resource is not None:
                found.append((resource.options, lambda *_: resource.origin))
        if self._file is not None:
            found.append((self._file.tables.server, partial(self._file.place, "server")))
        return found


def interpreter(given: Effective) -> str:
    """The interpreter that is named; a path starts from here, wherever the workers' directory is.

    Raises ConfigurationError for one that is not there.
    """
    path = os.path.abspath(given.value) if os.sep in given.value else given.value
    if shutil.which(path) is None:
        raise ConfigurationError(f"{given.origin}: there is no program {given.value}")
    return str(path)


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


def read_settings(called: Callable[[str], str] = flag, /, **given: Any) -> Settings:
    """Settings from what was `given`, the environment and the configuration file; raises ConfigurationError.

    `called` says what the user calls an option that was given.
    """
    settings = Settings()
    try:
        settings._flags = GivenOptions.model_validate(given)
    except ValidationError as error:
        raise _refused(error, called) from error
    try:
        settings._variables = _variables()
    except SettingsError as error:
        name = re.sub(r'.*field "(\w+)".*', r"\1", str(error))
        example = '\'{"NAME": "value"}\'' if name == "environment" else '\'["one", "two"]\''
        kind = "variables" if name == "environment" else "a list"
        raise ConfigurationError(f"{variable(name)}: write {kind} as JSON, such as {example}") from error
    except ValidationError as error:
        raise _refused(error, variable) from error
    path = _file_of(settings)
    settings._file = read_file(path) if path else None
    for name in ServerOptions.model_fields:
        if name not in OF_PLATFORM:
            setattr(settings, name, settings.effective(name).value)
    for name in OF_PLATFORM:
        named = settings._given(name)
        setattr(settings, name, named and named.value)
    return settings


def _variables() -> GivenOptions:
    """The options in the environment; most have none there, for whom nothing need be looked up."""
    prefix = PREFIX.lower()
    return _Variables() if any(name.lower().startswith(prefix) for name in os.environ) else GivenOptions()


def _file_of(settings: Settings) -> Path | None:
    """The configuration file that flags, or else variables, name or forbid; or else the nearest."""
    for given, called in ((settings._flags, flag), (settings._variables, variable)):
        if given.config and given.no_config:
            raise ConfigurationError(f"{called('config')} and {called('no_config')} exclude each other")
        if given.config or given.no_config:
            return given.config
    return find_file(Path.cwd())


def unknown_variables() -> list[str]:
    """Variables of the environment that look like an option and are none."""
    known = {variable(name).lower() for name in GivenOptions.model_fields}
    prefix = PREFIX.lower()
    return sorted(name for name in os.environ if name.lower().startswith(prefix) and name.lower() not in known)


def _refused(error: ValidationError, called: Callable[[str], str]) -> ConfigurationError:
    first = error.errors()[0]
    name = str(first["loc"][0])
    if first["type"] == "extra_forbidden":
        near = nearest(called(name), [called(one) for one in all_options()])
        return ConfigurationError(f"there is no option {called(name)}{near}")
    return ConfigurationError(f"{called(name)}: {first['msg'].removeprefix('Value error, ')}")


def _password_in(url: str) -> list[str]:
    try:
        password = urlsplit(url).password
    except ValueError:  # it is refused later
        return []
    return [unquote(password)] if password else []
