"""What each filter, test and method of templates costs, counted before it runs.

What has no price is not for templates.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, ItemsView, Iterable, KeysView, Mapping, Sized
from string import Formatter
from typing import Any

from jinja2 import Environment
from jinja2.nodes import EvalContext
from jinja2.runtime import Context

from runpod_emulator.mocking.costs import TooCostly, check_length, checked, go_through, settled, size, step, write_down

Price = Callable[..., None]
"""Takes what the filter, test or method takes, and counts steps. Raises TooCostly, also for what would be too long.

Where it fails, as for a width that is no number, the call fails with it: nothing runs unpaid.
"""

_DIGITS = re.compile(r"\d+")
_CODECS = frozenset({"utf-8", "utf8", "ascii", "latin-1", "utf-16"})
_MOST_SPACES = 16
_MOST_PRECISION = 400


def _free(*values: Any, **options: Any) -> None:
    step()


def _through(rate: float) -> Price:
    """Goes through all of its first value."""

    def price(value: Any = None, *values: Any, **options: Any) -> None:
        go_through(value, rate)

    return price


def _members(value: Any, *values: Any, **options: Any) -> None:
    """Looks at each member, at an attribute perhaps, or takes another value instead, which may be a long text."""
    texts = [one for one in (*values, *options.values()) if isinstance(one, str)]
    names = sum(one.count(".") + one.count(",") for one in texts)
    step(_length(value) * (1 + names + sum(map(len, texts)) / 20))
    for one in values:  # a name may be anything, and the error of one that is none shows it
        go_through(one)


def _sorting(value: Any, *values: Any, **options: Any) -> None:
    _members(value, *values, **options)
    step(3 * _length(value))
    go_through(value, max(1, _length(value).bit_length()))


def _all(*values: Any, **options: Any) -> None:
    for value in (*values, *options.values()):
        go_through(value)


def _asked(value: Any, *values: Any, **options: Any) -> None:
    """Looks something up by a key, which is hashed with all that is in it."""
    for key in values:
        go_through(key)


def _sum(values: Any, attribute: Any = None, start: Any = 0) -> None:
    _members(values, attribute)
    if not isinstance(start, int | float):  # lists: each is copied with all that came before it
        step(_length(values) * (size(values).items + _length(start)) / 400)


def _batch(value: Any, linecount: int = 1, fill_with: Any = None) -> None:
    _members(value)
    check_length(abs(linecount))
    step(abs(linecount) / 10)


def _slice(value: Any, slices: int = 1, fill_with: Any = None) -> None:
    _members(value)
    step(abs(slices))


def _round(value: Any, precision: int = 0, method: str = "common") -> None:
    if abs(precision) > _MOST_PRECISION:
        raise TooCostly("a precision as high as that")
    step()


def _padded(value: Any, width: int = 80, *filling: Any) -> None:
    check_length(abs(width))
    step((size(value).text + abs(width)) / 200)


def _indent(value: Any, width: Any = 4, *values: Any, **options: Any) -> None:
    text = _text(value)
    wide = len(width) if isinstance(width, str) else abs(width)
    check_length(len(text) + (len(text.splitlines()) + 1) * wide)
    step(len(text) / 4)


def _expandtabs(text: str, tabsize: int = 8) -> None:
    check_length(len(text) + text.count("\t") * abs(tabsize))
    step(len(text) / 50)


def _wordwrap(
    value: Any, width: int = 79, break_long_words: bool = True, wrapstring: Any = None, *values: Any, **options: Any
) -> None:
    length, width = size(value).text, max(1, abs(width))
    check_length(length + length // width * len(wrapstring or "\n"))
    step(3 * length + length * length / (1000 * width))


def _truncate(value: Any, length: int = 255, *values: Any, **options: Any) -> None:
    step(size(value).text / 50)


def _powered(share: float) -> Price:
    """Takes as long as the square of the text's length."""

    def price(value: Any, *values: Any, **options: Any) -> None:
        step(size(value).text ** 2 / share)

    return price


def _escape(value: Any) -> None:
    text = _text(value)
    check_length(len(text) + 5 * sum(map(text.count, "&<>'\"")))
    step(len(text) / 20)


def _tojson(value: Any, indent: Any = None) -> None:
    found = go_through(value, 5 if indent is None else 30)
    if indent is not None:
        wide = len(indent) if isinstance(indent, str) else abs(indent)
        if wide > _MOST_SPACES:
            raise TooCostly("an indent as wide as that")
        check_length(found.text + found.items * found.depth * wide)


def _join(value: Any, d: Any = "", *values: Any, **options: Any) -> None:
    step(_length(value) / 2)
    write_down(value)
    check_length(size(value).characters + _length(value) * len(_text(d)))


def _joined_by(between: str, value: Any) -> None:
    _join(value, between)


def _replace(value: Any, old: Any, new: Any, *count: Any) -> None:
    text, old, new = _text(value), _text(old), _text(new)
    _search(text, old)
    check_length(len(text) + (text.count(old) if old else len(text) + 1) * len(new))


