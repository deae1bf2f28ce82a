"""What the tests of the core share."""

from tests.core import passing_time
from tests.stores import both

passing = passing_time.passing
store = both.store
pytest_generate_tests = both.pytest_generate_tests
closed_stores = both.closed_stores
