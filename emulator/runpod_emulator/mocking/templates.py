"""Values of a script: JSON that is encoded once, or with templates in it, which each run evaluates anew."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import orjson
from jinja2 import Template, TemplateError, TemplateSyntaxError, Undefined, nodes

from runpod_emulator.core.mocks.script import Scene, ScriptError, Text, Value
from runpod_emulator.mocking.costs import TooCostly, check_length, limited, settled, write_down
from runpod_emulator.mocking.names import FOR_FILTERS, Names, names_of
from runpod_emulator.mocking.sandbox import Sandbox

Key = str | int
Made = Callable[[Names], Any]
DEEPEST = 200
"""Levels that a written value may nest."""
_MOST_VALUES = 1_000_000
_SHOWN = 100
_MOST_REASON = 1000
"""Characters that are told of an error, which may show a key as long as a template can make."""
_sandbox = Sandbox()


class Unusable(ValueError):
    """A value is no JSON or holds a faulty template; `keys` lead to the part in question, `reason` says why."""

    def __init__(self, keys: tuple[Key, ...], reason: str) -> None:
        super().__init__(f"{'.'.join(map(str, keys))}: {reason}" if keys else reason)
        self.keys = keys
        self.reason = reason


def value_of(written: Any, name: str = "value") -> Value:
    """What makes the JSON text of a value as it was written; `name` begins the texts of its errors.

    Every string in it that holds `{{` or `{%` is a template; names of members never are.
    A string that is one `{{ expression }}` and nothing else gives the value itself, any
    other gives a text. Raises Unusable.
    """
    compiler = _Compiler(name)
    made = compiler.made(written, ())
    if made is None:
        encoded = encode(written)
        return lambda scene: encoded
    return functools.partial(_evaluate, made, frozenset(compiler.asked), name)


def text_of(written: str, name: str = "error") -> Text:
    """What makes a text as written; of one expression the JSON text of its value, "" of null. Raises Unusable."""
    if not _is_template(written):
        return lambda scene: written
    value = value_of(written, name)

    def text(scene: Scene) -> str:
        made = json.loads(value(scene))
        if isinstance(made, str):
            return made
        return "" if made is None else encode(made).decode()

    return text


def check_json(written: Any) -> None:
    """Raise Unusable for a value that JSON cannot hold; strings are not looked at."""
    _Compiler(None).made(written, ())


def encode(value: Any) -> bytes:
    """A value as JSON; raises TypeError, UndefinedError."""
    try:
        return orjson.dumps(value, default=_plain)
    except orjson.JSONEncodeError as error:
        if isinstance(error.__cause__, TemplateError | TooCostly):
            raise error.__cause__ from None
    # numbers above 64 bits and halves of surrogate pairs, which a client may send as well
    return json.dumps(value, default=_plain, separators=(",", ":"), allow_nan=False).encode()


class _Compiler:
    """Goes through one written value; without a `name` strings are no templates."""

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._count = 0
        self.asked = set(FOR_FILTERS)
        """The names for which the templates ask."""

    def made(self, value: Any, keys: tuple[Key, ...]) -> Made | None:
        """What makes a value; None where it is the same each time. Raises Unusable."""
        self._count += 1
        if len(keys) > DEEPEST or self._count > _MOST_VALUES:
            raise Unusable(keys[:5], f"deeper than {DEEPEST} levels, or more than {_MOST_VALUES} values")
        if isinstance(value, Mapping):
            return self._object(value, keys)
        if isinstance(value, list | tuple):
            return self._list(value, keys)
        if isinstance(value, str):
            return self._string(value, keys)
        if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            return None
        raise Unusable(keys, f"JSON has no {type(value).__name__} such as {value}")

    def _object(self, value: Mapping[Any, Any], keys: tuple[Key, ...]) -> Made | None:
        for name in value:
            if not isinstance(name, str):
                raise Unusable(keys, f"JSON has names that are texts only, not {name!r}")
        makers = {name: self.made(one, (*keys, name)) for name, one in value.items()}
        if not any(makers.values()):
            return None
        return lambda names: {name: make(names) if make else value[name] for name, make in makers.items()}

    def _list(self, value: Iterable[Any], keys: tuple[Key, ...]) -> Made | None:
        makers = [(one, self.made(one, (*keys, place))) for place, one in enumerate(value)]
        if not any(make for _, make in makers):
            return None
        return lambda names: [make(names) if make else one for one, make in makers]

    def _string(self, value: str, keys: tuple[Key, ...]) -> Made | None:
        if self._name is None or not _is_template(value):
            return None
        try:
            template = _compiled(value)
        except (TemplateError, RecursionError) as error:
            raise Unusable(keys, f"a faulty template: {_reason(error)}") from error
        self.asked |= template.asked
        return functools.partial(_render, template.made, value, ".".join(map(str, (self._name, *keys))))


def _is_template(text: str) -> bool:
    return "{{" in text or "{%" in text


class _Template(NamedTuple):
    """What makes the value of one string, and the names that it may ask for."""

    made: Made
    asked: frozenset[str]


@functools.lru_cache(maxsize=1024)
def _compiled(text: str) -> _Template:
    tree = _sandbox.parsed(text)
    asked = frozenset(name.name for name in tree.find_all(nodes.Name))
    expression = _one_expression(tree)
    if expression is None:
        return _Template(_loaded(tree).render, asked)
    result = nodes.Assign(nodes.Name("result", "store", lineno=1), expression, lineno=1)
    return _Template(_value_of(_loaded(nodes.Template([result], lineno=1))), asked)


def _loaded(tree: nodes.Template) -> Template:
    template = _sandbox.from_string(tree)
    template.globals = dict(template.globals)  # each run copies them, and Jinja's chain of mappings is slow to copy
    return template


def _value_of(template: Template) -> Made:
    def value(names: Names) -> Any:
        context = template.new_context(names)
        for _ in template.root_render_func(context):
            pass
        return context.vars["result"]

    return value


def _one_expression(tree: nodes.Template) -> nodes.Expr | None:
    """The expression that a template consists of, if it is only that."""
    whole = tree.body[0] if len(tree.body) == 1 else None
    if not isinstance(whole, nodes.Output) or len(whole.nodes) != 1:
        return None
    return None if isinstance(whole.nodes[0], nodes.TemplateData) else whole.nodes[0]


def _render(template: Made, text: str, name: str, names: Names) -> Any:
    try:
        return _settled(template(names))
    except Exception as error:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        raise ScriptError(f"{name}: the template {shown} failed: {_reason(error)}") from error


def _settled(value: Any) -> Any:
    """The value as JSON knows it: where it cannot be that, this template is at fault and not its surroundings."""
    if value is None or isinstance(value, int) or type(value) is str:
        return value
    value = settled(value)
    write_down(value)
    return json.loads(encode(value))


def _evaluate(made: Made, asked: frozenset[str], name: str, scene: Scene) -> bytes:
    try:
        names = names_of(scene, asked)
        with limited():
            value = made(names)
            write_down(value)
            encoded = encode(value)
        check_length(len(encoded))
    except TooCostly as error:
        raise ScriptError(f"{name}: {error}") from error
    return encoded


def _plain(value: Any) -> Any:
    """What JSON has instead of a value of Python's own."""
    if isinstance(value, Undefined):
        str(value)  # raises UndefinedError, which says what is missing
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _reason(error: BaseException) -> str:
    if isinstance(error, TemplateSyntaxError):
        return error.message or "syntax"
    if isinstance(error, RecursionError):
        return "it nests too deep"
    text = str(error)
    shown = text if len(text) <= _MOST_REASON else f"{text[:_MOST_REASON]}…"
    return " ".join(shown.split()) or type(error).__name__
