"""What stands in for the images that clients deploy: the table `[images]` of the configuration file."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Literal

from runpod_emulator.config.file import CodeTable, ConfigFile, EndpointTable
from runpod_emulator.config.services import service_of
from runpod_emulator.core.containers import usable
from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.core.management_errors import UnknownImage

DEFAULT = "default"
"""The key of what stands in for every image that no pattern fits."""
REST = "{rest}"
"""In the words of a command: what the last * of the pattern stands for."""
LONGEST = 20_000
"""Characters of an image's name, or of its arguments."""


class Images:
    """The patterns of a file in its order, and what stands in for what they fit; raises ConfigurationError."""

    def __init__(self, file: ConfigFile | None) -> None:
        self._tables = dict(file.tables.images) if file else {}
        for pattern, table in self._tables.items():
            assert file is not None
            _check(file, pattern, table)
        self.is_empty = not self._tables
        self.are_mocked = all(table.mock for table in self._tables.values())
        """Whether stubs alone stand in for all of them."""
        self._default = self._tables.pop(DEFAULT, None)

    def plan_for(
        self, image: str, template_id: str, args: str, env: Mapping[str, str], type: Literal["QUEUE", "LOAD_BALANCER"]
    ) -> EndpointTable:
        """What serves an endpoint that a client deploys from an image or a template, "" for what it does not name.

        `args` are what the container is started with. Variables that say where programs are in a container are taken
        out of the `env`. Raises UnknownImage where nothing fits, and ConfigurationError for arguments or variables that
        no process can have.
        """
        named = [text for text in (image, template_id, args) if text]
        if max(map(len, named), default=0) > LONGEST:
            raise ConfigurationError(f"image, templateId and args have at most {LONGEST} characters each")
        own = usable(env)
        for pattern, table in self._tables.items():
            rest = next((found for text in named if (found := last_star(pattern, text)) is not None), None)
            if rest is not None:
                return _deployed(table, rest, own, type)
        if self._default is None:
            raise UnknownImage(image, template_id, args)
        return _deployed(self._default, "", own, type)


def last_star(pattern: str, text: str) -> str | None:
    """What the last * of a pattern stands for in a text, "" where it has none; None for a text that it does not fit.

    A * is any text, also none; nothing else means more than itself.
    """
    first, *parts = pattern.split("*")
    if not parts:
        return "" if text == pattern else None
    *parts, last = parts
    end = len(text) - len(last)
    if not (text.startswith(first) and text.endswith(last)):
        return None
    at = len(first)
    for part in parts:
        found = text.find(part, at)
        if found < 0:
            return None
        at = found + len(part)
    return text[at:end] if at <= end else None


def _check(file: ConfigFile, pattern: str, table: CodeTable) -> None:
    keys = ["images", pattern]
    keys += [name for name in ("handler", "command") if getattr(table, name) is not None][-1:]
    try:
        service_of(EndpointTable.model_construct(**dict(table)))
    except (ConfigurationError, ValueError) as error:
        raise ConfigurationError(f"{file.place(*keys)}: {'.'.join(keys)}: {error}") from error


def _deployed(
    table: CodeTable, rest: str, env: Mapping[str, str], type: Literal["QUEUE", "LOAD_BALANCER"]
) -> EndpointTable:
    found = {name: getattr(table, name) for name in table.model_fields_set}
    found |= {"type": type.lower(), "environment": {**table.environment, **env}}
    if table.command is not None:
        found["command"] = _words(table.command, rest)
    return EndpointTable.model_construct(**found)


def _words(command: list[str] | str, rest: str) -> list[str]:
    """The words of a command; REST alone becomes as many words as a shell would make of it."""
    words = shlex.split(command) if isinstance(command, str) else command
    made: list[str] = []
    for word in words:
        made += _split(rest) if word == REST else [word.replace(REST, rest)]
    return made


def _split(rest: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError as error:
        raise ConfigurationError(f"args: {error}") from error
