"""What serves each endpoint: handlers, programs, or workers that are started elsewhere."""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from runpod_emulator.config.apps import AppResource
from runpod_emulator.config.file import ConfigFile, EndpointTable
from runpod_emulator.config.flash import FlashResource, flash_resources
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.settings import check_id
from runpod_emulator.values import file_of

_ENDPOINT_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NOT_HANDLERS = ("_", "test_", "conftest")


class Service(NamedTuple):
    """What serves an endpoint: a handler, a command, stubs alone, or none of them: workers started elsewhere.

    Where stubs alone serve, a model may answer what none of them does (`openai`). Where it is `balanced`, the handler
    is an ASGI application, and workers are HTTP servers. For a `resource` of an app the plan makes the handler or the
    command.
    """

    handler: str | None = None
    command: tuple[str, ...] = ()
    mock: bool = False
    openai: bool = False
    balanced: bool = False
    resource: FlashResource | AppResource | None = None

    def __str__(self) -> str:
        if isinstance(self.resource, AppResource):
            return str(self.resource)
        code = self.handler or " ".join(self.command) or (self.resource and str(self.resource))
        stubs = "stubs and a model" if self.openai else "stubs"
        return code or (stubs if self.mock else "workers started elsewhere")

    @property
    def advice(self) -> str:
        """What to look at when its command can't be started."""
        return self.resource.advice if self.resource else ""


SERVICES = ("endpoint", "command", "mock", "openai", "load_balancer", "flash", "app", "handlers")
"""The options that name what is served."""


def services(
    given: Mapping[str, tuple[list[str], str]], apps: Callable[[], Mapping[str, AppResource]]
) -> dict[str, Service]:
    """What serves each endpoint, by its id, from the entries of `SERVICES` and who gave them.

    Entries are `ID=HANDLER` or `ID`, `ID=COMMAND`, `ID`, `ID`, `ID=SERVER`, folders of Flash apps, sources of apps, of
    which `apps` has the resources, and handlers alone. Raises ConfigurationError.
    """

    def declared(entries: list[str], origin: str) -> Iterator[tuple[str, Service]]:
        return _declared(apps, origin) if entries else iter(())

    found: dict[str, Service] = {}
    parsers = (_named, _commands, _mocks, _models, _servers, _flash, declared, _unnamed)
    for name, parse in zip(SERVICES, parsers, strict=True):
        entries, origin = given[name]
        for endpoint_id, service in parse(entries, origin):
            if endpoint_id in found:
                raise ConfigurationError(
                    f"two handlers for endpoint {endpoint_id}: {found[endpoint_id]} and {service}. "
                    "Name one with --endpoint ID=HANDLER"
                )
            found[endpoint_id] = service
    return found


def described(file: ConfigFile, found: dict[str, Service]) -> dict[str, Service]:
    """What was `found`, and what the tables of a file describe; raises ConfigurationError, which names the line."""
    found = dict(found)
    for endpoint_id, table in file.tables.endpoints.items():
        keys = ["endpoints", endpoint_id]
        place = file.place(*keys)
        if not _ENDPOINT_ID.fullmatch(endpoint_id):
            raise ConfigurationError(f"{place}: {endpoint_id!r} can't be an endpoint id (letters, digits, - and _)")
        with _placed(place):
            check_id(endpoint_id)
        keys += [name for name in ("handler", "command") if getattr(table, name) is not None][-1:]
        try:
            service = service_of(table)
        except (ConfigurationError, ValueError) as error:
            raise ConfigurationError(f"{file.place(*keys)}: {'.'.join(keys)}: {error}") from error
        if endpoint_id in found and service != Service():
            raise ConfigurationError(f"{place}: something else serves {endpoint_id} already: {found[endpoint_id]}")
        found.setdefault(endpoint_id, service)
    return found


def service_of(table: EndpointTable) -> Service:
    """What serves an endpoint by its table; raises ConfigurationError, or ValueError for an unfinished quotation."""
    service = _service_of(table)
    if table.type == "queue":
        return service
    if service.mock or service == Service():
        raise ConfigurationError("a load balancer needs a server: write handler = 'file.py:app', or a command")
    return service._replace(handler=service.handler and checked_app(service.handler), balanced=True)


def _service_of(table: EndpointTable) -> Service:
    is_mock = table.mock or table.openai
    if (table.handler is not None) + (table.command is not None) + is_mock > 1:
        mock = "openai" if table.openai else "mock"
        raise ConfigurationError(f"write one of handler, command and {mock}, not several")
    if is_mock:
        return Service(mock=True, openai=table.openai)
    if table.handler is not None:
        return Service(checked_handler(table.handler))
    if table.command is None:
        return Service()
    words = shlex.split(table.command) if isinstance(table.command, str) else table.command
    if not words or not words[0]:
        raise ConfigurationError("write a program and its arguments")
    return Service(command=tuple(words))


def hidden_modules(handler: str) -> list[Path]:
    """Files beside a handler, or itself, that hide a module of the standard library."""
    path = Path(file_of(handler) or "")
    if path.suffix != ".py":
        return []
    return sorted(file for file in path.parent.glob("*.py") if file.stem in sys.stdlib_module_names)


