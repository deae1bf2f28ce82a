"""Tools that measure the project's own code."""
