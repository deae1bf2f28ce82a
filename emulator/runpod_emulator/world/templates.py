"""The templates that clients have saved in one world: endpoints are made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Template:
    """An image, and what it is started with. `choices` are members that mean nothing here, as they came."""

    id: str
    name: str = ""
    image: str = ""
    args: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, Any] = field(default_factory=dict)


Templates = dict[str, Template]
"""The templates of one world by their ids."""