def _named(entries: list[str], origin: str) -> Iterator[tuple[str, Service]]:
    for entry in entries:
        endpoint_id, equals, handler = entry.partition("=")
        if equals and not handler:
            raise ConfigurationError(f"{origin} {entry}: write ID=HANDLER, or ID alone for workers started elsewhere")
        with _placed(origin):
            yield checked_id(endpoint_id, handler), Service(checked_handler(handler) if equals else None)


def _commands(entries: list[str], origin: str) -> Iterator[tuple[str, Service]]:
    for entry in entries:
        endpoint_id, _, line = entry.partition("=")
        try:
            words = tuple(shlex.split(line))
        except ValueError as error:
            raise ConfigurationError(f"{origin} {entry}: {error}") from error
        if not words or not words[0]:
            raise ConfigurationError(f"{origin} {entry}: write ID=COMMAND, as in ID='python -u handler.py'")
        with _placed(origin):
            yield checked_id(endpoint_id, line), Service(command=words)


def _servers(entries: list[str], origin: str) -> Iterator[tuple[str, Service]]:
    for entry in entries:
        endpoint_id, _, server = entry.partition("=")
        try:
            words = tuple(shlex.split(server))
        except ValueError as error:
            raise ConfigurationError(f"{origin} {entry}: {error}") from error
        if not words:
            raise ConfigurationError(f"{origin} {entry}: write ID=SERVER, as in ID=app.py:app or ID='node server.js'")
        with _placed(origin):
            checked_id(endpoint_id, server)
            is_app = len(words) == 1 and (":" in server or server.endswith(".py"))
            yield (
                endpoint_id,
                Service(checked_app(server), balanced=True) if is_app else Service(command=words, balanced=True),
            )


def _mocks(entries: list[str], origin: str) -> Iterator[tuple[str, Service]]:
    for entry in entries:
        with _placed(origin):
            yield checked_id(entry, "HANDLER"), Service(mock=True)


def _models(entries: list[str], origin: str) -> Iterator[tuple[str, Service]]:
    for endpoint_id, service in _mocks(entries, origin):
        yield endpoint_id, service._replace(openai=True)


def _flash(entries: list[str], origin: str) -> Iterator[tuple[str, Service]]:
    with _placed(origin):
        for endpoint_id, resource in flash_resources(map(Path, entries)).items():
            if resource.kind != "image":
                balanced = resource.kind == "load_balanced"
                yield checked_id(endpoint_id, "HANDLER"), Service(resource=resource, balanced=balanced)


def _declared(apps: Callable[[], Mapping[str, AppResource]], origin: str) -> Iterator[tuple[str, Service]]:
    with _placed(origin):
        for endpoint_id, resource in apps().items():
            if resource.kind != "task":
                balanced = resource.kind == "load_balanced"
                yield checked_id(endpoint_id, "HANDLER"), Service(resource=resource, balanced=balanced)


def _unnamed(handlers: list[str], origin: str) -> Iterator[tuple[str, Service]]:
    for handler in handlers:
        with _placed(origin):
            for one in _files_in(Path(handler)) if Path(handler).is_dir() else [handler]:
                service = Service(checked_handler(one))
                yield checked_id(_stem(one), one), service


@contextlib.contextmanager
def _placed(origin: str) -> Iterator[None]:
    """Say where an entry comes from, unless it is the command line, which the user has before his eyes."""
    try:
        yield
    except ConfigurationError as error:
        if origin.startswith("--"):
            raise
        raise ConfigurationError(f"{origin}: {error}") from error


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


def checked_id(endpoint_id: str, handler: str) -> str:
    """The id, if it can be one; raises ConfigurationError."""
    if not _ENDPOINT_ID.fullmatch(endpoint_id):
        raise ConfigurationError(
            f"{endpoint_id!r} can't be an endpoint id (letters, digits, - and _): name one with --endpoint ID={handler}"
        )
    check_id(endpoint_id)
    return endpoint_id


def checked_app(app: str) -> str:
    """The ASGI application, if it is written as one and its file is there; raises ConfigurationError."""
    checked_handler(app)
    if ":" not in app:
        raise ConfigurationError(f"application {app}: name it in its file, as in {app}:app")
    return app


def checked_handler(handler: str) -> str:
    """The handler, if it is written as one and its file is there; raises ConfigurationError."""
    path = file_of(handler)
    if path is not None:
        if not Path(path).is_file():
            raise ConfigurationError(f"handler {handler}: there is no file {path}")
        return handler
    module, colon, function = handler.partition(":")
    if module.endswith(".pyc"):
        raise ConfigurationError(f"handler {handler}: it is compiled code: name its source, or package.module:function")
    if handler and Path(handler).is_dir():
        raise ConfigurationError(f"handler {handler}: it is a folder: name a file in it")
    if not colon and ("/" in handler or "." not in handler):
        raise ConfigurationError(f"handler {handler}: there is no file or folder of this name")
    if not colon or not all(part.isidentifier() for part in f"{module}.{function}".split(".")):
        raise ConfigurationError(
            f"handler {handler}: write file.py, file.py:function, package.module:function or a directory"
        )
    return handler
