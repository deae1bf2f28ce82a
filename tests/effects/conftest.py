"""What the tests of effects share."""

from tests.core import passage
from tests.stores import both

passing = passage.passing
store = both.store
pytest_generate_tests = both.pytest_generate_tests
