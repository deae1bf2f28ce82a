"""What the tests below the doors share."""

from tests.doors import conftest

no_endless_wait = conftest.no_endless_wait
store_of_the_run = conftest.store_of_the_run
