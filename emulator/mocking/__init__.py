"""Mocking: what users write of stubs, in files, JSON or Python, becomes stubs of the core."""
