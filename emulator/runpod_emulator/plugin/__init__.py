"""Parts of the pytest plugin: where clients are pointed at, and the guard against calls of the real service."""
