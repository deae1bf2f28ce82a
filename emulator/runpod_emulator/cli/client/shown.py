"""What the client prints. The output of handlers is on standard output alone, all else on standard error.

What servers say comes from others: nothing of it can move a cursor, break a line or pass for markup.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from runpod_emulator.core.secrets.masks import Masks
from runpod_emulator.core.secrets.shown import HIDDEN, visible

if TYPE_CHECKING:
    from rich.console import Console

_UNSEEN = re.compile(f"[{HIDDEN}]")
_BETWEEN_VALUES = "\t\n\r"
"""Unseen characters that JSON has between its values."""
_WIDE = 100_000
"""Columns of what is piped: each row stays on its line."""
_LAST, _GAP = 24, 2
"""Columns of a terminal that a table's last column may well have, and that are between two."""
_MASKS = Masks()


def say(text: str) -> None:
    """Text for people, on standard error, without secrets and without what cannot be seen."""
    print("\n".join(map(visible, _MASKS.text(text).split("\n"))), file=sys.stderr, flush=True)


def print_output(text: str, raw: bool = False) -> None:
    """A handler's JSON on standard output: as it came where it is piped, laid out on a terminal.

    With `raw` a text is printed as what it says.
    """
    if raw and text.startswith('"'):
        value = json.loads(text)
        print(_lines_of(value) if sys.stdout.isatty() else value, flush=True)
    elif sys.stdout.isatty():
        _print_laid_out(text)
    else:
        print(seen_json(text), flush=True)


def print_chunk(text: str, raw: bool = False) -> None:
    """One part of a stream: a text at once as it is, on a terminal or with `raw`; anything else as a line of JSON."""
    if text.startswith('"') and (raw or sys.stdout.isatty()):
        value = json.loads(text)
        sys.stdout.write(_lines_of(value) if sys.stdout.isatty() else value)
        sys.stdout.flush()
    else:
        print(seen_json(text), flush=True)


def seen_json(text: str) -> str:
    """JSON that says the same, in which every character can be seen."""
    return text if text.isprintable() else _UNSEEN.sub(_escaped, text)


def console(stream: Any = None) -> Console:
    """Where tables are printed, and what moves: it takes no text for markup. Piped, no row is broken."""
    from rich.console import Console

    stream = stream or sys.stdout
    width = None if stream.isatty() else _WIDE
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], spare: Sequence[str] = ()) -> None:
    """A table on standard output, whose last column takes what room there is; piped, each row is one line.

    Of `spare` headings the first are left out where a terminal has no room for them.
    """
    if not sys.stdout.isatty():
        _print_columns([headings, *([visible(_MASKS.text(cell)) for cell in row] for row in rows)])
        return
    from rich.table import Table
    from rich.text import Text

    screen = console()
    seen = [[visible(_MASKS.text(cell)) for cell in row] for row in rows]
    headings, seen = _with_room(headings, seen, spare, screen.width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, heading in enumerate(headings):
        last = number == len(headings) - 1
        table.add_column(heading, no_wrap=not last, overflow="fold" if last else "ellipsis")
    for row in seen:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    screen.print(table)


def _with_room(
    headings: Sequence[str], rows: list[list[str]], spare: Sequence[str], width: int
) -> tuple[list[str], list[list[str]]]:
    """The columns that a terminal so wide has room for, the last with at least some of it."""
    from rich.cells import cell_len

    columns = dict(zip(headings, zip(headings, *rows, strict=True), strict=True))
    widths = {name: max(map(cell_len, cells)) for name, cells in columns.items()}
    widths[headings[-1]] = min(widths[headings[-1]], _LAST)
    for name in spare:
        if sum(widths.values()) + _GAP * (len(widths) - 1) <= width:
            break
        del widths[name], columns[name]
    return list(columns), [list(row) for row in list(zip(*columns.values(), strict=True))[1:]]


STYLES = {"COMPLETED": "green", "FAILED": "red", "TIMED_OUT": "red", "CANCELLED": "yellow", "IN_PROGRESS": "cyan"}
"""How the states of jobs look."""


def print_json(value: Any) -> None:
    """An answer as JSON, one line on standard output."""
    print(seen_json(json.dumps(value, ensure_ascii=False)), flush=True)


def _print_columns(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    sys.stdout.flush()


def _print_laid_out(text: str) -> None:
    from rich.highlighter import JSONHighlighter
    from rich.text import Text

    try:
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):  # numbers of 5,000 digits, a thousand levels: as it came, then
        text = text.strip()
    shown = Text(seen_json(text))
    JSONHighlighter().highlight(shown)
    console().print(shown, soft_wrap=True)


def _lines_of(text: str) -> str:
    """A text of several lines of which all can be seen."""
    return "\n".join(map(visible, text.expandtabs().split("\n")))


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character in _BETWEEN_VALUES:
        return character
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"
