"""What the tests of the core share."""

from tests.core import passage

passing = passage.passing