def _search(text: str, wanted: Any = "", *values: Any) -> None:
    """Looks for something from the left: C code that never looks at much more than a hundred pairs a character."""
    for one in wanted if isinstance(wanted, tuple) else (wanted,):
        step(len(text) * (1 + min(_length(one), 100) / 4) / 200)


def _search_back(text: str, wanted: Any = "", *values: Any) -> None:
    """From the right, or for each of several characters: every pair may be looked at."""
    step(len(text) * (1 + _length(wanted)) / 200)


def _split(text: str, between: Any = None, *most: Any, **options: Any) -> None:
    _search_back(text, between)
    step(len(text) / 4)


def _translate(text: str, table: Any) -> None:
    values = table.values() if isinstance(table, Mapping) else table
    longest = max((len(one) for one in values if isinstance(one, str)), default=1)
    check_length(len(text) * max(1, longest))
    step(len(text) / 2 + _length(table))


def _encode(text: str, encoding: str = "utf-8", errors: str = "strict") -> None:
    if encoding.lower() not in _CODECS or errors not in ("strict", "ignore", "replace"):
        raise TooCostly("an encoding such as that")
    step(len(text) / 50)


def _number(value: Any, *values: Any, **options: Any) -> None:
    step(1 + (len(value) / 20 if isinstance(value, str) else 0))


def _format(text: str, *values: Any, **options: Any) -> None:
    """`str.format`, which Jinja does in Python: 20 steps a field."""
    step(len(text) / 20)
    fields, width = 0, 0
    for _, name, spec, _ in Formatter().parse(text):
        if spec and "{" in spec:
            raise TooCostly("a format as wide as that")
        fields += name is not None
        width = max(width, _widest(spec or ""))
    step(20 * fields)
    _filled(len(text), fields, width, values, options)


def _percent(text: Any, *values: Any, **options: Any) -> None:
    """Formats by `%`."""
    text = _text(text)
    fields = text.count("%")
    step(len(text) / (20 if fields else 200))
    if not fields:
        return
    if "*" in text:
        raise TooCostly("a format as wide as that")
    step(fields / 2)
    _filled(len(text), fields, _widest(text), values, options)


def _widest(text: str) -> int:
    digits = max(map(len, _DIGITS.findall(text)), default=0)
    if digits > 4:
        raise TooCostly("a format as wide as that")
    return 10**digits if digits else 0


def _filled(length: int, fields: int, width: int, values: Any, options: Any) -> None:
    each = sum(size(value).text for value in (*values, *options.values()))
    check_length(length + fields * (width + each))
    step(fields * (width + each) / 20)


def _compared(left: Any, right: Any) -> None:
    """Compares two values; lists of different length are not gone through, though they may be."""
    if isinstance(left, str) and isinstance(right, str):
        step(1 + min(len(left), len(right)) / 200)
    elif isinstance(left, Sized) and isinstance(right, Sized):
        go_through(left if _length(left) <= _length(right) else right)
    else:
        step()


def _contains(wanted: Any, container: Any) -> None:
    if isinstance(container, str):
        _search(container, wanted)
    elif not isinstance(container, Mapping | range | KeysView | ItemsView):
        go_through(container)
    else:
        go_through(wanted)


def _tell(value: Any, wanted: Any = None, *places: Any) -> None:
    _contains(wanted, value)
    go_through(wanted)  # which the error shows where it is missing


def _length(value: Any) -> int:
    return len(value) if isinstance(value, Sized) else 1


def _text(value: Any) -> str:
    """A value as text, which is what most filters begin with."""
    if isinstance(value, str):
        return value
    write_down(value)
    return str(value)


def _of_text(price: Price) -> Price:
    """Of a filter that makes a text of its first value before anything else."""

    def whole(value: Any, *values: Any, **options: Any) -> None:
        price(_text(value), *values, **options)

    return whole


