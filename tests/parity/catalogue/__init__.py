"""All handlers that both workers must run alike."""

from __future__ import annotations

from tests.parity.cases import Handler
from tests.parity.catalogue import returns

HANDLERS: tuple[Handler, ...] = (*returns.HANDLERS,)
