"""Where templates are evaluated: nothing is reached from them, nothing is changed, and their cost is limited."""

from __future__ import annotations

from typing import Any, cast

from jinja2 import StrictUndefined, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from emulator.mocking import costs

_CALL = 4
"""Steps that a call costs more than a round of a loop, as a macro's takes longer."""


@pass_context
def _random_item(context: Context, items: Any) -> Any:
    """Jinja's own filter asks dice that no seed decides."""
    return context.resolve("choice")(items)


class _Countable(NodeTransformer):
    """Sends what no environment can intercept, loops and `~`, through filters."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        """Count the rounds."""
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, "rounds", [], [], None, None, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        """Join by the filter, which is checked."""
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return nodes.Filter(parts, "join", [], [], None, None, lineno=node.lineno)


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of all templates. A member of an object wins over a method of the same name."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})
    concat = staticmethod(costs.joined)

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, optimized=False, keep_trailing_newline=True)
        del self.globals["lipsum"]  # makes texts of any length, by dice of its own
        self.filters["random"] = _random_item
        self.filters = {name: costs.within_limits(act) for name, act in self.filters.items()}
        self.filters["rounds"] = costs.rounds
        self.policies["json.dumps_kwargs"] = {"sort_keys": False, "ensure_ascii": False}

    def parsed(self, text: str) -> nodes.Template:
        """A template whose loops and joined texts keep the limits too; raises TemplateSyntaxError."""
        return cast(nodes.Template, _Countable().visit(self.parse(text)))

    def getattr(self, obj: Any, attribute: str) -> Any:
        """The member or attribute of an object."""
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Call what a template calls; raises TooCostly."""
        costs.step(_CALL)
        method = getattr(__obj, "__wrapped__", __obj)  # str.format comes wrapped by the sandbox
        costs.weigh(__obj, (getattr(method, "__self__", None), *args, *kwargs.values()))
        return costs.checked(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Calculate; raises TooCostly."""
        costs.check_calculation(operator, left, right)
        return super().call_binop(context, operator, left, right)
