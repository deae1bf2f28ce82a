"""The configuration file: where it is, what may be in it, and on which line something is."""

from __future__ import annotations

import dataclasses
import difflib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from emulator.config.options import EndpointOptions, ServerOptions
from emulator.values import file_of
from emulator.core.errors import ConfigurationError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Table = TypeVar("Table", bound=EndpointOptions)
NAME = "runpod-emulator.toml"


class EndpointTable(EndpointOptions):
    """One endpoint; without handler, command and mock, workers started elsewhere serve it."""

    handler: str | None = None
    command: list[str] | str | None = None
    mock: bool = False


class Tables(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid")

    server: ServerOptions = ServerOptions()
    platform: dict[str, Any] = {}
    endpoints: dict[str, EndpointTable] = {}


@dataclass(frozen=True)
class ConfigFile:
    """A file that was read: `text` is its content, `tables` what that means."""

    path: Path
    text: str
    tables: Tables

    @property
    def folder(self) -> Path:
        """The folder that relative paths in the file start from."""
        return self.path.absolute().parent

    @property
    def is_elsewhere(self) -> bool:
        """Whether its folder is not the working directory."""
        return self.folder != Path.cwd()

    def place(self, *keys: str) -> str:
        """Where a key is, as `runpod-emulator.toml:12`."""
        return f"{self.path.name}:{line_of(self.text, keys)}"


def find_file(start: Path) -> Path | None:
    """The nearest configuration file in `start` or above it."""
    return next((folder / NAME for folder in (start, *start.parents) if (folder / NAME).is_file()), None)


def read_file(path: Path) -> ConfigFile:
    """What a configuration file says; raises ConfigurationError, which names the key and its line."""
    try:
        text = path.read_text()
        content = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path.name}: {error}") from error
    try:
        return _from_here(ConfigFile(path, text, Tables.model_validate(content, strict=True)))
    except ValidationError as error:
        first = error.errors()[0]
        keys = tuple(str(key) for key in first["loc"])
        known = _known(first["loc"], content)
        place = f"{path.name}:{line_of(text, known)}: {'.'.join(known)}"
        raise ConfigurationError(f"{place}: {_problem(first, keys)}") from error


def _from_here(file: ConfigFile) -> ConfigFile:
    """The file with its relative paths as they are called from the working directory."""
    if not file.is_elsewhere:
        return file
    server = file.tables.server
    tables = Tables(
        server=_moved(
            server,
            file.folder,
            handlers=[_moved_path(one, file.folder) for one in server.handlers],
            stubs=[Path(os.path.relpath(file.folder / one)) for one in server.stubs],
        ),
        platform=file.tables.platform,
        endpoints={name: _moved(table, file.folder) for name, table in file.tables.endpoints.items()},
    )
    return dataclasses.replace(file, tables=tables)


def _moved(table: Table, folder: Path, **changes: Any) -> Table:
    for name in ("handler", "directory", "python", "port_file"):
        value = getattr(table, name, None)
        if name in table.model_fields_set and value is not None:
            changes[name] = type(value)(_moved_path(str(value), folder))
    return table.model_copy(update={name: value for name, value in changes.items() if name in table.model_fields_set})


def _moved_path(text: str, folder: Path) -> str:
    """A path of the file; a program or module, which is no path, stays as it is."""
    is_path = "/" in text or file_of(text) is not None or (folder / text).is_dir()
    return os.path.relpath(folder / text) if is_path and not os.path.isabs(text) else text


def line_of(text: str, keys: Sequence[str]) -> int:
    """The line, from 1, on which the value of a key begins; 1 when it is not there.

    Found by asking the parser: it is the line after the longest beginning of the text
    that can be read and does not hold the key, which the next readable one does.
    """
    lines = text.splitlines(keepends=True)
    before = 0
    for count in range(1, len(lines) + 1):
        try:
            content = tomllib.loads("".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        if _holds(content, keys):
            return before + 1
        before = count
    return 1


def _holds(content: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(content, Mapping) or key not in content:
            return False
        content = content[key]
    return True


def _known(location: tuple[int | str, ...], content: Any) -> tuple[str, ...]:
    """The keys of a location that are in the file; pydantic adds places in lists and names of types."""
    keys: list[str] = []
    for key in location:
        if not isinstance(content, Mapping) or key not in content:
            break
        keys.append(str(key))
        content = content[key]
    return tuple(keys)


def _problem(error: ErrorDetails, keys: tuple[str, ...]) -> str:
    if error["type"] != "extra_forbidden":
        return error["msg"].removeprefix("Value error, ")
    model: type[BaseModel] = Tables
    *above, wrong = keys
    if above:
        model = ServerOptions if above[0] == "server" else EndpointTable
    near = difflib.get_close_matches(wrong, model.model_fields, n=1, cutoff=0.0)[0]
    return f"no such key; the nearest is {near}"
