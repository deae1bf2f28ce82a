"""Mocking: what users write of stubs and faults, in files, JSON or Python, becomes objects of the core."""
