"""On which line of a TOML text each key is, found by asking the parser statement by statement."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Keys = tuple[str, ...]


def lines_of(text: str) -> dict[Keys, int]:
    """The line, from 1, on which each key's table or value begins, by its whole path. The text must be valid TOML."""
    found: dict[Keys, int] = {}
    table: Keys = ()
    for line, content, is_header in _statements(text):
        paths = list(_paths(content))
        if is_header:
            table = max(paths, key=len)
        for path in paths:
            found.setdefault(path if is_header else table + path, line)
    return found


def _statements(text: str) -> Iterator[tuple[int, dict[str, Any], bool]]:
    """Each statement's first line, its content alone, and whether it is the header of a table."""
    pending = ""
    begin = 0
    for number, line in enumerate(text.split("\n"), 1):
        if not pending:
            begin = number
        pending += line + "\n"
        try:
            content = tomllib.loads(pending)
        except tomllib.TOMLDecodeError:
            continue
        if content:
            yield begin, content, pending.lstrip().startswith("[")
        pending = ""


def _paths(content: Mapping[str, Any], above: Keys = ()) -> Iterator[Keys]:
    """The path of each key, and of each key in its value."""
    for key, value in content.items():
        path = (*above, key)
        yield path
        if isinstance(value, Mapping):
            yield from _paths(value, path)
