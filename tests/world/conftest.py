"""What the tests of worlds share."""

from tests.stores import both

store = both.store
pytest_generate_tests = both.pytest_generate_tests
closed_stores = both.closed_stores
