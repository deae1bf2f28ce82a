"""Bounds on what takes time, on machines that are shared.

What else a machine does can only make a measurement longer, so one good one of several is the truth.
A test with such a bound is marked `timed` and says `expect_within`: it is played again when that alone failed.
"""

from __future__ import annotations

import pytest


class TooLong(AssertionError):
    """Something took longer than it may."""


def expect_within(seconds: float, limit: float, what: object = "") -> None:
    """Raise TooLong if it took longer than it may."""
    if seconds >= limit:
        raise TooLong(f"{what} took {seconds:.3f} s, and may take {limit:g}".lstrip())


timed = pytest.mark.flaky(reruns=4, only_rerun="TooLong")
