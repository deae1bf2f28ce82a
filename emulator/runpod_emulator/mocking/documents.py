"""YAML and JSON files as data whose every part knows its line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.reader import ReaderError

from runpod_emulator.core.errors import ConfigurationError
from runpod_emulator.mocking.nodes import Loader, check_names, check_size

Key = str | int
_NOT_YAML = re.compile(rf"[\t\x85\u2028\u2029]|{Loader.NON_PRINTABLE.pattern}")
"""What JSON allows between values or in texts and YAML does not, or takes for the end of a line."""

_UNREADABLE = (yaml.YAMLError, ArithmeticError, RecursionError, TypeError, ValueError)
"""What reading raises; `\\UFFFFFFFF` is too large for Python."""


class Document:
    """One file; `data` is None where it is empty. Raises ConfigurationError, which names file and line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root: yaml.Node | None = None
        self.data = self._read()

    def place(self, *keys: Key) -> str:
        """Where a part is, as `stubs/llm.yaml:12`; keys that are not in the file are passed over."""
        return f"{self._name}:{self._find(keys)[0]}"

    def refuse(self, keys: Sequence[Key], reason: str) -> NoReturn:
        """Raise ConfigurationError for a part, or for the nearest part around it that is there."""
        line, known = self._find(keys)
        where = f"{'.'.join(map(str, known))}: " if known else ""
        raise ConfigurationError(f"{self._name}:{line}: {where}{reason}")

    @property
    def _name(self) -> str:
        absolute, here = self.path.absolute(), Path.cwd()
        return str(absolute.relative_to(here) if absolute.is_relative_to(here) else self.path)

    def _find(self, keys: Sequence[Key]) -> tuple[int, list[Key]]:
        """The line of a part, from 1, and those of its keys that are in the file."""
        if self._root is None:
            return 1, list(keys)
        node, line, known = self._root, self._root.start_mark.line + 1, list[Key]()
        for key in keys:
            step = _member(node, key)
            if step is not None:
                line, node = step[0].start_mark.line + 1, step[1]
                known.append(key)
        return line, known

    def _read(self) -> Any:
        try:
            text = self.path.read_text(encoding="utf-8-sig")
            return self._json(text) if self.path.suffix == ".json" else self._yaml(text)
        except OSError as error:
            raise ConfigurationError(f"{self._name}: {error.strerror}") from error
        except _UNREADABLE as error:
            line, reason = _line_and_reason(error)
            raise ConfigurationError(f"{self._name}:{line}: {reason}") from error

    def _yaml(self, text: str) -> Any:
        loader = Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            check_size(root, {})
            check_names(root, set())
            data = loader.construct_document(root)  # merges what `<<` names into the nodes, so they are kept after it
            self._root = root
            return data
        finally:
            loader.dispose()

    def _json(self, text: str) -> Any:
        if not text.strip():
            return None
        data = json.loads(text, parse_constant=_refuse_constant)
        loader = Loader(_NOT_YAML.sub(" ", text))
        try:
            self._root = loader.get_single_node()
        except yaml.YAMLError:  # names of more than 1024 characters, which JSON allows: no lines then
            return data
        finally:
            loader.dispose()
        assert self._root is not None
        check_names(self._root, set())
        return data


def _member(node: yaml.Node, key: Key) -> tuple[yaml.Node, yaml.Node] | None:
    """The node that names a member and the member; of members that a merge repeats, the one that counts."""
    if isinstance(node, yaml.MappingNode):
        return next((pair for pair in reversed(node.value) if pair[0].value == str(key)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key], node.value[key]
    return None


def _line_and_reason(error: Exception) -> tuple[int, str]:
    """The line and the reason of what is wrong with a file's syntax."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        return mark.line + 1 if mark else 1, ", ".join(filter(None, (error.context, error.problem)))
    if isinstance(error, json.JSONDecodeError):
        return error.lineno, error.msg
    if isinstance(error, UnicodeDecodeError):
        return error.object.count(b"\n", 0, error.start) + 1, "is no UTF-8"
    if isinstance(error, ReaderError):
        return 1, f"the character {error.character:#06x} is not allowed: {error.reason}"
    return 1, "nests too deep" if isinstance(error, RecursionError) else " ".join(str(error).split())


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")
