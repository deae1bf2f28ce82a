"""The endpoint's tests run on two stores: that of one process, and one whose calls suspend as over a network.

Left out of the second are those that say that nothing suspends, or have no store, and tests marked `one_step`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import worlds
from tests.stores.yielding import YieldingStore

STORES = {"memory": None, "yielding": YieldingStore}
ON_MEMORY = ("test_balancer", "test_endpoint_model", "test_endpoint_steps", "test_interleaved")
"""How the names of test files begin that choose their store themselves, or need none."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    name = metafunc.module.__name__.rpartition(".")[2]
    is_fixed = name.startswith(ON_MEMORY) or metafunc.definition.get_closest_marker("one_step")
    metafunc.parametrize("store", ["memory"] if is_fixed else list(STORES), indirect=True, scope="module")


@pytest.fixture(scope="module", autouse=True)
def store(request: pytest.FixtureRequest) -> Iterator[None]:
    worlds.STORE = STORES[getattr(request, "param", "memory")]
    yield
    worlds.STORE = None
