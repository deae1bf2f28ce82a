"""What the tests of the core share."""

from tests.core import passage
from tests.stores import both

passing = passage.passing
store = both.store
pytest_generate_tests = both.pytest_generate_tests
