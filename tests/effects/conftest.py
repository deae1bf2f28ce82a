"""What the tests of effects share."""

from tests.core import passage

passing = passage.passing
