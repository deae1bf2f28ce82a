"""Tests that run on three stores: that of one process, one whose calls suspend as over a network, and a real server's.

A folder's `conftest.py` names the three functions. Its tests that make worlds (their file knows what makes some) run on
each: on the server's those of `EVERYWHERE`, and all in `make stores`. Left out are those marked `one_step`, which
say that nothing suspends or are slow, and those of `OWN_STORE`.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from types import ModuleType

import pytest

from tests import worlds
from tests.stores.counted import CountedStore, close_made
from tests.stores.yielding import YieldingStore

STORES = {"memory": None, "yielding": YieldingStore, "redis": CountedStore}
_WORLDS = (worlds.__name__, "tests.core.faulty_worlds")
OWN_STORE = (
    "test_balancer", "test_clears", "test_endpoint_model", "test_endpoint_steps", "test_interleaved", "test_leases",
    "test_store_away", "test_two_worlds",
)  # fmt: skip
"""How the names of test files begin that choose their store themselves, or need none."""

EVERYWHERE = ("test_thin_line", "test_endpoint_streams", "test_endpoint_workers", "test_webhooks")
"""How the names of those begin that run on a real server each time."""
RUN = os.environ.get("EMULATOR_TEST_STORE", "memory")
"""The store of a whole run of tests (`make stores`): memory, yielding or redis."""
MEMORY_ONLY = {
    "test_snapshots": "only what one server alone keeps can be saved: one with --store refuses",
    "test_store_away": "each call of its store is made to fail, also that which lets go of it",
    "test_batch": "batches are in the memory of one process: with --store their routes refuse",
    "test_ledger::test_every_row_is_met_and_tells_its_label": "some of the rows are those of batches",
    "test_openapi": "one world lives over many event loops, and a store's connections over one",
}
"""Files and tests of such a run that stay on the memory store, and why."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if not _makes_worlds(metafunc.module):
        return
    name = metafunc.module.__name__.rpartition(".")[2]
    is_fixed = name.startswith(OWN_STORE) or metafunc.definition.get_closest_marker("one_step")
    names = [one for one in STORES if one != "redis" or RUN == "redis" or name.startswith(EVERYWHERE)]
    metafunc.parametrize("store", ["memory"] if is_fixed else names, indirect=True, scope="module")


def _makes_worlds(module: ModuleType) -> bool:
    return any(getattr(known, "__module__", "") in _WORLDS for known in vars(module).values())


@pytest.fixture(scope="module", autouse=True)
def store(request: pytest.FixtureRequest) -> Iterator[None]:
    worlds.STORE = STORES[getattr(request, "param", "memory")]
    yield
    worlds.STORE = None


@pytest.fixture(autouse=True)
async def store_of_the_run(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """For the tests of a folder that run on one store: that of the whole run."""
    name = request.module.__name__.rpartition(".")[2]
    is_fixed = {name, f"{name}::{request.function.__name__}"} & MEMORY_ONLY.keys()
    worlds.STORE = STORES["memory" if is_fixed else RUN]
    yield
    worlds.STORE = None
    await close_made()


@pytest.fixture(autouse=True)
async def closed_stores() -> AsyncIterator[None]:
    yield
    await close_made()
