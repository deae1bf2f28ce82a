"""A mock world per test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.mocking.mocks import MockWorld, mock_world


@pytest.fixture
async def world() -> AsyncIterator[MockWorld]:
    async with mock_world() as world:
        yield world
