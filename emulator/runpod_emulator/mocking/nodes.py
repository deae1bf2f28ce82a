"""YAML as JSON would have it: `safe_load`, but for dates, which stay texts, and names of members, which always are."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml
from yaml.constructor import ConstructorError

_MOST_VALUES = 1_000_000
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_MERGE = "tag:yaml.org,2002:merge"


class Loader(yaml.SafeLoader):
    """Reads one document."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in found if tag != _TIMESTAMP]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node; raises ConstructorError also where PyYAML's own reading of a tag fails."""
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            kind = node.tag.rpartition(":")[2]
            raise ConstructorError(None, None, f"is no {kind}", node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """The members by their names as they are written."""
        if not isinstance(node, yaml.MappingNode):
            raise ConstructorError(None, None, "is no mapping", node.start_mark)
        self.flatten_mapping(node)
        return {name.value: self.construct_object(value, deep=deep) for name, value in node.value}


def check_size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """How many values a node is with its aliases written out; raises ConstructorError for too many, or no end of them.

    `sizes` are those of the nodes that were seen, by `id`; 0 of those that are being counted.
    """
    size = sizes.get(id(node))
    if size is None:
        sizes[id(node)] = 0
        size = sizes[id(node)] = 1 + sum(check_size(child, sizes) for child in _children(node))
    if not size:
        raise ConstructorError(None, None, "an alias refers to what it is a part of", node.start_mark)
    if size > _MOST_VALUES:
        raise ConstructorError(None, None, f"aliases make more than {_MOST_VALUES} values of this", node.start_mark)
    return size


def check_names(node: yaml.Node, seen: set[int]) -> None:
    """Raise ConstructorError for a member that an object has twice; `seen` are nodes that were checked, by `id`."""
    if id(node) in seen:
        return
    seen.add(id(node))
    names: set[str] = set()
    for name, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        if not isinstance(name, yaml.ScalarNode):
            raise ConstructorError(None, None, "the name of a member must be a text", name.start_mark)
        if name.value in names and name.tag != _MERGE:
            raise ConstructorError(None, None, f"{name.value} is written twice", name.start_mark)
        names.add(name.value)
    for child in _children(node):
        check_names(child, seen)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [value for _, value in node.value]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
