"""Clocks, deadlines, and waiting for either."""
