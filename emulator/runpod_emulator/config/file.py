"""The configuration file: where it is, what may be in it, and on which line something is."""

from __future__ import annotations

import dataclasses
import difflib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from runpod_emulator.config.lines import Keys, lines_of
from runpod_emulator.config.options import EndpointOptions, ServerOptions
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.values import file_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Table = TypeVar("Table", bound=EndpointOptions)
NAME = "runpod-emulator.toml"


class CodeTable(EndpointOptions):
    """What serves an endpoint; without handler, command, mock and openai, workers started elsewhere do."""

    handler: str | None = None
    command: list[str] | str | None = None
    mock: bool = False
    openai: bool = False


class EndpointTable(CodeTable):
    """One endpoint.

    One of type `load_balancer` has an ASGI application as handler, or a command that listens on $PORT.
    """

    type: Literal["queue", "load_balancer"] = "queue"


def _mocked(given: Any) -> Any:
    return {"mock": True} if given == MOCK else given


MOCK = "mock"
"""What may stand for the table of an image, which stubs alone answer then."""
ImageTable = Annotated[CodeTable, BeforeValidator(_mocked)]


class Tables(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid")

    server: ServerOptions = ServerOptions()
    platform: dict[str, Any] = {}
    endpoints: dict[str, EndpointTable] = {}
    images: dict[str, ImageTable] = {}


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
    def name(self) -> str:
        """The file as it is called from the working directory."""
        return os.path.relpath(self.path)

    @property
    def is_elsewhere(self) -> bool:
        """Whether its folder is not the working directory."""
        return self.folder != Path.cwd()

    def place(self, *keys: str) -> str:
        """Where a key is, as `runpod-emulator.toml:12`; a key that is not there is where its table is."""
        while keys and keys not in self._lines:
            keys = keys[:-1]
        return f"{self.name}:{self._lines.get(keys, 1)}"

    @cached_property
    def _lines(self) -> dict[Keys, int]:
        return lines_of(self.text)


def find_file(start: Path) -> Path | None:
    """The nearest configuration file in `start` or above it."""
    return next((folder / NAME for folder in (start, *start.parents) if (folder / NAME).is_file()), None)


def read_file(path: Path) -> ConfigFile:
    """What a configuration file says; raises ConfigurationError, which names the key and its line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{os.path.relpath(path)}: {error}") from error
    try:
        return _from_here(ConfigFile(path, text, Tables.model_validate(content, strict=True)))
    except ValidationError as error:
        first = error.errors()[0]
        keys = _known(first["loc"], content)
        place = ConfigFile(path, text, Tables()).place(*keys)
        raise ConfigurationError(f"{place}: {'.'.join(keys)}: {_problem(first, keys)}") from error


def _from_here(file: ConfigFile) -> ConfigFile:
    """The file with its relative paths as they are called from the working directory."""
    if not file.is_elsewhere:
        return file
    server, folder = file.tables.server, file.folder
    tables = Tables(
        server=_moved(
            server,
            folder,
            handlers=[_moved_handler(one, folder) for one in server.handlers],
            endpoint=[_moved_entry(one, folder) for one in server.endpoint],
            load_balancer=[_moved_server(one, folder) for one in server.load_balancer],
            flash=[Path(os.path.relpath(folder / one)) for one in server.flash],
            app=[_moved_handler(one, folder) for one in server.app],
            stubs=[Path(os.path.relpath(folder / one)) for one in server.stubs],
        ),
        platform=file.tables.platform,
        endpoints={name: _moved(table, folder) for name, table in file.tables.endpoints.items()},
        images={pattern: _moved(_placed(table), folder) for pattern, table in file.tables.images.items()},
    )
    return dataclasses.replace(file, tables=tables)


def _moved(table: Table, folder: Path, **changes: Any) -> Table:
    for name in ("directory", "volume", "port_file", "state", "tls_folder"):
        value = getattr(table, name, None)
        if value is not None:
            changes[name] = Path(os.path.relpath(folder / value))
    if "python" in table.model_fields_set and os.sep in table.python and not os.path.isabs(table.python):
        changes["python"] = os.path.relpath(folder / table.python)
    handler = getattr(table, "handler", None)
    if handler is not None:
        changes["handler"] = _moved_handler(handler, folder)
    return table.model_copy(update={name: value for name, value in changes.items() if name in table.model_fields_set})


def _placed(table: CodeTable) -> CodeTable:
    """The table of an image, whose workers run in the file's folder: whoever deploys it names none."""
    return table if table.directory is not None else table.model_copy(update={"directory": Path()})


def _moved_entry(entry: str, folder: Path) -> str:
    """An entry `ID=HANDLER` or `ID` of the file."""
    endpoint, equals, handler = entry.partition("=")
    return f"{endpoint}={_moved_handler(handler, folder)}" if equals else entry


def _moved_server(entry: str, folder: Path) -> str:
    """An entry `ID=SERVER` of the file; the words of a command are as they are where it runs."""
    endpoint, _, server = entry.partition("=")
    return entry if " " in server else f"{endpoint}={_moved_handler(server, folder)}"


def _moved_handler(text: str, folder: Path) -> str:
    """A handler of the file; a module, which is no path, stays as it is."""
    is_path = file_of(text) is not None or os.sep in text or (folder / text).is_dir()
    return os.path.relpath(folder / text) if is_path else text


def _known(location: tuple[int | str, ...], content: Any) -> Keys:
    """The keys of a location that are in the file; pydantic adds places in lists and names of types."""
    keys: list[str] = []
    for key in location:
        if not isinstance(content, Mapping) or key not in content:
            break
        keys.append(str(key))
        content = content[key]
    return tuple(keys)


def _problem(error: ErrorDetails, keys: Keys) -> str:
    if error["type"] == "is_instance_of":
        return "write a text"
    if error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return "write a table here"
    if error["type"] != "extra_forbidden":
        return error["msg"].removeprefix("Value error, ")
    *above, wrong = keys
    model: type[BaseModel] = Tables
    if above:
        models: dict[str, type[BaseModel]] = {"server": ServerOptions, "images": CodeTable}
        model = models.get(above[0], EndpointTable)
    near = difflib.get_close_matches(wrong, model.model_fields, n=1, cutoff=0.0)[0]
    likely = difflib.SequenceMatcher(None, wrong, near).ratio() > 0.4
    if isinstance(error["input"], Mapping) and model is EndpointTable and not likely:
        return "no such table; an endpoint's id has no dots"
    if wrong in ServerOptions.model_fields and model is not ServerOptions and near != "endpoints":
        return "no such key; it belongs in the table [server]"
    return f"no such key; the nearest is {near}"
