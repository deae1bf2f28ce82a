"""Where templates are evaluated: nothing is reached from them, nothing is changed, and their cost is limited."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sized
from typing import Any, cast

from jinja2 import StrictUndefined, nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateSyntaxError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from runpod_emulator.mocking import costs, prices

MOST_CODE = 10_000
"""Characters of a template within `{{ }}` and `{% %}`: compiling takes 10 µs each."""
MOST_TEXT = 1_000_000
_CALL = 25
"""Steps that a call costs more than a round of a loop, as a macro's takes longer."""
_ARGUMENT = 5
"""Steps that each argument of `*values` costs."""
_ASKED = {"eq": "eq", "ne": "ne", "gt": "gt", "gteq": "ge", "lt": "lt", "lteq": "le", "in": "in", "notin": "in"}
"""The test that stands for a comparison."""


@pass_context
def _random_item(context: Context, items: Any) -> Any:
    """Jinja's own filter asks dice that no seed decides."""
    return context.resolve("choice")(items)


@pass_context
def _shown(context: Context, value: Any) -> Any:
    """A value that is about to be written into the text, counted; asks for the context to be called at work only."""
    if not isinstance(value, Iterator):  # of which only the name is written
        costs.write_down(value)
    costs.step()
    return value


def _sliced(value: Any) -> Any:
    if isinstance(value, Mapping):  # some versions of Python would take the slice for a key, and hash its ends
        raise TypeError("an object has no slices")
    costs.step(len(value) / 100 if isinstance(value, str | list | tuple) else 1)
    return value


def _spread(value: Any) -> Any:
    """Values that become arguments, of which each is looked at some times."""
    value = costs.settled(value)
    costs.step(_ARGUMENT * len(value) if isinstance(value, Sized) else 1)
    return value


class _Countable(NodeTransformer):
    """Sends what no environment can intercept through filters and tests: loops, `~`, comparisons and slices."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        """Count the rounds."""
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "rounds")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        """Join by the filter, which is checked."""
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno), "join")

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        """Compare by a test; in a chain, which looks at its middle twice, count each part."""
        self.generic_visit(node)
        if len(node.ops) > 1:
            node.expr = _filtered(node.expr, "weighed")
            for operand in node.ops:
                operand.expr = _filtered(operand.expr, "weighed")
            return node
        operator, right = node.ops[0].op, node.ops[0].expr
        test = nodes.Test(node.expr, _ASKED[operator], [right], [], None, None, lineno=node.lineno)
        return nodes.Not(test, lineno=node.lineno) if operator == "notin" else test

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        """Count hashing the keys."""
        self.generic_visit(node)
        for pair in node.items:
            if not isinstance(pair.key, nodes.Const):
                pair.key = _filtered(pair.key, "weighed")
        return node

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        """Count what is spread, as in `f(*values, **options)`, before it is."""
        self.generic_visit(node)
        return _spreading(node)

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:
        """Count what a filter is given by `*values` or `**options`, before it is spread."""
        self.generic_visit(node)
        return _spreading(node)

    def visit_Test(self, node: nodes.Test) -> nodes.Node:
        """Count what a test is given by `*values` or `**options`, before it is spread."""
        self.generic_visit(node)
        return _spreading(node)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        """Count what a slice copies."""
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _filtered(node.node, "sliced")
        return node

    def visit_ScopedEvalContextModifier(self, node: nodes.ScopedEvalContextModifier) -> nodes.Node:
        """Refuse `autoescape`, after which texts are more than texts."""
        raise TemplateSyntaxError("autoescape is not for templates of values", node.lineno)


def _spreading(node: Any) -> nodes.Node:
    if node.dyn_args is not None:
        node.dyn_args = _filtered(node.dyn_args, "spread")
    if node.dyn_kwargs is not None:
        node.dyn_kwargs = _filtered(node.dyn_kwargs, "spread")
    return cast(nodes.Node, node)


def _filtered(node: Any, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of all templates. A member of an object wins over a method of the same name."""

    intercepted_binops = frozenset({"+", "-", "*", "**", "%"})
    concat = staticmethod(costs.joined)

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, optimized=False, keep_trailing_newline=True, finalize=_shown)
        del self.globals["lipsum"]  # makes texts of any length, by dice of its own
        self.filters["random"] = _random_item
        self.filters = _paid(self.filters, prices.FILTERS)
        self.tests = _paid(self.tests, prices.TESTS)
        self.filters |= {"rounds": costs.rounds, "sliced": _sliced, "spread": _spread, "weighed": _weighed}
        self.policies["json.dumps_kwargs"] = {"sort_keys": False, "ensure_ascii": False}

    def parsed(self, text: str) -> nodes.Template:
        """A template in which everything keeps the limits; raises TemplateSyntaxError."""
        if len(text) > MOST_TEXT or _code(text) > MOST_CODE:
            raise TemplateSyntaxError(f"longer than {MOST_TEXT} characters, or {MOST_CODE} of what is no text", 1)
        return cast(nodes.Template, _Countable().visit(self.parse(text)))

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The member or attribute of an object."""
        costs.step()
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """The item, member or attribute of an object."""
        costs.go_through(argument)
        return super().getitem(obj, argument)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call what a template calls; raises TooCostly, SecurityError."""
        costs.step(_CALL + len(args))
        args = tuple(map(costs.settled, args))
        if isinstance(__obj, LoopContext) and args:
            args = (costs.rounds(args[0]), *args[1:])
        method = getattr(__obj, "__wrapped__", __obj)  # str.format comes wrapped by the sandbox
        owner = getattr(method, "__self__", None)
        # these hash keys, or compare with the round before
        if __obj is dict or __obj is Namespace or isinstance(owner, LoopContext):
            for value in args:
                costs.go_through(value)
        if callable(method) and type(method).__name__ in ("builtin_function_or_method", "method"):
            _pay_method(method, owner, args, kwargs)
        for value in (*args, *kwargs.values()):
            costs.step(len(value) if isinstance(value, list | tuple | dict | range) else 1)
        return costs.checked(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate; raises TooCostly."""
        if operator == "-":
            right = costs.settled(right)
        prices.check_calculation(operator, left, right)
        return costs.checked(super().call_binop(context, operator, left, right))


def _paid(acts: Mapping[str, Any], table: Mapping[str, prices.Price]) -> dict[str, Any]:
    return {name: prices.priced(act, table[name]) for name, act in acts.items() if name in table}


def _weighed(value: Any) -> Any:
    costs.go_through(value)
    return value


def _pay_method(method: Any, owner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Pay for a method of Python's own; raises SecurityError for one without a price."""
    kind = "Random" if isinstance(owner, random.Random) else type(owner).__name__
    price = prices.METHODS.get(kind, {}).get(method.__name__)
    if price is None and type(method).__name__ == "method":
        return  # one of Jinja's, such as `loop.cycle`
    if price is None:
        raise SecurityError(f"{kind}.{method.__name__} is unsafe here")
    price(*args if kind in ("type", "Random") else (owner, *args), **kwargs)


def _code(text: str) -> int:
    """How many characters of a template are no text, about."""
    starts = text.replace("{%", "{{").replace("%}", "}}").split("{{")
    return sum(4 + len(part.partition("}}")[0]) for part in starts[1:])
