"""A mock world per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from runpod_emulator.mocking import costs

from tests.mocking.mocks import MockWorld, mock_world


@pytest.fixture
async def world() -> AsyncIterator[MockWorld]:
    async with mock_world() as world:
        yield world


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a template makes is what stops it, and not the time that it takes on a busy machine."""
    monkeypatch.setattr(costs, "MOST_TIME", 10)
