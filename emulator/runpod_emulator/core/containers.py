"""What of a container's variables means something to a process of this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping

from runpod_emulator.core.errors import ConfigurationError

_NAME = re.compile(r"[^=\0]+")
_OF_CONTAINERS = re.compile(r"PATH|HOME|VIRTUAL_ENV|PYTHON(HOME|PATH|USERBASE)|(LD|DYLD)_.*")
"""The variables that say where programs are in a container: here they would lead nowhere, or astray."""


def usable(env: Mapping[str, str]) -> dict[str, str]:
    """The variables of a container without those that say where programs are in it.

    Raises ConfigurationError for such as no process can have.
    """
    for name, value in env.items():
        if not _NAME.fullmatch(name) or "\0" in value:
            raise ConfigurationError(f"env: {name[:100]!r} can't be a variable: no name has a =, and no text a null")
    return {name: value for name, value in env.items() if not _OF_CONTAINERS.fullmatch(name)}
