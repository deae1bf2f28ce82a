"""Servers to be attacked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.servers import Starter, commands


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    """Starts commands in a folder of their own, and ends them."""
    with commands(tmp_path) as start:
        yield start