_SQUARE = 10_000
FILTERS: dict[str, Price] = {
    **dict.fromkeys(("abs", "count", "d", "default", "first", "items", "last", "length", "random"), _free),
    **dict.fromkeys(("map", "reject", "rejectattr", "select", "selectattr"), _members),
    **dict.fromkeys(("dictsort", "groupby", "max", "min", "sort", "unique"), _sorting),
    **dict.fromkeys(("e", "escape", "forceescape"), _escape),
    **dict.fromkeys(("float", "int"), _number),
    **dict.fromkeys(("reverse", "safe", "string"), _through(1)),
    **dict.fromkeys(("capitalize", "lower", "upper"), _of_text(_through(10))),
    "attr": _asked, "batch": _batch, "center": _of_text(_padded), "filesizeformat": _number, "format": _percent,
    "indent": _indent, "join": _join,
    "list": _through(25), "pprint": _through(100), "replace": _replace, "round": _round, "slice": _slice,
    "striptags": _of_text(_powered(_SQUARE)), "sum": _sum, "title": _of_text(_through(200)), "tojson": _tojson,
    "trim": _of_text(_search_back), "truncate": _of_text(_truncate), "urlencode": _through(50),
    "urlize": _of_text(_powered(_SQUARE / 200)), "wordcount": _of_text(_through(30)),
    "wordwrap": _of_text(_wordwrap), "xmlattr": _through(20),
}  # fmt: skip
_COMPARISONS = (
    "eq", "equalto", "==", "ne", "!=", "gt", "greaterthan", ">", "ge", ">=", "lt", "lessthan", "<", "le", "<="
)  # fmt: skip
_KINDS = (
    "boolean", "callable", "defined", "divisibleby", "escaped", "even", "false", "float", "integer", "iterable",
    "mapping", "none", "number", "odd", "sameas", "sequence", "string", "true", "undefined",
)  # fmt: skip
TESTS: dict[str, Price] = {
    **dict.fromkeys(_COMPARISONS, _compared),
    **dict.fromkeys(_KINDS, _free),
    **dict.fromkeys(("lower", "upper"), _of_text(_through(2))),
    **dict.fromkeys(("filter", "test"), _through(1)),
    "in": _contains,
}
_FORWARD = ("count", "endswith", "find", "index", "partition", "removeprefix", "removesuffix", "startswith")
_BACK = ("lstrip", "rfind", "rindex", "rpartition", "rstrip", "strip")
_QUESTIONS = (
    "isalnum", "isalpha", "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric", "isprintable",
    "isspace", "istitle", "isupper",
)  # fmt: skip
_VIEW = {"isdisjoint": _all}
METHODS: dict[str, dict[str, Price]] = {
    "str": {
        **dict.fromkeys(("capitalize", "casefold", "lower", "swapcase", "title", "upper"), _through(10)),
        **dict.fromkeys(("center", "ljust", "rjust", "zfill"), _padded),
        **dict.fromkeys(_FORWARD, _search),
        **dict.fromkeys(_BACK, _search_back),
        **dict.fromkeys(_QUESTIONS, _through(2)),
        **dict.fromkeys(("format", "format_map"), _format),
        **dict.fromkeys(("rsplit", "split"), _split),
        "encode": _encode, "expandtabs": _expandtabs, "join": _joined_by, "replace": _replace, "splitlines": _split,
        "translate": _translate,
    },
    "bytes": {"decode": _encode, "hex": _through(2)},
    "list": {"copy": _through(1), "count": _tell, "index": _tell},
    "tuple": {"count": _tell, "index": _tell},
    "range": {"count": _tell, "index": _tell},
    "dict": {"copy": _members, "get": _asked, "items": _free, "keys": _free, "values": _free},
    "dict_keys": _VIEW, "dict_items": _VIEW,
    "int": {"bit_count": _free, "bit_length": _free, "is_integer": _free},
    "float": {"is_integer": _free},
    "type": {"fromkeys": _all, "maketrans": _all},
    "Random": {"choice": _free, "randint": _free, "random": _free},
}  # fmt: skip
"""Of objects of Python's own, by the name of their type."""


def priced(act: Callable[..., Any], price: Price) -> Callable[..., Any]:
    """A filter or test that is paid for before it runs; what it is given one by one, it gets as a list."""

    @functools.wraps(act)
    def paid(*values: Any, **options: Any) -> Any:
        own = 1 if values and isinstance(values[0], Context | Environment | EvalContext) else 0
        values = (*values[:own], *map(settled, values[own:]))
        options = {name: settled(value) for name, value in options.items()}
        price(*values[own:], **options)
        for value in (*values[own + 1 :], *options.values()):  # some are hashed or written down by the way
            go_through(value)
        return checked(act(*values, **options))

    return paid


def check_calculation(operator: str, left: Any, right: Any) -> None:
    """Refuse a calculation whose result would be huge; raises TooCostly."""
    step()
    if operator == "-":
        _subtracted(left, right)
    elif operator == "%" and isinstance(left, str):
        _percent(left, *(right if isinstance(right, tuple) else (right,)))
    elif isinstance(left, int) and isinstance(right, int):
        bits = left.bit_length() * max(1, right) if operator == "**" else left.bit_length() + right.bit_length()
        if bits > 10_000:
            raise TooCostly("a number as long as that")
    elif operator in "+*":
        sizes = [value if isinstance(value, int) else len(value) for value in (left, right) if _has_size(value)]
        if len(sizes) == 2:
            length = max(0, sizes[0] * sizes[1] if operator == "*" else sum(sizes))
            check_length(length)
            step(length / (4000 if isinstance(left, str) or isinstance(right, str) else 40))


def _subtracted(*values: Any) -> None:
    """Of views of objects this makes a set, for which all that is in them is hashed."""
    for value in values:
        if isinstance(value, KeysView | ItemsView):
            step(len(value))
            value = tuple(value)
        if isinstance(value, Iterable):
            go_through(value)


def _has_size(value: Any) -> bool:
    return isinstance(value, int | str | list | tuple)
