"""All handlers that both workers must run alike."""

from __future__ import annotations

from tests.parity.cases import Handler
from tests.parity.catalogue import (
    crashes,
    errors,
    extras,
    printing,
    progress,
    raises,
    returns,
    sdk2,
    shapes,
    streams,
    surroundings,
)

MODULES = (returns, errors, raises, streams, progress, surroundings, shapes, extras, printing, crashes, sdk2)
HANDLERS: tuple[Handler, ...] = tuple(handler for module in MODULES for handler in module.HANDLERS)
